"""Ten thousand partitions on one broker that may open twenty thousand files."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from peers.servers import BarnabasServer, Server

TOPICS = [f"many-{i}" for i in range(10)]
PARTITIONS = 1000  # of each
OPEN_FILES = 20_000
TIMEOUT_S = 120
SAMPLE = range(0, PARTITIONS, 97)


class LimitedServer(BarnabasServer):
    """A broker that may open so many files, and cannot change that."""

    def _command(self) -> list[str]:
        return ["prlimit", f"--nofile={OPEN_FILES}:{OPEN_FILES}", *super()._command()]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_ten_thousand_partitions_are_written_restarted_and_read(
    tmp_path: Path, measured: Callable[[str], None]
) -> None:
    with LimitedServer(tmp_path) as server:
        measured(_write_restart_read(server))


def _write_restart_read(server: Server) -> str:
    """What was measured."""
    begin = time.monotonic()
    _create(server)
    created_s = time.monotonic() - begin
    _produce(server)
    assert _open_files(server) < OPEN_FILES
    server.stop()
    server.start()
    clean_s = server.start_s
    _check(server, 1)
    server.kill()
    server.start()
    _produce(server)
    _check(server, 2)
    return (
        f"10,000 partitions: created in {created_s:.1f} s, started in {clean_s:.2f} s after a "
        f"clean stop and {server.start_s:.2f} s after a kill, {_open_files(server)} open files, "
        f"{server.rss_bytes() >> 20} MB"
    )


def _create(server: Server) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    for topic in TOPICS:  # one request may make 10,000 partitions, in all
        admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(TIMEOUT_S)


def _produce(server: Server) -> None:
    """One record to each partition."""
    producer = Producer({"bootstrap.servers": server.bootstrap, "linger.ms": 50, "log_level": 0})
    failed = []
    for topic in TOPICS:
        for partition in range(PARTITIONS):
            producer.produce(
                topic,
                b"%s-%d" % (topic.encode(), partition),
                partition=partition,
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
    assert producer.flush(TIMEOUT_S) == 0
    assert failed == []


def _check(server: Server, count: int) -> None:
    """Every partition sampled holds `count` records, and they are its own."""
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "g", "log_level": 0})
    try:
        sampled = [TopicPartition(topic, p, 0) for topic in TOPICS for p in SAMPLE]
        consumer.assign(sampled)
        seen: list[tuple[str | None, int | None, bytes | None]] = []
        deadline = time.monotonic() + TIMEOUT_S
        while len(seen) < count * len(sampled):
            assert time.monotonic() < deadline, f"{len(seen)} of {count * len(sampled)} records"
            seen += [(m.topic(), m.partition(), m.value()) for m in consumer.consume(1000, 0.5)]
        expected = [
            (topic, p, b"%s-%d" % (topic.encode(), p))
            for topic in TOPICS
            for p in SAMPLE
            for _ in range(count)
        ]
        assert sorted(seen, key=str) == sorted(expected, key=str)
    finally:
        consumer.close()


def _open_files(server: Server) -> int:
    return len(os.listdir(Path(f"/proc/{server.pid}/fd")))
