"""examples/count_windows.py: each record is counted once, though the process is killed."""

import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from peers.processes import Child, free_port, wait_until

PROGRAM = Path(__file__).parents[2] / "examples" / "count_windows.py"
TIMEOUT_S = 60
KILLS = 5
RECORDS_A_ROUND = 2_000
WINDOW_S = 10


class Counting:
    """The program on a data directory and a port of its own, started again and again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._starts = 0

    def start(self) -> Child:
        self._starts += 1
        data = str(self._directory / "data")
        options = ["--data-dir", data, "--port", str(self.port), "--window", str(WINDOW_S)]
        command = [sys.executable, str(PROGRAM), "clicks", "counts", *options]
        child = Child(command, self._directory, f"run-{self._starts}")
        ready = f"counting on {self.bootstrap}"
        child.wait_for(lambda: ready in child.stdout(), TIMEOUT_S, "it counts")
        return child

    def results(self) -> dict[str, list[int]]:
        """Every count that was committed, by window and key, in the order of writing."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "unused",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        consumer.assign([TopicPartition("counts", partition, 0) for partition in range(4)])
        found: dict[str, list[int]] = {}
        ends = 0
        while ends < 4:
            message = consumer.poll(TIMEOUT_S)
            assert message is not None
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                ends += 1
                continue
            key, value = message.key() or b"", message.value() or b""
            found.setdefault(key.decode(), []).append(int(value))
        consumer.close()
        return found

    def counted(self) -> int:
        return sum(counts[-1] for counts in self.results().values())


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


@pytest.mark.slow
def test_every_record_is_counted_once_though_the_process_is_killed(counting: Counting) -> None:
    begin_ms = int(time.time() * 1000) // 60_000 * 60_000
    expected: Counter[str] = Counter()
    child = counting.start()
    producer = Producer({"bootstrap.servers": counting.bootstrap, "enable.idempotence": True})
    for kill in range(KILLS + 1):
        for _ in range(RECORDS_A_ROUND):
            second, page = random.randrange(60), f"page-{random.randrange(5)}"
            timestamp = begin_ms + second * 1000
            producer.produce("clicks", b"", key=page, timestamp=timestamp)
            expected[f"{timestamp - second % WINDOW_S * 1000}/{page}"] += 1
        if kill < KILLS:
            producer.poll(random.uniform(0, 0.05))
            child.kill()
            child = counting.start()
    assert producer.flush(TIMEOUT_S) == 0
    wait_until(lambda: counting.counted() >= expected.total(), TIMEOUT_S, "all is counted", 0.3)
    results = counting.results()
    assert {window: counts[-1] for window, counts in results.items()} == expected
    assert all(counts == sorted(set(counts)) for counts in results.values())
    assert child.terminate() == 0
    assert "0 records came too late" in child.stdout()


def test_what_comes_after_the_grace_is_not_counted(counting: Counting) -> None:
    child = counting.start()
    producer = Producer({"bootstrap.servers": counting.bootstrap})
    now_ms = int(time.time() * 1000) // 10_000 * 10_000
    for timestamp_ms in (now_ms, now_ms - 3_600_000, now_ms - 60_000):
        producer.produce("clicks", b"", key="page", timestamp=timestamp_ms, partition=0)
        assert producer.flush(TIMEOUT_S) == 0
        if timestamp_ms == now_ms:
            wait_until(lambda: counting.counted() == 1, TIMEOUT_S, "the first is counted", 0.3)
    wait_until(lambda: counting.counted() == 2, TIMEOUT_S, "the last is counted", 0.3)
    assert counting.results() == {f"{now_ms}/page": [1], f"{now_ms - 60_000}/page": [1]}
    assert child.terminate() == 0
    assert "1 records came too late" in child.stdout()
