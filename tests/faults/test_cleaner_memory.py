"""The buffer of compaction: made when it is needed, as large as its keys need, and given back."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

import barnabas
from clients.test_topic_settings import alter
from faults.test_compaction import await_true, cleaned_offset
from peers.servers import BarnabasServer

KEYS = {"few": 2_000, "many": 700_000}
ENTRY_BYTES = 24
ROOM = 3  # places for a key at most: those that are free, and a part that grows beside a larger one
SLACK_BYTES = 12 << 20  # buffers of files, and what the allocator keeps
PIECE = 20_000  # records of a batch column
BROKER = {"log.cleaner.backoff.ms": "50"}  # with the default buffer, 128 MiB
TOPIC = {
    "cleanup.policy": "compact",
    "internal.segment.bytes": "1000000",
    "min.cleanable.dirty.ratio": "1",
    "file.delete.delay.ms": "0",
}


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A data directory with a topic of so many keys each, not compacted yet."""
    with barnabas.Broker(tmp_path / "data") as broker, broker.producer() as producer:
        for topic, keys in KEYS.items():
            broker.create_topic(topic, config=TOPIC)
            for first in range(0, keys, PIECE):
                numbers = range(first, min(first + PIECE, keys))
                column = [b"key-%07d" % number for number in numbers]
                producer.send_many(topic, [b""] * len(column), keys=column)
            # Behind these a new segment begins, so that the others are closed.
            producer.send_many(topic, [bytes(1000)] * 1100, keys=[b"last"] * 1100).result(30)
    return tmp_path


def peak_bytes(server: BarnabasServer) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def compact(server: BarnabasServer, topic: str) -> tuple[int, int]:
    """By how much the process's memory grew meanwhile, and by how much it has grown after that."""
    before = server.rss_bytes()
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")  # the peak counts from here on
    alter(server, topic, {"min.cleanable.dirty.ratio": "0.01"})
    await_true(lambda: cleaned_offset(server, topic) >= KEYS[topic])
    grown = peak_bytes(server) - before
    deadline = time.monotonic() + 5  # the checkpoint is written before the pass ends
    while server.rss_bytes() - before > SLACK_BYTES and time.monotonic() < deadline:
        time.sleep(0.02)
    return grown, server.rss_bytes() - before


def test_the_buffer_is_as_large_as_its_keys_need_and_is_given_back(
    filled: Path, measured: Callable[[str], None]
) -> None:
    with BarnabasServer(filled, BROKER) as server:
        alter(server, "few", {"retention.ms": "-1"})  # what that imports is no buffer
        grown = {topic: compact(server, topic) for topic in KEYS}
    told = (
        f"{KEYS[topic]:,} keys: {peak >> 20} MiB, then {left >> 20}"
        for topic, (peak, left) in grown.items()
    )
    measured("; ".join(told))
    peak, left = grown["few"]
    assert peak < SLACK_BYTES
    peak, left = grown["many"]
    assert KEYS["many"] * ENTRY_BYTES < peak < KEYS["many"] * ENTRY_BYTES * ROOM
    assert left < SLACK_BYTES
