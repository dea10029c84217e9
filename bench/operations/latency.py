"""How long records take: end to end at a fixed rate, and beside a reader of cold data."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import kafka_tools, native_load
from bench.operation import JAVA, NATIVE, Operation
from bench.peer import Measured, Peer
from bench.results import OperationInfo

PEERS = ("barnabas", "kafka")  # Tansu keeps up with a quarter of the rate
RATE = 10_000  # records a second
RECORD_BYTES = 100
TOOL_RECORDS = 2_000
COLD_BYTES = 2_000_000_000
COLD_RECORD_BYTES = 1000
LATENCY = ("p50_ms", "p99_ms", "p999_ms")
HALF = 0.5
PRODUCE_WARM_UP_S = 1.0
PRODUCE_S = 5.0
READ_AFTER_S = 2.0  # the producer has started and warmed up


def operations() -> list[Operation]:
    return [
        _end_to_end("end-to-end", 30, 60, is_core=False),
        _end_to_end("end-to-end-short", 3, 5, is_core=True),
        _tool(),
        _beside_cold_reader(is_read=False),
        _beside_cold_reader(is_read=True),
    ]


def _end_to_end(
    name: str,
    warm_up_s: int,
    seconds: int,
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
    return Operation(
        info,
        run,
        peers=PEERS,
        repetitions=1,
        is_core=is_core,
        is_only_core=is_core,
        is_warmed_up=False,
    )


def _tool() -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(1) as topic:
            return kafka_tools.end_to_end_latency(peer, topic, TOOL_RECORDS, RECORD_BYTES)

    info = OperationInfo(
        "java-end-to-end",
        "one record at a time, EndToEndLatency",
        "End-to-end latency",
        JAVA,
        ("mean_ms",),
    )
    return Operation(info, run, peers=PEERS, repetitions=1, is_warmed_up=False)


def _beside_cold_reader(is_read: bool) -> Operation:
    def run(peer: Peer) -> Measured:
        with peer.topic(1) as cold, peer.topic(4) as hot:
            if not peer.half_load:
                full = _produce(peer, hot, 0)
                peer.half_load = full.metrics["requests_per_s"] * HALF
            records = COLD_BYTES // COLD_RECORD_BYTES
            if is_read:
                options = {"record_size": COLD_RECORD_BYTES, "batch_size": 128 << 10}
                native_load.run(peer, "produce", cold, warm_up=0, records=records, **options)
                _drop_from_page_cache(peer, cold)
            with ThreadPoolExecutor(1) as pool, ColdReads(peer) as reads:
                produced = pool.submit(_produce, peer, hot, peer.half_load)
                if is_read:
                    time.sleep(READ_AFTER_S)
                    native_load.run(peer, "consume", cold, warm_up=0, records=records)
                    assert not produced.done(), "the producer ended before the reader"
            if is_read and reads.size_bytes < COLD_BYTES * 0.9:
                raise NotColdError(f"{reads.size_bytes:,} bytes came from the disk")
            return produced.result()

    suffix = "beside a cold reader" if is_read else "alone"
    info = OperationInfo(
        f"half-load-{'cold-reader' if is_read else 'alone'}",
        f"produce at half load, {suffix}",
        "Cold reads",
        NATIVE,
        ("p50_ms", "p99_ms", "requests_per_s"),
    )
    return Operation(info, run, peers=PEERS, is_warmed_up=False, once=("kafka",))


def _produce(peer: Peer, topic: str, rate: float) -> Measured:
    """Requests of one record of 1 KB; each has its own latency."""
    return native_load.load(
        peer,
        "produce",
        topic,
        record_size=1000,
        batch_records=1,
        connections=4,
        in_flight=1,
        rate=round(rate),
        warm_up=PRODUCE_WARM_UP_S,
        duration=PRODUCE_S,
    )


class NotColdError(RuntimeError):
    """What was to come from the disk came from the page cache."""


class ColdReads:
    """What a broker reads from the disk while the block runs."""

    def __init__(self, peer: Peer) -> None:
        self._path = Path(f"/proc/{peer.server.pid}/io")
        self.size_bytes = 0

    def __enter__(self) -> "ColdReads":
        self._begin = self._read()
        return self

    def __exit__(self, *exception: object) -> None:
        self.size_bytes = self._read() - self._begin

    def _read(self) -> int:
        lines = dict(line.split(": ") for line in self._path.read_text().splitlines())
        return int(lines["read_bytes"])


def _drop_from_page_cache(peer: Peer, topic: str) -> None:
    for path in peer.server.partition_dir(topic, 0).iterdir():
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)
