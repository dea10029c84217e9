"""The clients of a broker whose disk is recorded: a thread each, and a journal of what they ask.

`orders` loses its first records to DeleteRecords, and a group commits offsets of it; `loose` is the
one that is not fsynced; `payments` is written in transactions that commit offsets, too; `state` is
compacted; what begins with `churn` is made, grown, configured, deleted and made again. Segments are
small, so that logs roll; where there are several log directories, partitions move between them.
"""

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from faults.power.journal import (
    Commit,
    Deletion,
    Journal,
    Record,
    TopicChange,
    TopicState,
    Transaction,
)
from unit.wire import WireClient

BROKER: Final = {
    "log.flush.offset.checkpoint.interval.ms": "300",
    "log.retention.check.interval.ms": "300",
    "log.cleaner.backoff.ms": "100",
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
}
SMALL = {"flush.messages": "1", "internal.segment.bytes": "8192", "file.delete.delay.ms": "0"}
TOPICS: Final = {
    "orders": (3, SMALL),
    "loose": (2, {**SMALL, "flush.messages": str(2**63 - 1), "retention.bytes": "40000"}),
    "payments": (2, SMALL),
    "state": (
        1,
        {**SMALL, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"},
    ),
}
ORDERS, LOOSE, PAYMENTS, STATE = TOPICS
TRANSACTIONAL_ID: Final = "payer"
READERS: Final = "readers"
PAYERS: Final = "payers"
WEEK_MS: Final = "604800000"  # retention.ms, unless a topic has its own
RETENTION_MS: Final = "retention.ms"
STEPS: Final = {
    "orders": 40,
    "loose": 40,
    "payments": 12,
    "state": 40,
    "churn": 12,
    "commits": 40,
    "moves": 10,
}
_TIMEOUT_S: Final = 60
_SET: Final = 0  # IncrementalAlterConfigs
_TOPIC: Final = 2


@dataclass(frozen=True)
class Setting:
    """How a broker is configured."""

    log_dirs: tuple[str, ...] = ("data",)  # below the root of what is recorded
    has_durable_coordinators: bool = True  # their topics are fsynced, too

    @classmethod
    def draw(cls, rng: random.Random) -> Self:
        return cls(("data",) if rng.random() < 0.5 else ("a", "b"), rng.random() < 0.75)

    def config(self, root: Path) -> dict[str, str]:
        log_dirs = ",".join(str(root / name) for name in self.log_dirs)
        default = {"log.flush.interval.messages": "1"} if self.has_durable_coordinators else {}
        return {**BROKER, **default, "log.dirs": log_dirs}


def make_topics(bootstrap: str, journal: Journal) -> None:
    """Those that live as long as the broker, where they are not there yet."""
    with WireClient(bootstrap) as client:
        there = _topics(client)
        now = time.time_ns()
        for name in sorted({*there, *(change.topic for change in journal.changes)}):
            # Whatever was in doubt is so no more.
            journal.changes.append(TopicChange(name, there.get(name), now, now))
    missing = {name: topic for name, topic in TOPICS.items() if name not in there}
    new = [NewTopic(name, count, 1, config=config) for name, (count, config) in missing.items()]
    begun = time.time_ns()
    changes = [
        TopicChange(name, TopicState(None, count, WEEK_MS), begun)
        for name, (count, _) in missing.items()
    ]
    journal.changes += changes
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in (admin.create_topics(new) if new else {}).values():
        made.result(_TIMEOUT_S)
    answered = time.time_ns()
    ids = topic_ids(bootstrap)
    for change in changes:
        change.state = TopicState(ids[change.topic], TOPICS[change.topic][0], WEEK_MS)
        change.answered = answered
    with WireClient(bootstrap) as client:
        find_coordinators(client)


def find_coordinators(client: WireClient) -> None:
    """Makes their topics if they are not there."""
    for key, key_type in ((READERS, 0), (PAYERS, 0), (TRANSACTIONAL_ID, 1)):
        deadline = time.monotonic() + _TIMEOUT_S
        while client.ask("FindCoordinator", 1, key=key, key_type=key_type).error_code != 0:
            assert time.monotonic() < deadline, key
            time.sleep(0.01)


class Workload:
    """One life of the clients."""

    def __init__(self, bootstrap: str, journal: Journal, rng: random.Random) -> None:
        self._bootstrap = bootstrap
        self._journal = journal
        self._seed = rng.randrange(2**32)
        last = max((record.number for record in journal.records), default=0)
        self._numbers = itertools.count(last + 1)
        self._ids = topic_ids(bootstrap)
        self._ends = dict.fromkeys(range(TOPICS[ORDERS][0]), 0)  # of orders, as answered

    def run(self) -> None:
        """All of them, to their ends. Raises what one of them has met."""
        actors = (
            self._order,
            self._be_loose,
            self._pay,
            self._change_state,
            self._churn,
            self._commit_orders,
            self._move,
        )
        failures: list[BaseException] = []

        def act(actor: Callable[[random.Random], None]) -> None:
            try:
                actor(random.Random(f"{self._seed} {actor.__name__}"))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=act, args=(actor,)) for actor in actors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    # -- records

    def _producer(self, **config: object) -> Producer:
        return Producer({"bootstrap.servers": self._bootstrap, "linger.ms": 1, **config})

    def _send(
        self,
        producer: Producer,
        topic: str,
        partition: int,
        padding: int,
        *,
        key: bytes | None = None,
        transaction: Transaction | None = None,
        topic_id: str | None = None,
    ) -> Record:
        number = next(self._numbers)  # each partition has one thread: its numbers grow
        value = b"%d " % number + b"x" * padding
        record = Record(
            number,
            topic,
            topic_id or self._ids[topic],
            partition,
            key,
            value,
            transaction,
            begun=time.time_ns(),
        )

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            record.offset = int(message.offset() or 0)
            record.answered = time.time_ns()

        self._journal.records.append(record)
        producer.produce(topic, value, key, partition=partition, on_delivery=on_delivery)
        return record

    def _flush(self, producer: Producer) -> None:
        assert producer.flush(_TIMEOUT_S) == 0

    def _order(self, rng: random.Random) -> None:
        producer = self._producer(**{"enable.idempotence": True})
        with WireClient(self._bootstrap) as client:
            for step in range(STEPS["orders"]):
                sent = [
                    self._send(producer, ORDERS, rng.randrange(3), rng.choice((0, 30, 800)))
                    for _ in range(rng.randint(1, 6))
                ]
                self._flush(producer)
                for record in sent:
                    self._ends[record.partition] = record.offset + 1
                if step % 8 == 7:
                    self._delete_records(client, rng)

    def _delete_records(self, client: WireClient, rng: random.Random) -> None:
        partition = rng.randrange(2)  # the third keeps all
        offset = rng.randint(self._ends[partition] // 2, self._ends[partition])
        deletion = Deletion(ORDERS, partition, offset, time.time_ns())
        self._journal.deletions.append(deletion)
        asked = [{"name": ORDERS, "partitions": [{"partition_index": partition, "offset": offset}]}]
        (topic,) = client.ask("DeleteRecords", 2, topics=asked, timeout=60_000).topics
        deletion.answered = time.time_ns()
        assert topic.partitions[0].error_code == 0

    def _be_loose(self, rng: random.Random) -> None:
        producer = self._producer(acks=1)
        for _ in range(STEPS["loose"]):
            for _ in range(rng.randint(1, 6)):
                self._send(producer, LOOSE, rng.randrange(2), rng.choice((0, 100, 1000)))
            self._flush(producer)

    def _change_state(self, rng: random.Random) -> None:
        producer = self._producer()
        for _ in range(STEPS["state"]):
            for _ in range(rng.randint(1, 6)):
                key = b"key-%d" % rng.randrange(12)
                self._send(producer, STATE, 0, rng.choice((0, 100, 700)), key=key)
            self._flush(producer)
            time.sleep(0.01)  # for the cleaner to meet more than one state of it

    # -- groups and transactions

    def _commit_orders(self, rng: random.Random) -> None:
        consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": READERS})
        for _ in range(STEPS["commits"]):
            partition = rng.randrange(3)
            offset = self._ends[partition]
            commit = Commit(READERS, partition, offset, None, time.time_ns())
            self._journal.commits.append(commit)
            where = [TopicPartition(ORDERS, partition, offset)]
            consumer.commit(offsets=where, asynchronous=False)
            commit.answered = time.time_ns()
        consumer.close()

    def _pay(self, rng: random.Random) -> None:
        producer = self._producer(**{"transactional.id": TRANSACTIONAL_ID})
        consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": PAYERS})
        member = consumer.consumer_group_metadata()
        producer.init_transactions(_TIMEOUT_S)
        for step in range(STEPS["payments"]):
            number = len(self._journal.transactions) + 1
            transaction = Transaction(number, is_commit=rng.random() < 0.6)
            self._journal.transactions.append(transaction)
            producer.begin_transaction()
            for at in range(rng.randint(2, 6)):
                padding = rng.choice((0, 900))
                self._send(producer, PAYMENTS, at % 2, padding, transaction=transaction)
            if step % 2:
                self._journal.commits.append(Commit(PAYERS, 0, number, transaction, time.time_ns()))
                where = [TopicPartition(ORDERS, 0, number)]
                producer.send_offsets_to_transaction(where, member, _TIMEOUT_S)
            if rng.random() < 0.5:
                self._flush(producer)
            transaction.begun = time.time_ns()
            if transaction.is_commit:
                producer.commit_transaction(_TIMEOUT_S)
            else:
                self._flush(producer)
                producer.abort_transaction(_TIMEOUT_S)
            transaction.answered = time.time_ns()
        consumer.close()

    # -- topics

    def _churn(self, rng: random.Random) -> None:
        with WireClient(self._bootstrap) as client:
            known = _topics(client)
            for step in range(STEPS["churn"]):
                name = f"churn-{step % 2}"
                if name in known or step >= 2:
                    known.pop(name, None)
                    self._delete(client, name)
                state = self._create(client, name, 1 + rng.randrange(2))
                producer = self._producer()  # knows nothing of an earlier topic of the name
                for _ in range(rng.randint(1, 5)):
                    partition = rng.randrange(state.partitions)
                    self._send(producer, name, partition, 50, topic_id=state.topic_id)
                self._flush(producer)
                for _ in range(rng.randrange(5)):  # the store's log begins anew some time
                    state = self._configure(client, name, state, str(rng.randrange(10**9, 10**10)))
                if rng.random() < 0.5:
                    self._grow(client, name, state)

    def _move(self, rng: random.Random) -> None:
        """To another log directory, if there are several; what comes of it may be cut."""
        with WireClient(self._bootstrap) as client:
            log_dirs = [found.log_dir for found in client.ask("DescribeLogDirs", 2).results]
            for _ in range(STEPS["moves"] if len(log_dirs) > 1 else 0):
                name = rng.choice([*TOPICS])
                topic = {"name": name, "partitions": [rng.randrange(TOPICS[name][0])]}
                where = {"path": rng.choice(log_dirs), "topics": [topic]}
                client.ask("AlterReplicaLogDirs", 2, dirs=[where])
                time.sleep(rng.uniform(0, 0.3))

    def _change(self, name: str, state: TopicState | None) -> TopicChange:
        change = TopicChange(name, state, time.time_ns())
        self._journal.changes.append(change)
        return change

    def _create(self, client: WireClient, name: str, partitions: int) -> TopicState:
        change = self._change(name, TopicState(None, partitions, WEEK_MS))
        new = {
            "name": name,
            "num_partitions": partitions,
            "replication_factor": 1,
            "assignments": [],
            "configs": [{"name": key, "value": value} for key, value in SMALL.items()],
        }
        (made,) = client.ask("CreateTopics", 7, topics=[new], timeout=60_000).topics
        assert made.error_code == 0, made
        state = TopicState(str(made.topic_id), partitions, WEEK_MS)
        change.state, change.answered = state, time.time_ns()
        return state

    def _delete(self, client: WireClient, name: str) -> None:
        change = self._change(name, None)
        asked = [{"name": name, "topic_id": None}]
        (gone,) = client.ask("DeleteTopics", 6, topics=asked, timeout=60_000).responses
        assert gone.error_code == 0, gone
        change.answered = time.time_ns()

    def _configure(
        self, client: WireClient, name: str, before: TopicState, retention_ms: str
    ) -> TopicState:
        state = TopicState(before.topic_id, before.partitions, retention_ms)
        change = self._change(name, state)
        config = {"name": RETENTION_MS, "config_operation": _SET, "value": retention_ms}
        asked = [{"resource_type": _TOPIC, "resource_name": name, "configs": [config]}]
        (done,) = client.ask("IncrementalAlterConfigs", 1, resources=asked).responses
        assert done.error_code == 0, done
        change.answered = time.time_ns()
        return state

    def _grow(self, client: WireClient, name: str, before: TopicState) -> None:
        count = before.partitions + 1
        change = self._change(name, TopicState(before.topic_id, count, before.retention_ms))
        asked = [{"name": name, "count": count, "assignments": None}]
        (done,) = client.ask("CreatePartitions", 3, topics=asked, timeout=60_000).results
        assert done.error_code == 0, done
        change.answered = time.time_ns()


def topic_ids(bootstrap: str) -> dict[str, str]:
    with WireClient(bootstrap) as client:
        topics = client.ask("Metadata", 12, topics=None).topics
    return {topic.name: str(topic.topic_id) for topic in topics}


def retention_of(client: WireClient, names: Sequence[str]) -> dict[str, str]:
    """retention.ms of topics."""
    asked = [
        {"resource_type": _TOPIC, "resource_name": name, "configuration_keys": [RETENTION_MS]}
        for name in names
    ]
    results = client.ask("DescribeConfigs", 4, resources=asked).results if asked else ()
    return {result.resource_name: result.configs[0].value for result in results}


def _topics(client: WireClient) -> dict[str, TopicState]:
    """Those that are there, but for the coordinators'."""
    topics = [t for t in client.ask("Metadata", 12, topics=None).topics if not t.is_internal]
    retention = retention_of(client, [topic.name for topic in topics])
    return {
        topic.name: TopicState(str(topic.topic_id), len(topic.partitions), retention[topic.name])
        for topic in topics
    }
