"""Throughput at saturation: acks, partitions and codecs, with the native generator and with
librdkafka.

Of one broker's partitions acks 1 and all ask for the same. The client has both in every cell, the
generator with records that are not compressed.
"""

from collections.abc import Callable
from typing import Any

from bench import librdkafka, native_load
from bench.kernel import Kernel
from bench.operation import BROKERS, LIBRDKAFKA, NATIVE, Operation
from bench.peer import Measured, Peer
from bench.results import OperationInfo

RECORD_BYTES = 1000
BATCH_BYTES = 64 << 10
CONNECTIONS = 4
IN_FLIGHT = 4
THREADS = 2  # of the generator: one alone would be what is measured
SECONDS = 0.5
WARM_UP_S = 0.2
FILL_RECORDS = 150_000
CODECS = ("none", "lz4", "zstd")
PARTITIONS = (1, 16, 100)
ACKS = ("1", "all")
PRODUCE_WRITES_GB = 0.8
CLIENT_PAYLOAD_BYTES = {"none": 80_000_000, "lz4": 60_000_000, "zstd": 30_000_000}
CLIENT_WRITES_GB = 0.1
CLIENT_REPETITIONS = 2  # so that the whole run fits into half an hour
SHOWN = ("mb_per_s", "cpu_s_per_gb", "client_cpu_s_per_gb")
CLIENT_SHOWN = ("mb_per_s", "cpu_s_per_gb", "client_thread", "busy_cores")
# Tansu's tenth of the throughput takes a third of the time: it is in every cell of the real client.
NATIVE_PEERS = ("barnabas", "kafka")


def operations() -> list[Operation]:
    written = [(a, p, c) for c in CODECS for p in PARTITIONS for a in ACKS]
    read = [(p, c) for c in CODECS for p in PARTITIONS]
    return [
        *(_produce(*cell) for cell in written if cell[0] == ACKS[-1] or cell[2] == CODECS[0]),
        *(_fetch(*cell) for cell in read),
        *(_client_produce(*cell) for cell in written),
        *(_client_fetch(*cell) for cell in read),
    ]


def _title(what: str, partitions: int, codec: str) -> str:
    return f"{what}, {partitions} partition{'s'[: partitions > 1]}, {codec}"


def _connections(partitions: int) -> int:
    return min(CONNECTIONS, partitions)


def _options(partitions: int, codec: str, acks: str) -> dict[str, Any]:
    return {
        "record_size": RECORD_BYTES,
        "batch_size": BATCH_BYTES,
        "codec": codec,
        "acks": acks,
        "connections": _connections(partitions),
        "in_flight": IN_FLIGHT,
        "threads": _threads(partitions),
    }


def _threads(partitions: int) -> int:
    return min(THREADS, _connections(partitions))


def _produce(acks: str, partitions: int, codec: str) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(partitions) as topic:
            return native_load.load(
                peer,
                "produce",
                topic,
                warm_up=WARM_UP_S,
                duration=SECONDS,
                **_options(partitions, codec, acks),
            )

    def kernel(loop: Kernel) -> Measured:
        return loop.produce(BATCH_BYTES, _connections(partitions), IN_FLIGHT, SECONDS)

    info = OperationInfo(
        f"produce-acks-{acks}-{partitions}p-{codec}",
        _title(f"produce, acks {acks}", partitions, codec),
        "Produce at saturation",
        NATIVE,
        SHOWN,
    )
    is_plain = codec == "none" and acks == "all" and partitions == 16
    return Operation(
        info,
        run,
        kernel if is_plain else None,
        BROKERS if is_plain else NATIVE_PEERS,
        is_core=is_plain,
        writes_gb=PRODUCE_WRITES_GB,
        is_warmed_up=partitions == 1,
        warm_up_by="cpu_s_per_gb" if codec == CODECS[0] and acks == ACKS[0] else None,
    )


def _fetch(partitions: int, codec: str) -> Operation:
    def run(peer: Peer) -> Measured:
        fill = {"warm_up": 0, "records": FILL_RECORDS, **_options(partitions, codec, "1")}
        topic = peer.filled_topic(
            partitions, lambda topic: native_load.run(peer, "produce", topic, **fill)
        )
        report = native_load.run(
            peer,
            "consume",
            topic,
            connections=_connections(partitions),
            threads=_threads(partitions),
            warm_up=WARM_UP_S,
            duration=SECONDS,
            repeat=True,
        )
        peer.memo["fetch_bytes"] = report["bytes"] / report["requests"]
        return native_load.measured(report)

    def kernel(loop: Kernel) -> Measured:
        return loop.fetch(loop.memo["fetch_bytes"], BATCH_BYTES, _connections(partitions), SECONDS)

    info = OperationInfo(
        f"fetch-{partitions}p-{codec}",
        _title("fetch", partitions, codec),
        "Fetch at saturation",
        NATIVE,
        SHOWN,
    )
    is_plain = codec == "none" and partitions == 16
    return Operation(
        info,
        run,
        kernel if is_plain else None,
        BROKERS if is_plain else NATIVE_PEERS,
        is_core=is_plain,
        is_warmed_up=partitions == 1,
        warm_up_by="cpu_s_per_gb" if codec == CODECS[0] else None,
    )


def _client_operation(
    what: str,
    name: str,
    title: str,
    run: Callable[[Peer], Measured],
    writes_gb: float,
    *,
    is_warmed_up: bool,
) -> Operation:
    info = OperationInfo(name, title, f"{what}, one librdkafka client", LIBRDKAFKA, CLIENT_SHOWN)
    return Operation(
        info, run, writes_gb=writes_gb, is_warmed_up=is_warmed_up, repetitions=CLIENT_REPETITIONS
    )


def _write(peer: Peer, topic: str, acks: str, codec: str) -> Measured:
    return librdkafka.produce(
        peer,
        topic,
        RECORD_BYTES,
        CLIENT_PAYLOAD_BYTES[codec],
        {"acks": acks, "compression.type": codec},
        make_value=librdkafka.random_words,
    )


def _client_produce(acks: str, partitions: int, codec: str) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(partitions) as topic:
            return _write(peer, topic, acks, codec)

    return _client_operation(
        "Produce",
        f"client-produce-acks-{acks}-{partitions}p-{codec}",
        _title(f"produce, acks {acks}", partitions, codec),
        run,
        CLIENT_WRITES_GB,
        is_warmed_up=partitions == PARTITIONS[0] and acks == ACKS[0],
    )


def _client_fetch(partitions: int, codec: str) -> Operation:
    def run(peer: Peer) -> Measured:
        topic = peer.filled_topic(partitions, lambda topic: _write(peer, topic, ACKS[0], codec))
        payload = CLIENT_PAYLOAD_BYTES[codec]
        return librdkafka.fetch(peer, topic, partitions, RECORD_BYTES, payload)

    return _client_operation(
        "Fetch",
        f"client-fetch-{partitions}p-{codec}",
        _title("fetch", partitions, codec),
        run,
        0.0,
        is_warmed_up=partitions == PARTITIONS[0],
    )
