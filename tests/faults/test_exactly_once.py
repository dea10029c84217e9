"""Read-process-write while the broker is killed: each record is copied once, in order."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from clients.contract import create_topic
from faults.conftest import ServerFactory
from faults.copier import Copier, group_of, target_partition
from faults.load import RECONNECT
from peers.java import TRANSACTIONAL_MESSAGE_COPIER, tool_command
from peers.processes import Child
from peers.servers import Server

SOURCES, TARGETS = 4, 3  # partitions
COPIERS = 2
JAVA_TRANSACTION_RECORDS = 50
JAVA_TRANSACTION_TIMEOUT_MS = 5000
COPIER_KILL_EVERY = 3  # kills of the broker
MOST_STARTS = 20
RECORDS_PER_KILL = 6_667  # 200,000 with --copy-kills 30
PROGRESS_TIMEOUT_S = 60.0
READ_TIMEOUT_S = 60.0
KILL_IN_START = 0.1  # the share of kills that hit the broker while it recovers
CONFIG = {
    # Small segments: kills also hit rolls.
    "log.segment.bytes": str(1024 * 1024),
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "2",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
}

Copies = dict[int, dict[int, list[int]]]  # target partition -> source partition -> numbers


def fill(bootstrap: str, topic: str, records: int) -> None:
    """Record `number` of a source partition is at that offset."""
    producer = Producer({"bootstrap.servers": bootstrap, "queue.buffering.max.messages": 1_000_000})
    for i in range(records):
        number, partition = divmod(i, SOURCES)
        producer.produce(topic, f"{partition} {number}", partition=partition)
    assert producer.flush(60) == 0


class Committed:
    """What the copiers' group has committed; it never goes back."""

    def __init__(self, bootstrap: str, source: str, group: str) -> None:
        self.partitions = [TopicPartition(source, p) for p in range(SOURCES)]
        self.offsets = dict.fromkeys(range(SOURCES), 0)
        # Not read_committed: that waits for transactions that are open.
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "isolation.level": "read_uncommitted",
                **RECONNECT,
            }
        )

    def total(self) -> int:
        for found in self.consumer.committed(self.partitions, timeout=30):
            assert found.error is None, found.error
            offset = max(found.offset, 0)
            assert offset >= self.offsets[found.partition]
            self.offsets[found.partition] = offset
        return sum(self.offsets.values())

    def await_total(self, records: int, check: Callable[[], None]) -> None:
        """Calls `check` time and again meanwhile."""
        last, deadline = -1, 0.0
        while (total := self.total()) < records:
            check()
            if total > last:
                last, deadline = total, time.monotonic() + PROGRESS_TIMEOUT_S
            assert time.monotonic() < deadline, f"{total} records are copied, and no more"
            time.sleep(0.005)


def read_copies(bootstrap: str, topic: str, targets: int) -> Copies:
    """What read_committed sees."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end is told by an answer without records
        }
    )
    consumer.assign([TopicPartition(topic, p, 0) for p in range(targets)])
    copies: Copies = {p: {source: [] for source in range(SOURCES)} for p in range(targets)}
    ended: set[int | None] = set()
    deadline = time.monotonic() + READ_TIMEOUT_S
    while len(ended) < targets:
        assert time.monotonic() < deadline, f"only the ends of {ended} were reached"
        for message in consumer.consume(10_000, 0.02):
            partition, value, error = message.partition(), message.value(), message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(partition)
                continue
            assert isinstance(value, bytes)
            assert partition is not None
            source, number = map(int, value.split())
            copies[partition][source].append(number)
    consumer.close()
    return copies


def kill_and_start(server: Server, rng: random.Random) -> None:
    server.kill()
    if rng.random() < KILL_IN_START:
        server.launch()
        time.sleep(rng.uniform(0, 0.5))
        server.kill()
    server.start()


def numbers_of(records: int) -> dict[int, range]:
    """The numbers, which are the offsets, in each source partition."""
    return {p: range(records // SOURCES + (p < records % SOURCES)) for p in range(SOURCES)}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_each_record_is_copied_once_whenever_the_broker_is_killed(
    new_server: ServerFactory,
    seed: int,
    pytestconfig: pytest.Config,
    measured: Callable[[str], None],
) -> None:
    kills = int(pytestconfig.getoption("--copy-kills"))
    records = kills * RECORDS_PER_KILL
    rng = random.Random(seed)
    server = new_server(CONFIG)
    source, target = (create_topic(server.bootstrap, n) for n in (SOURCES, TARGETS))
    fill(server.bootstrap, source, records)
    committed = Committed(server.bootstrap, source, group_of(target))
    copiers = [
        Copier(
            f"copier-{i}",
            server.bootstrap,
            source=source,
            target=target,
            partitions=TARGETS,
            seed=rng.random(),
        )
        for i in range(COPIERS)
    ]

    def check() -> None:
        for copier in copiers:
            if copier.failure is not None:
                raise copier.failure

    begin = time.monotonic()
    for copier in copiers:
        copier.start()
    for moment in sorted(rng.randrange(records) for _ in range(kills)):
        committed.await_total(moment, check)
        time.sleep(rng.uniform(0, 0.05))
        kill_and_start(server, rng)
    committed.await_total(records, check)
    took_s = time.monotonic() - begin
    for copier in copiers:
        copier.finish()
    assert committed.total() == records
    numbers = numbers_of(records)
    assert committed.offsets == {p: len(all_) for p, all_ in numbers.items()}
    assert read_copies(server.bootstrap, target, TARGETS) == {
        to: {
            p: [n for n in all_ if target_partition(n, TARGETS) == to]
            for p, all_ in numbers.items()
        }
        for to in range(TARGETS)
    }
    counts = sum((copier.counts for copier in copiers), Counter())
    errors = sum((copier.errors for copier in copiers), Counter())
    measured(
        f"{kills} kills, {records:,} records in {took_s:.1f} s, {counts['commits']:,} commits, "
        f"{counts['aborts']} aborts, {counts['producers']} producers; errors {dict(errors)}"
    )


class JavaCopier:
    """Kafka's own TransactionalMessageCopier for one partition; started anew when it gives up."""

    def __init__(self, directory: Path, bootstrap: str, source: str, target: str, partition: int):
        self.directory = directory
        self.name = f"copier-{partition}"
        self.command = tool_command(
            TRANSACTIONAL_MESSAGE_COPIER,
            *("--broker-list", bootstrap, "--consumer-group", group_of(target)),
            *("--input-topic", source, "--input-partition", str(partition)),
            *("--output-topic", target, "--transactional-id", f"{target}-{partition}"),
            *("--transaction-size", str(JAVA_TRANSACTION_RECORDS)),
            # It looks for committed offsets before its producer ends what a killed one left open.
            *("--transaction-timeout", str(JAVA_TRANSACTION_TIMEOUT_MS)),
            *("--enable-random-aborts", "--use-group-metadata"),
        )
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        self.child = Child(self.command, self.directory, f"{self.name}-{self.starts}")

    def kill(self) -> None:
        """As a crash does, with a transaction open; it goes on from what is committed."""
        self.child.kill()
        self.start()

    def check(self) -> None:
        """It ends when it has copied all; else it is started again."""
        code = self.child.process.poll()
        if code:
            assert self.starts < MOST_STARTS, self.child.describe()
            self.start()


@pytest.mark.java
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_java_copies_each_record_once_whenever_broker_and_copiers_are_killed(
    new_server: ServerFactory,
    tmp_path: Path,
    seed: int,
    pytestconfig: pytest.Config,
    measured: Callable[[str], None],
) -> None:
    kills = int(pytestconfig.getoption("--copy-kills"))
    records = kills * RECORDS_PER_KILL
    rng = random.Random(seed)
    server = new_server(CONFIG)
    source, target = (create_topic(server.bootstrap, SOURCES) for _ in range(2))
    fill(server.bootstrap, source, records)
    committed = Committed(server.bootstrap, source, group_of(target))
    moments = sorted(rng.randrange(records) for _ in range(kills))
    begin = time.monotonic()
    copiers = [JavaCopier(tmp_path, server.bootstrap, source, target, p) for p in range(SOURCES)]

    def check() -> None:
        for copier in copiers:
            copier.check()

    try:
        for number, moment in enumerate(moments):
            committed.await_total(moment, check)
            time.sleep(rng.uniform(0, 0.05))
            if number % COPIER_KILL_EVERY == 0:
                rng.choice(copiers).kill()
            kill_and_start(server, rng)
        committed.await_total(records, check)
        took_s = time.monotonic() - begin
        for copier in copiers:
            assert copier.child.process.wait(PROGRESS_TIMEOUT_S) == 0, copier.child.describe()
    finally:
        for copier in copiers:
            copier.child.kill()
    numbers = numbers_of(records)
    assert committed.total() == records
    assert committed.offsets == {p: len(all_) for p, all_ in numbers.items()}
    assert read_copies(server.bootstrap, target, SOURCES) == {
        to: {p: list(all_) if p == to else [] for p, all_ in numbers.items()}
        for to in range(SOURCES)
    }
    measured(
        f"{kills} kills, {records:,} records in {took_s:.1f} s, "
        f"{sum(copier.starts for copier in copiers)} starts of {len(copiers)} copiers"
    )
