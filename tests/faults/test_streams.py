"""A Kafka Streams application counts words exactly once while it and the broker are killed."""

import random
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from clients.contract import create_topic
from faults.conftest import ServerFactory
from peers.java import WORD_COUNT, streams_command
from peers.processes import Child, wait_until
from peers.servers import Server

APPLICATION = "word-count"
CHANGELOG = f"{APPLICATION}-counts-changelog"
PARTITIONS = 2
WORDS = [f"word-{i}" for i in range(100)]
LINES, WORDS_PER_LINE = 1000, 10  # of a round
KILLS = ("application", "broker", "application", "")  # one in each round
TIMEOUT_S = 40.0
BROKER = {
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "2",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "log.cleaner.backoff.ms": "200",
    "log.initial.task.delay.ms": "0",
}


class Application:
    """One instance, which keeps its state directory when it is started again."""

    def __init__(self, directory: Path, bootstrap: str, source: str, target: str) -> None:
        self.directory = directory
        state = str(directory / "state")
        self.command = streams_command(WORD_COUNT, bootstrap, APPLICATION, source, target, state)
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        self.child = Child(self.command, self.directory, f"streams-{self.starts}")


class Tail:
    """Reads a topic as it grows, up to the last stable offset."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.records: dict[str, list[bytes]] = defaultdict(list)
        self.count = 0
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "unused",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "log_level": 0,
            }
        )
        self.consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])

    def read(self) -> int:
        """How many records there were so far."""
        for message in self.consumer.consume(10_000, 0.1):
            key, value = message.key(), message.value()
            if message.error() is None:  # else the broker is down
                assert isinstance(key, bytes)
                assert isinstance(value, bytes)
                self.records[key.decode()].append(value)
                self.count += 1
        return self.count

    def read_until(self, count: int) -> None:
        wait_until(lambda: self.read() >= count, TIMEOUT_S, f"{count} records")


def send_lines(server: Server, topic: str, rng: random.Random) -> Counter[str]:
    """The words that were sent."""
    producer = Producer({"bootstrap.servers": server.bootstrap, "enable.idempotence": True})
    sent: Counter[str] = Counter()
    for number in range(LINES):
        words = rng.choices(WORDS, k=WORDS_PER_LINE)
        producer.produce(topic, " ".join(words), partition=number % PARTITIONS)
        sent.update(words)
    assert producer.flush(TIMEOUT_S) == 0
    return sent


def policy(server: Server, topic: str) -> str:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    return str(admin.describe_configs([resource])[resource].result(30)["cleanup.policy"].value)


def segments(server: Server, topic: str) -> Iterator[list[int]]:
    """The base offsets of each partition's segments."""
    for partition in range(PARTITIONS):
        files = server.partition_dir(topic, partition).glob("*.log")
        yield sorted(int(path.stem) for path in files)


def cleaned(server: Server, topic: str) -> bool:
    """Whether every segment but the active ones has been compacted."""
    path = server.data_dir / "cleaner-offset-checkpoint"
    lines = path.read_text().splitlines() if path.exists() else []
    ends = {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in lines[2:]}
    return all(
        ends.get(f"{topic} {partition}", 0) == bases[-1]
        for partition, bases in enumerate(segments(server, topic))
    )


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.timeout(600)  # the jars come from Maven on first use
def test_streams_counts_each_word_once_whenever_it_or_the_broker_is_killed(
    new_server: ServerFactory,
    tmp_path: Path,
    seed: int,
    measured: Callable[[str], None],
) -> None:
    rng = random.Random(seed)
    server = new_server(BROKER)
    source, target = (create_topic(server.bootstrap, PARTITIONS) for _ in range(2))
    tail = Tail(server.bootstrap, target)
    sent: Counter[str] = Counter()
    begin = time.monotonic()
    application = Application(tmp_path, server.bootstrap, source, target)
    try:
        for victim in KILLS:
            before = sent.total()
            sent += send_lines(server, source, rng)
            tail.read_until(rng.randint(before + 1, sent.total()))
            if victim == "application":
                application.child.kill()
                application.start()
            elif victim == "broker":
                server.kill()
                server.start()
        tail.read_until(sent.total())
    finally:
        application.child.kill()
    took_s = time.monotonic() - begin
    assert {word: [int(value) for value in values] for word, values in tail.records.items()} == {
        word: list(range(1, count + 1)) for word, count in sent.items()
    }
    assert policy(server, CHANGELOG) == "compact"
    wait_until(lambda: cleaned(server, CHANGELOG), TIMEOUT_S, "a compacted changelog")
    changelog = Tail(server.bootstrap, CHANGELOG)
    wait_until(lambda: last_counts(changelog) == sent, TIMEOUT_S, "the counts of the changelog")
    assert changelog.count < sent.total() / 2
    measured(
        f"{sent.total():,} words counted in {took_s:.1f} s, {len(KILLS) - 1} kills; "
        f"{changelog.count:,} records are left of the changelog's"
    )


def last_counts(changelog: Tail) -> Counter[str]:
    changelog.read()
    return Counter(
        {word: struct.unpack(">q", values[-1])[0] for word, values in changelog.records.items()}
    )
