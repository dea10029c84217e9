"""Compaction of the same log by Apache Kafka's cleaner and by ours: the same records stay."""

import random
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from barnabas.log import Log
from clients.test_topic_settings import alter
from faults.test_compaction import (
    CODECS,
    TIMEOUT_S,
    TOPIC,
    await_clean,
    await_true,
    read_all,
    some_records,
)
from peers.servers import BarnabasServer, KafkaServer, Server

pytestmark = pytest.mark.java

BROKER = {"log.cleaner.backoff.ms": "200", "log.initial.task.delay.ms": "100"}
SEGMENT_BYTES = "16384"
HEADER = struct.Struct(">qiibIhiqqqhii")
CODEC_MASK, LOG_APPEND, TRANSACTIONAL, CONTROL, HORIZON = 0x07, 0x08, 0x10, 0x20, 0x40


class StoredBatch(NamedTuple):
    """What compaction may change of a batch, and what it must not."""

    base_offset: int
    last_offset_delta: int
    attributes: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int


def stored_batches(directory: Path) -> Iterator[StoredBatch]:
    for path in sorted(directory.glob("*.log")):
        content = path.read_bytes()
        at = 0
        while at < len(content):
            fields = HEADER.unpack_from(content, at)
            base_offset, length, _, magic, _, attributes, last_delta, _, max_timestamp = fields[:9]
            assert magic == 2
            yield StoredBatch(base_offset, last_delta, attributes, max_timestamp, *fields[9:])
            at += 12 + length


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with KafkaServer(tmp_path_factory.mktemp("kafka"), BROKER) as server:
        yield server


def fill(server: Server, rng: random.Random) -> None:
    """Every codec, with and without idempotence; transactions that committed and that did not."""
    for codec in CODECS:
        for idempotent in (False, True):
            producer = Producer(
                {
                    "bootstrap.servers": server.bootstrap,
                    "compression.type": codec,
                    "enable.idempotence": idempotent,
                }
            )
            for _ in range(10):
                for key, value in some_records(rng, 20, 60):
                    producer.produce(TOPIC, value, key, partition=0, headers=[("h", b"1")])
                assert producer.flush(TIMEOUT_S) == 0
    for number in range(4):
        producer = Producer(
            {"bootstrap.servers": server.bootstrap, "transactional.id": f"transaction-{number}"}
        )
        producer.init_transactions(TIMEOUT_S)
        for turn in range(6):
            producer.begin_transaction()
            for key, value in some_records(rng, 15, 60):
                producer.produce(TOPIC, value, key, partition=0)
            producer.flush(TIMEOUT_S)
            if (turn + number) % 2:
                producer.abort_transaction(TIMEOUT_S)
            else:
                producer.commit_transaction(TIMEOUT_S)


def await_markers(admin: AdminClient) -> None:
    """A commit is answered before its marker is in the log."""
    at = TopicPartition(TOPIC, 0)

    def latest(level: IsolationLevel) -> int:
        asked = admin.list_offsets({at: OffsetSpec.latest()}, isolation_level=level)
        return int(asked[at].result().offset)

    await_true(
        lambda: latest(IsolationLevel.READ_COMMITTED) == latest(IsolationLevel.READ_UNCOMMITTED)
    )


def in_order(directory: Path) -> list[StoredBatch]:
    return [batch for batch in stored_batches(directory) if batch.record_count > 0]


def test_the_same_batches_stay(kafka: Server, tmp_path: Path, seed: int) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    config = {"cleanup.policy": "delete", "internal.segment.bytes": SEGMENT_BYTES}
    topic = NewTopic(TOPIC, num_partitions=1, replication_factor=1, config=config)
    admin.create_topics([topic])[TOPIC].result(TIMEOUT_S)
    fill(kafka, random.Random(seed))
    await_markers(admin)
    theirs, ours = kafka.partition_dir(TOPIC, 0), tmp_path / f"{TOPIC}-0"
    shutil.copytree(theirs, ours)
    before = in_order(ours)
    settings = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.001",
        "delete.retention.ms": "2000",
    }
    # Twice: the first pass sets delete horizons, the second, once they are over, goes by them.
    for round_ in range(2):
        alter(kafka, TOPIC, settings)
        await_clean(kafka)
        time.sleep(1)
        with Log(ours, config={**config, **settings}) as log:
            log.compact()
        left, expected = in_order(ours), in_order(theirs)
        assert left == expected, f"round {round_}"
        assert len(left) < len(before)
        copy = tmp_path / f"copy-{round_}" / f"{TOPIC}-0"
        shutil.copytree(theirs, copy)
        with Log(ours, read_only=True) as log, Log(copy, read_only=True) as other:
            assert list(log) == list(other)
        if round_ == 0:
            assert any(batch.attributes & HORIZON for batch in left)
            kept_empty = {b for b in stored_batches(theirs) if b.record_count == 0}
            assert kept_empty <= set(stored_batches(ours))
            time.sleep(2)
            # New records make the log dirty again, for both.
            alter(kafka, TOPIC, {"cleanup.policy": "delete"})
            producer = Producer({"bootstrap.servers": kafka.bootstrap})
            for _ in range(40):
                producer.produce(TOPIC, bytes(900), b"filler", partition=0)
                producer.flush(TIMEOUT_S)
            _append_the_new(theirs, ours)


def _append_the_new(theirs: Path, ours: Path) -> None:
    """Copies what Kafka has appended since: the segments from our active one on."""
    active = max(ours.glob("*.log"))
    for path in theirs.iterdir():
        if path.name[:20].isdigit() and path.name[:20] >= active.name[:20]:
            shutil.copy(path, ours / path.name)
    (ours / ".kafka_cleanshutdown").unlink(missing_ok=True)


def test_a_log_that_we_compacted_is_read_by_kafka(kafka: Server, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with BarnabasServer(tmp_path / "ours", {"log.cleaner.backoff.ms": "100"}) as server:
        admin = AdminClient({"bootstrap.servers": server.bootstrap})
        config = {
            "cleanup.policy": "compact",
            "internal.segment.bytes": SEGMENT_BYTES,
            "min.cleanable.dirty.ratio": "0.001",
        }
        topic = NewTopic(TOPIC, num_partitions=1, replication_factor=1, config=config)
        admin.create_topics([topic])[TOPIC].result(TIMEOUT_S)
        producer = Producer({"bootstrap.servers": server.bootstrap, "enable.idempotence": True})
        for _ in range(100):
            for key, value in some_records(rng, 20, 60):
                producer.produce(TOPIC, value, key, partition=0)
            assert producer.flush(TIMEOUT_S) == 0
        await_clean(server)
        expected = read_all(server)
        server.stop()
        source = server.partition_dir(TOPIC, 0)
        other = "taken-over"
        kafka_admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        made = NewTopic(other, num_partitions=1, replication_factor=1, config={})
        kafka_admin.create_topics([made])[other].result(TIMEOUT_S)
        kafka.stop()
        target = kafka.partition_dir(other, 0)
        metadata = (target / "partition.metadata").read_bytes()
        shutil.rmtree(target)
        shutil.copytree(source, target)
        (target / "partition.metadata").write_bytes(metadata)
        (kafka.data_dir / ".kafka_cleanshutdown").unlink()  # Kafka looks at every batch
        kafka.start()
        assert read_all(kafka, topic=other) == expected
