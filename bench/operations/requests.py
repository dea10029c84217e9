"""What a request costs: Produce requests of one record of 100 B."""

from bench import librdkafka, native_load
from bench.kernel import Kernel
from bench.operation import LIBRDKAFKA, NATIVE, Operation
from bench.peer import Measured, Peer
from bench.results import OperationInfo

RECORD_BYTES = 100
REQUEST_BYTES = 225  # of one record in a Produce request, as the generator sends it
GROUP = "Requests of one 100 B record"
SHOWN = ("requests_per_s", "cpu_us_per_request", "p50_ms")
SECONDS = 1.2
WARM_UP_S = 0.4
PEERS = ("barnabas", "kafka")
CLIENT_RECORDS = 40_000
SHAPES = ((64, 1), (1, 64), (1, 1))  # connections, in flight


def operations() -> list[Operation]:
    return [*(_native(*shape) for shape in SHAPES), _flushed(), _client()]


def _native(connections: int, in_flight: int) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(1) as topic:
            return native_load.load(
                peer,
                "produce",
                topic,
                batch_records=1,
                record_size=RECORD_BYTES,
                connections=connections,
                in_flight=in_flight,
                warm_up=WARM_UP_S,
                duration=SECONDS,
            )

    def kernel(loop: Kernel) -> Measured:
        return loop.produce(REQUEST_BYTES, connections, in_flight, SECONDS)

    title = f"{connections} connection{'s'[: connections > 1]}, {in_flight} in flight"
    info = OperationInfo(f"requests-{connections}x{in_flight}", title, GROUP, NATIVE, SHOWN)
    return Operation(
        info,
        run,
        kernel,
        peers=PEERS,
        is_core=True,
        warm_up_by="cpu_us_per_request" if (connections, in_flight) == SHAPES[0] else None,
    )


def _flushed() -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(1, {"flush.messages": "1"}) as topic:
            return native_load.load(
                peer,
                "produce",
                topic,
                batch_records=1,
                record_size=RECORD_BYTES,
                connections=64,
                in_flight=1,
                warm_up=WARM_UP_S,
                duration=SECONDS,
            )

    info = OperationInfo(
        "requests-flushed", "64 connections, flush.messages=1", GROUP, NATIVE, SHOWN
    )
    return Operation(info, run, peers=PEERS, is_core=True)


def _client() -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(1) as topic:
            found = librdkafka.produce(
                peer,
                topic,
                RECORD_BYTES,
                CLIENT_RECORDS * RECORD_BYTES,
                {"batch.num.messages": 1, "acks": 1},
            )
            per_record = found.metrics["cpu_s_per_gb"] * RECORD_BYTES / 1e9
            return Measured({**found.metrics, "cpu_us_per_request": per_record * 1e6})

    info = OperationInfo("requests-librdkafka", "one librdkafka client", GROUP, LIBRDKAFKA, SHOWN)
    return Operation(info, run, peers=PEERS)
