"""What a cluster holds, as its clients see it; and a cluster filled with some of everything."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic

from clients.contract import CODECS, Header, any_records
from clients.test_confluent_kafka import ConfluentClient
from peers.java import ToolShell
from peers.processes import wait_until
from peers.servers import Server

TIMEOUT_S = 30
GROUP = "readers"
MODERN_GROUP = "modern-readers"
COMPACTED = "compacted"
TRANSACTIONAL = "transactional"
TOPICS: Mapping[str, tuple[int, Mapping[str, str]]] = {
    "plain": (2, {"internal.segment.bytes": "131072", "retention.ms": "-1"}),
    COMPACTED: (
        1,
        {
            "cleanup.policy": "compact",
            "internal.segment.bytes": "4096",
            "min.cleanable.dirty.ratio": "0.01",
        },
    ),
    TRANSACTIONAL: (1, {"max.message.bytes": "2000000"}),
    "grown": (3, {}),
    "empty": (1, {}),
}
# What Apache Kafka is started with to fill such topics quickly.
KAFKA_CONFIG = {
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.num.partitions": "2",
    "log.cleaner.backoff.ms": "200",
    "log.initial.task.delay.ms": "200",
    "log.index.interval.bytes": "512",
    "metadata.log.max.record.bytes.between.snapshots": "1500",
}
_COMPLAINT = re.compile(
    r"mismatch|out of order|non-consecutive|isvalid: false|corrupt|invalid|exception|error|"
    r"not found|could not|failed",
    re.IGNORECASE,
)

# Offset, timestamp, key, value, headers.
SeenRecord = tuple[int, int, bytes | None, bytes | None, tuple[Header, ...]]
Contents = dict[tuple[str, int], list[SeenRecord]]


def fill(server: Server) -> None:
    """Topics of several segments, every codec, transactions, compaction, a deletion, a group."""
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    new = [NewTopic(name, 1, 1, config=dict(config)) for name, (_, config) in TOPICS.items()]
    new.append(NewTopic("deleted", 1, 1))
    for future in admin.create_topics(new).values():
        future.result(TIMEOUT_S)
    for name, (count, _) in TOPICS.items():
        if count > 1:
            admin.create_partitions([NewPartitions(name, count)])[name].result(TIMEOUT_S)
    admin.delete_topics(["deleted"])["deleted"].result(TIMEOUT_S)
    for _ in range(3):
        produce_every_codec(server.bootstrap, "plain")
    produce_keyed(server.bootstrap, COMPACTED, 600)
    produce_transactions(server.bootstrap, TRANSACTIONAL)
    produce_keyed(server.bootstrap, "grown", 90)
    ConfluentClient().consume_in_group(server.bootstrap, "plain", GROUP, 25)
    consume_with_the_consumer_protocol(server.bootstrap, "plain", 15)
    checkpoint = server.data_dir / "cleaner-offset-checkpoint"
    wait_until(lambda: COMPACTED in checkpoint.read_text(), TIMEOUT_S, "the first compaction")


def produce_every_codec(bootstrap: str, topic: str) -> None:
    """The records of every shape in partition 0, once a codec, with idempotence.

    All at once: each producer first waits half a second, until it asks for its id again.
    """

    def produce(codec: str) -> None:
        ConfluentClient().produce(bootstrap, topic, any_records(), codec)

    with ThreadPoolExecutor(len(CODECS)) as pool:
        list(pool.map(produce, CODECS))


def produce_keyed(bootstrap: str, topic: str, count: int) -> None:
    """Records of few keys, in batches that compaction can thin out; the keys choose partitions."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for number in range(count):
        value = f"{time.time_ns()} {number} {'x' * 100}".encode()
        producer.produce(topic, value, b"key %d" % (number % 20))
        if number % 10 == 0:
            producer.flush(TIMEOUT_S)
    assert producer.flush(TIMEOUT_S) == 0


def produce_transactions(bootstrap: str, topic: str) -> None:
    """A few committed transactions and an aborted one."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "writer"})
    producer.init_transactions(TIMEOUT_S)
    for number in range(4):
        producer.begin_transaction()
        for part in range(5):
            producer.produce(topic, b"transaction %d, part %d" % (number, part), b"k")
        producer.flush(TIMEOUT_S)
        if number == 2:
            producer.abort_transaction(TIMEOUT_S)
        else:
            producer.commit_transaction(TIMEOUT_S)


def consume_with_the_consumer_protocol(bootstrap: str, topic: str, count: int) -> None:
    """Reads and commits as a KIP-848 group, and does not leave it: the broker goes first."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": MODERN_GROUP,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "group.instance.id": "static",  # which stays a member when it closes
            "log_level": 3,
        }
    )
    consumer.subscribe([topic])
    records = 0
    while records < count:
        records += len(consumer.consume(count - records, 1.0))
    consumer.commit(offsets=[TopicPartition(topic, 0, count)], asynchronous=False)
    consumer.close()


def read_all(
    bootstrap: str, *, isolation: str = "read_uncommitted", empty_answers: bool = False
) -> Contents:
    """Every record of every topic of the cluster that is not internal.

    `empty_answers`: Kafka may answer with nothing but a batch that compaction has emptied, which
    librdkafka takes for a record that is too large, and passes by.
    """
    passed = {KafkaError._PARTITION_EOF}
    if empty_answers:
        passed.add(KafkaError.MSG_SIZE_TOO_LARGE)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end is told by an answer without records
            "check.crcs": True,
            "isolation.level": isolation,
        }
    )
    topics = consumer.list_topics(timeout=TIMEOUT_S).topics
    contents: Contents = {
        (name, partition): []
        for name, topic in topics.items()
        if not name.startswith("__")
        for partition, state in topic.partitions.items()
        if state.leader >= 0
    }
    consumer.assign([TopicPartition(name, partition, 0) for name, partition in contents])
    unread = set(contents)
    deadline = time.monotonic() + TIMEOUT_S
    while unread:
        assert time.monotonic() < deadline, f"not read to the end: {unread}"
        message = consumer.poll(1.0)
        if message is None:
            continue
        where = (str(message.topic()), message.partition() or 0)
        error = message.error()
        if error is not None:
            assert error.code() in passed, error
            if error.code() == KafkaError._PARTITION_EOF:
                unread.discard(where)
            continue
        headers = cast("list[Header]", message.headers() or [])
        contents[where].append(
            (
                message.offset() or 0,
                message.timestamp()[1],
                message.key(),
                message.value(),
                tuple(headers),
            )
        )
    consumer.close()
    return contents


def latest_by_key(records: Iterable[SeenRecord]) -> dict[bytes | None, bytes | None]:
    """What compaction must keep."""
    return {record[2]: record[3] for record in records}


@dataclass(frozen=True)
class Topic:
    """What clients are told of a topic."""

    topic_id: str
    partition_count: int
    config: Mapping[str, str]  # what was set for the topic itself, in public keys


def describe(bootstrap: str) -> dict[str, Topic]:
    """The topics of a cluster, internal ones too."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    names = list(admin.list_topics(timeout=TIMEOUT_S).topics)
    described = admin.describe_topics(TopicCollection(names))
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    configs = {
        resource.name: {
            entry.name: entry.value
            for entry in future.result(TIMEOUT_S).values()
            if entry.source == 1 and not entry.name.startswith("internal.")
        }
        for resource, future in admin.describe_configs(resources).items()
    }
    return {
        name: Topic(
            str(found.result(TIMEOUT_S).topic_id),
            len(found.result(TIMEOUT_S).partitions),
            configs[name],
        )
        for name, found in described.items()
    }


def committed(bootstrap: str, group: str = GROUP) -> dict[tuple[str, int], int]:
    """The offsets that a group has committed."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    request = [ConsumerGroupTopicPartitions(group)]
    found = admin.list_consumer_group_offsets(request)[group].result(TIMEOUT_S)
    return {(at.topic, at.partition): at.offset for at in found.topic_partitions}


def complaints(shell: ToolShell, data_dir: Path) -> list[str]:
    """What Kafka's own dump tool says against the files of a directory that was closed cleanly."""
    found: list[str] = []
    for suffixes, options in (
        ((".log", ".snapshot", ".txnindex"), ("--deep-iteration",)),
        ((".index", ".timeindex"), ("--index-sanity-check",)),
    ):
        files: Sequence[Path] = [
            path
            for path in sorted(data_dir.glob("[!_]*/*"))
            if path.suffix in suffixes and path.stat().st_size > 0
        ]
        output = shell.dump_log_segments(files, *options)
        found += [line for line in output.splitlines() if _COMPLAINT.search(line)]
    return found
