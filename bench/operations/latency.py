"""How long records take: end to end at a fixed rate, and beside a reader of cold data."""

import contextlib
import os

from bench import kafka_tools, native_load
from bench.operation import JAVA, NATIVE, Operation
from bench.peer import Measured, Peer
from bench.results import OperationInfo

RATE = 10_000  # records a second
RECORD_BYTES = 100
COLD_BYTES = 2_000_000_000
COLD_RECORD_BYTES = 1000
LATENCY = ("p50_ms", "p99_ms", "p999_ms")
HALF_LOAD = 0.5
COLD_SECONDS = 6.0


def operations() -> list[Operation]:
    return [
        _end_to_end("end-to-end", 30, 60, ("barnabas", "kafka"), is_core=False),
        _end_to_end("end-to-end-short", 3, 7, ("barnabas", "kafka", "tansu"), is_core=True),
        _tool(),
        _beside_cold_reader(is_read=False),
        _beside_cold_reader(is_read=True),
    ]


def _end_to_end(
    name: str,
    warm_up_s: int,
    seconds: int,
    peers: tuple[str, ...],
    *,
    is_core: bool,
) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(1) as topic:
            return native_load.load_with_curve(
                peer,
                "end-to-end",
                topic,
                rate=RATE,
                linger_ms=0,
                record_size=RECORD_BYTES,
                warm_up=warm_up_s,
                duration=seconds,
            )

    title = f"10,000 records/s, linger 0, {seconds} s after {warm_up_s} s"
    info = OperationInfo(name, title, "End-to-end latency", NATIVE, LATENCY)
    return Operation(info, run, peers=peers, repetitions=1, is_core=is_core)


def _tool() -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(1) as topic:
            return kafka_tools.end_to_end_latency(peer, topic, 10_000, RECORD_BYTES)

    info = OperationInfo(
        "java-end-to-end",
        "one record at a time, EndToEndLatency",
        "End-to-end latency",
        JAVA,
        ("mean_ms",),
    )
    return Operation(info, run, peers=("barnabas", "kafka"), repetitions=2)


def _beside_cold_reader(is_read: bool) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(1) as cold, peer.topic(4) as hot:
            if "half_load" not in peer.memo:
                full = _produce(peer, hot, 0, 2.0, in_flight=1)
                peer.memo["half_load"] = full.metrics["requests_per_s"] * HALF_LOAD
            reader: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
            if is_read:
                native_load.run(
                    peer,
                    "produce",
                    cold,
                    record_size=COLD_RECORD_BYTES,
                    batch_size=128 << 10,
                    warm_up=0,
                    records=COLD_BYTES // COLD_RECORD_BYTES,
                )
                _drop_from_page_cache(peer, cold)
                reader = native_load.background(
                    peer, "consume", cold, warm_up=0, records=COLD_BYTES // COLD_RECORD_BYTES
                )
            with reader:
                return _produce(peer, hot, peer.memo["half_load"], COLD_SECONDS)

    suffix = "beside a cold reader" if is_read else "alone"
    info = OperationInfo(
        f"half-load-{'cold-reader' if is_read else 'alone'}",
        f"produce at half load, {suffix}",
        "Cold reads",
        NATIVE,
        ("p50_ms", "p99_ms"),
    )
    return Operation(info, run, peers=("barnabas", "kafka"), repetitions=2)


def _produce(
    peer: Peer, topic: str, rate: float, seconds: float, *, in_flight: int = 5
) -> Measured:
    """Requests of one record of 1 KB; each has its own latency."""
    return native_load.load(
        peer,
        "produce",
        topic,
        record_size=1000,
        batch_records=1,
        connections=4,
        in_flight=in_flight,
        rate=round(rate),
        warm_up=1,
        duration=seconds,
    )


def _drop_from_page_cache(peer: Peer, topic: str) -> None:
    for path in peer.server.partition_dir(topic, 0).iterdir():
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
