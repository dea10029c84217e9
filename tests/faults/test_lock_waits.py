"""Appends that wait for a lock of their partition: the log directory does not count as stalled."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import barnabas
from barnabas.testing import faults
from faults.test_compaction import await_true
from faults.test_write_stall import new_producer

SYNC_S = 2.0
QUICK_S = 1.0
CONFIG = {
    "log.cleaner.backoff.ms": "500",
    "log.retention.check.interval.ms": "100",
    "log.initial.task.delay.ms": "0",
}
COMPACTED = {
    "cleanup.policy": "compact",
    "internal.segment.bytes": "16384",
    "min.cleanable.dirty.ratio": "0.01",
}
PRODUCERS = 8  # of the partition that is compacted, each with a connection of its own


@pytest.mark.parametrize("threads", [1, 2])
def test_a_compaction_that_waits_for_the_disk_holds_up_its_partition_alone(
    tmp_path: Path, threads: int, measured: Callable[[str], None]
) -> None:
    """Its swap has the partition's locks while it fsyncs the directory."""
    with barnabas.Broker(tmp_path, config={**CONFIG, "num.network.threads": threads}) as broker:
        broker.create_topic("busy", config=COMPACTED)
        broker.create_topic("other")
        errors: list[object] = []
        producers = [new_producer(broker) for _ in range(PRODUCERS)]
        other = new_producer(broker)
        other.produce("other", b"first")
        assert other.flush(20) == 0

        def send(topic: str) -> float:
            begin = time.monotonic()
            other.produce(topic, b"v", on_delivery=lambda error, _: errors.append(error))
            assert other.flush(20) == 0
            return time.monotonic() - begin

        for number in range(40):
            other.produce("busy", bytes(1000), b"%d" % (number % 3))
            assert other.flush(20) == 0
        with faults.delay("sync", "*/busy-0", seconds=SYNC_S):
            other.produce("busy", bytes(16000), b"rolls")
            assert other.flush(20) == 0
            await_true(lambda: bool(list((tmp_path / "busy-0").glob("*.log.swap"))))
            begin_s = time.monotonic()
            for number, producer in enumerate(producers):
                producer.produce("busy", b"v", b"%d" % number)
                producer.poll(0)
            time.sleep(0.2)  # many times what the watchdog takes
            before = stand_ins()
            took = [send("other") for _ in range(20)]
            elapsed_s = time.monotonic() - begin_s
            assert all(len(producer) == 1 for producer in producers)  # they do wait
            for producer in producers:
                assert producer.flush(20) == 0
        assert set(errors) == {None}
    measured(f"20 produces beside it in {elapsed_s:.2f} s, the longest {max(took) * 1e3:.1f} ms")
    assert max(took) < QUICK_S
    assert elapsed_s < SYNC_S
    assert before <= threads  # no thread follows another to where it is stuck


def stand_ins() -> int:
    """Threads of this process that run a reactor whose own one is stuck."""
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert threading.active_count() <= len(names)
    return names.count("bnb-standin")
