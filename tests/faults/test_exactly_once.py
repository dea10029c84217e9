"""Read-process-write while the broker is killed: each record is copied once, in order."""

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from clients.contract import create_topic
from faults.conftest import ServerFactory
from faults.copier import Copier, group_of, target_partition
from faults.load import RECONNECT
from peers.servers import Server

SOURCES, TARGETS = 4, 3  # partitions
COPIERS = 2
RECORDS_PER_KILL = 6_667  # 200,000 with --copy-kills 30
PROGRESS_TIMEOUT_S = 60.0
READ_TIMEOUT_S = 60.0
KILL_IN_START = 0.1  # the share of kills that hit the broker while it recovers
CONFIG = {
    # Small segments: kills also hit rolls.
    "log.segment.bytes": str(1024 * 1024),
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "2",
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

    def __init__(self, bootstrap: str, source: str, target: str) -> None:
        self.partitions = [TopicPartition(source, p) for p in range(SOURCES)]
        self.offsets = dict.fromkeys(range(SOURCES), 0)
        # Not read_committed: that waits for transactions that are open.
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group_of(target),
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

    def await_total(self, records: int, copiers: list[Copier]) -> None:
        last, deadline = -1, 0.0
        while (total := self.total()) < records:
            for copier in copiers:
                if copier.failure is not None:
                    raise copier.failure
            if total > last:
                last, deadline = total, time.monotonic() + PROGRESS_TIMEOUT_S
            assert time.monotonic() < deadline, f"{total} records are copied, and no more"
            time.sleep(0.005)


def read_copies(bootstrap: str, topic: str) -> Copies:
    """What read_committed sees."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, p, 0) for p in range(TARGETS)])
    copies: Copies = {p: {source: [] for source in range(SOURCES)} for p in range(TARGETS)}
    ended: set[int | None] = set()
    deadline = time.monotonic() + READ_TIMEOUT_S
    while len(ended) < TARGETS:
        assert time.monotonic() < deadline, f"only the ends of {ended} were reached"
        for message in consumer.consume(10_000, 0.2):
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
    committed = Committed(server.bootstrap, source, target)
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
    begin = time.monotonic()
    for copier in copiers:
        copier.start()
    for moment in sorted(rng.randrange(records) for _ in range(kills)):
        committed.await_total(moment, copiers)
        time.sleep(rng.uniform(0, 0.05))
        kill_and_start(server, rng)
    committed.await_total(records, copiers)
    took_s = time.monotonic() - begin
    for copier in copiers:
        copier.finish()
    assert committed.total() == records
    numbers = {p: range(records // SOURCES + (p < records % SOURCES)) for p in range(SOURCES)}
    assert committed.offsets == {p: len(all_) for p, all_ in numbers.items()}
    assert read_copies(server.bootstrap, target) == {
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
