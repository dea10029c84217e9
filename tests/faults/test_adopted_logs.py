"""A directory of Apache Kafka's without its metadata: nobody knows what may go, so all of it stays,
however eager cleaner and retention are.
"""

from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

import barnabas
from faults.test_compaction import await_true, read_all
from peers.servers import BarnabasServer
from unit.adopt import kraft_writer as kw

ADOPTED = ("plain", "state")  # Kafka's cleaner has been at the latter
RECORDS = 60
KEYS = 3
LONG_AGO_MS = 1_000_000_000_000
TIMEOUT_S = 30
SMALL = {"internal.segment.bytes": "2000", "message.timestamp.before.max.ms": str(2**63 - 1)}
EAGER = {
    "log.cleaner.backoff.ms": "50",
    "log.cleaner.min.cleanable.ratio": "0.01",
    "log.cleaner.dedupe.buffer.size": "2000000",
    "log.retention.check.interval.ms": "50",
    "log.initial.task.delay.ms": "0",
    "log.retention.ms": "1000",
    "log.retention.bytes": "3000",
    "log.segment.delete.delay.ms": "0",
}


def fill(bootstrap: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    for number in range(RECORDS):
        key = b"%d" % (number % KEYS)
        producer.produce(topic, bytes(200), key, partition=0, timestamp=LONG_AGO_MS + number)
        assert producer.flush(TIMEOUT_S) == 0


@pytest.fixture
def kafka(tmp_path: Path) -> Path:
    """Several closed segments of each topic, with few keys and old timestamps."""
    made = tmp_path / "made"
    with barnabas.Broker(made) as broker:
        for topic in ADOPTED:
            broker.create_topic(topic, config={**SMALL, "retention.ms": "-1"})
            fill(broker.bootstrap_servers, topic)
    directory = kw.DataDir(tmp_path / "kafka", with_metadata=False).path
    for topic in ADOPTED:
        (made / f"{topic}-0").rename(directory / f"{topic}-0")
    (directory / "cleaner-offset-checkpoint").write_text("0\n1\nstate 0 5\n")
    return directory


def segments(directory: Path) -> dict[str, bytes]:
    logs = (path for topic in ADOPTED for path in (directory / f"{topic}-0").glob("*.log"))
    return {str(path.relative_to(directory)): path.read_bytes() for path in logs}


def stored(directory: Path, topic: str) -> int:
    return sum(path.stat().st_size for path in (directory / f"{topic}-0").glob("*.log"))


def test_cleaner_and_retention_leave_alone_what_they_know_no_rules_of(
    kafka: Path, tmp_path: Path
) -> None:
    before = segments(kafka)
    assert len(before) > 10
    controls = {"compacted": {"cleanup.policy": "compact"}, "short-lived": {}}
    options = ["--adopt-for-good"]
    with BarnabasServer(tmp_path / "server", EAGER, data_dir=kafka, options=options) as server:
        assert "nothing of them is deleted or compacted" in server.output()
        admin = AdminClient({"bootstrap.servers": server.bootstrap})
        topics = [NewTopic(name, 1, 1, config={**SMALL, **own}) for name, own in controls.items()]
        for future in admin.create_topics(topics).values():
            future.result(TIMEOUT_S)
        for name in controls:
            fill(server.bootstrap, name)
        # Both are at work, and look at every log in their turn.
        await_true(lambda: all(stored(kafka, name) < 3000 for name in controls))
        for topic in ADOPTED:
            assert len(read_all(server, topic=topic)) == RECORDS
        # What is added later lives as long.
        for topic in ADOPTED:
            fill(server.bootstrap, topic)
        server.stop()
        server.start()
        for name in controls:
            fill(server.bootstrap, name)
        await_true(lambda: all(stored(kafka, name) < 3000 for name in controls))
        for topic in ADOPTED:
            assert len(read_all(server, topic=topic)) == 2 * RECORDS
        server.stop()
    after = segments(kafka)
    for name, content in before.items():
        assert after[name].startswith(content), name
