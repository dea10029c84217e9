"""What small records, many partitions and many connections cost.

Kafka's path of Produce has been warmed by the operations before these.
"""

import contextlib
import resource
import socket
import time

from bench import native_load
from bench.control_load import frame
from bench.operation import NATIVE, Operation
from bench.own_server import with_own_server
from bench.peer import Measured, Peer
from bench.results import OperationInfo

RECORD_BYTES = (10, 100, 1000, 10_000)
PARTITIONS = (1, 100, 1000, 10_000)
KAFKA_MOST_PARTITIONS = 100  # of more the first touch of each would be what is measured
BATCH_BYTES = 16 << 10
RECORD_BATCH_BYTES = 64 << 10
CONNECTIONS = (1, 100, 1000, 8000)
KAFKA_MOST_CONNECTIONS = 100
REQUESTS_PER_S = 2000
REQUEST_BYTES = 15_000
IDLE_CONNECTIONS = 8000
SECONDS = 1.5


def operations() -> list[Operation]:
    return [
        *(_record_size(size) for size in RECORD_BYTES),
        *(_partitions(count) for count in PARTITIONS),
        *(_connections(count) for count in CONNECTIONS),
        _idle_connections(),
    ]


def _record_size(size: int) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(4) as topic:
            return native_load.load(
                peer,
                "produce",
                topic,
                record_size=size,
                batch_size=RECORD_BATCH_BYTES,
                connections=4,
                in_flight=4,
                warm_up=0.3,
                duration=0.8,
            )

    info = OperationInfo(
        f"record-size-{size}",
        f"records of {size:,} B",
        "Record size (batches of 64 KiB)",
        NATIVE,
        ("mb_per_s", "cpu_s_per_gb"),
        axis="bytes of a record",
        axis_value=size,
    )
    return Operation(
        info,
        run,
        peers=("barnabas", "kafka"),
        writes_gb=1.0,
        is_warmed_up=False,
        once=("kafka",),
    )


def _partitions(count: int) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(count) as topic:
            return native_load.load(
                peer,
                "produce",
                topic,
                record_size=1000,
                batch_size=BATCH_BYTES,
                connections=4,
                in_flight=5,
                warm_up=1.0 + count / 10000,
                duration=SECONDS,
            )

    info = OperationInfo(
        f"partitions-{count}",
        f"{count:,} partition{'s'[: count > 1]}",
        "Partitions (batches of 16 KiB)",
        NATIVE,
        ("mb_per_s", "cpu_s_per_gb"),
        axis="partitions",
        axis_value=count,
    )
    peers = ("barnabas", "kafka") if count <= KAFKA_MOST_PARTITIONS else ("barnabas",)
    return Operation(
        info,
        run,
        peers=peers,
        writes_gb=2.0,
        is_warmed_up=False,
        once=("kafka",),
    )


def _connections(count: int) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(16) as topic:
            return native_load.load(
                peer,
                "produce",
                topic,
                record_size=REQUEST_BYTES,
                batch_records=1,
                rate=REQUESTS_PER_S,
                connections=count,
                in_flight=5,
                warm_up=1.0 + count / 2000,
                duration=SECONDS,
            )

    info = OperationInfo(
        f"connections-{count}",
        f"{count:,} connection{'s'[: count > 1]}",
        "Connections (2,000 requests/s of 15 KB over all)",
        NATIVE,
        ("cpu_s_per_gb", "p50_ms"),
        axis="connections",
        axis_value=count,
    )
    peers = ("barnabas", "kafka") if count <= KAFKA_MOST_CONNECTIONS else ("barnabas",)
    return Operation(
        info,
        run,
        peers=peers,
        writes_gb=0.1,
        is_warmed_up=False,
        once=("kafka",),
    )


def _idle_connections() -> Operation:
    @with_own_server
    def run(peer: Peer) -> Measured:
        peer.server.start()
        time.sleep(1)  # what the start leaves to do
        request = frame("ApiVersions", 0, {})
        address = ("127.0.0.1", peer.server.port)
        before = peer.usage().rss_bytes
        with contextlib.ExitStack() as stack:
            stack.callback(resource.setrlimit, *_raise_open_files())
            for _ in range(IDLE_CONNECTIONS):
                connection = stack.enter_context(socket.create_connection(address))
                connection.sendall(request)
                assert connection.recv(1 << 16)
            time.sleep(1)
            grown = peer.usage().rss_bytes - before
        return Measured({"rss_kb_per_connection": grown / 1000 / IDLE_CONNECTIONS})

    info = OperationInfo(
        "idle-connections",
        f"{IDLE_CONNECTIONS:,} idle connections that have asked once",
        "Memory",
        "sockets",
        ("rss_kb_per_connection",),
    )
    return Operation(info, run, peers=("barnabas",), repetitions=1)


def _raise_open_files() -> tuple[int, tuple[int, int]]:
    """Allows as many as may be; what to give back to `setrlimit`."""
    kind = resource.RLIMIT_NOFILE
    limits = resource.getrlimit(kind)
    resource.setrlimit(kind, (limits[1], limits[1]))
    return kind, limits
