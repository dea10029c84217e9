"""Throughput at saturation: acks, partitions and codecs, with the native generator."""

from typing import Any

from bench import native_load
from bench.kernel import Kernel
from bench.operation import NATIVE, Operation
from bench.peer import Measured, Peer
from bench.results import OperationInfo

RECORD_BYTES = 1000
BATCH_BYTES = 64 << 10
CONNECTIONS = 4
IN_FLIGHT = 4
SECONDS = 0.8
WARM_UP_S = 0.3
FILL_RECORDS = 300_000
CODECS = ("none", "lz4", "zstd")
PARTITIONS = (1, 16, 100)
ACKS = ("1", "all")
REPETITIONS = 2
PRODUCE_WRITES_GB = 1.0
FETCH_WRITES_GB = 0.3


def operations() -> list[Operation]:
    produce = [_produce(a, p, c) for c in CODECS for p in PARTITIONS for a in ACKS]
    return produce + [_fetch(p, c) for c in CODECS for p in PARTITIONS]


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
    }


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
        f"produce, acks {acks}, {partitions} partition{'s'[: partitions > 1]}, {codec}",
        "Produce at saturation",
        NATIVE,
        ("mb_per_s", "cpu_s_per_gb"),
    )
    is_plain = codec == "none" and acks == "all" and partitions == 16
    return Operation(
        info,
        run,
        kernel if is_plain else None,
        repetitions=REPETITIONS,
        is_core=is_plain,
        writes_gb=PRODUCE_WRITES_GB,
    )


def _fetch(partitions: int, codec: str) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(partitions) as topic:
            options = _options(partitions, codec, "1")
            native_load.run(peer, "produce", topic, warm_up=0, records=FILL_RECORDS, **options)
            report = native_load.run(
                peer,
                "consume",
                topic,
                connections=_connections(partitions),
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
        f"fetch, {partitions} partition{'s'[: partitions > 1]}, {codec}",
        "Fetch at saturation",
        NATIVE,
        ("mb_per_s", "cpu_s_per_gb"),
    )
    is_plain = codec == "none" and partitions == 16
    return Operation(
        info,
        run,
        kernel if is_plain else None,
        repetitions=REPETITIONS,
        is_core=is_plain,
        writes_gb=FETCH_WRITES_GB,
    )
