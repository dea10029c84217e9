"""The clients of a soak: each a thread that writes down what it did and what it was told."""

import random
import time
from collections.abc import Sequence
from contextlib import closing, suppress

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from faults.load import RECONNECT, LoadThread
from faults.soak.audit import new_consumer
from faults.soak.history import ID_HEADER, Commits, History, Outcome, Partition, Sent, Transaction

IN_FLIGHT = 100  # records of one producer
KEYS = 60  # of a compacted partition, gone through by a window of them again and again:
KEYS_AT_A_TIME = 15  # the others rest, and the last records of some have been compacted
RECORDS_OF_A_KEY = 8  # before the window has left the next one behind
TOMBSTONES = 0.2  # of the records of a compacted partition
TIMEOUT_S = 10.0
INIT_TIMEOUT_S = 60.0
TRANSACTION_TIMEOUT_MS = 3 * 3_600_000  # a clock set forth is not to end them
PAUSE_S = 0.002
REST_S = 0.05

_REFUSED = (
    KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER,
    KafkaError.UNKNOWN_PRODUCER_ID,
    KafkaError.INVALID_PRODUCER_EPOCH,
)


class Actor(LoadThread):
    """Takes step after step. Where others take one, `steps_in_one` are waited for of those with
    small ones, which rest between two once they have done them, until they are `hurrying`.
    """

    steps_in_one = 1

    def __init__(self, name: str, bootstrap: str, history: History, seed: float) -> None:
        super().__init__(name)
        self.bootstrap = bootstrap
        self.history = history
        self.rng = random.Random(seed)
        self.steps = 0
        self.wanted_steps: int | None = None
        self.given_up = False

    def work(self) -> None:
        self.begin()
        while not self.stopping.is_set() and not self.given_up:
            self.step()
            self.steps += 1
            if self.steps_in_one > 1 and self.has_done_its_steps():
                self.hurrying.wait(REST_S)
        if not self.given_up:
            self.end()

    def has_done_its_steps(self) -> bool:
        """All that are waited for, if any are."""
        return self.wanted_steps is not None and self.steps >= self.wanted_steps * self.steps_in_one

    def begin(self) -> None:
        """Before the first step, in the thread."""

    def step(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """After the last one; what is under way is waited for."""


class Sender(Actor):
    """A producer of records to some partitions."""

    def __init__(
        self,
        name: str,
        bootstrap: str,
        history: History,
        seed: float,
        partitions: Sequence[Partition],
    ) -> None:
        super().__init__(name, bootstrap, history, seed)
        self.partitions = partitions
        self.producer = self._new_producer()

    def work(self) -> None:
        try:
            super().work()
        except (KafkaException, SystemError, AttributeError) as failure:
            # After a fatal error confluent-kafka calls back with an exception pending, which then
            # seems to come from whatever the callback looks up.
            self.history.refusals.append(f"{self.name}: {failure!r}")
            self.given_up = True

    def finish(self) -> None:
        super().finish()
        if self.given_up:
            # What confluent-kafka raised is never freed and has this object. The producer's threads
            # would look for their broker for as long as the process lives.
            del self.producer

    def settings(self) -> dict[str, str | int | bool]:
        """Of the producer."""
        raise NotImplementedError

    def _new_producer(self) -> Producer:
        own = {"bootstrap.servers": self.bootstrap, "linger.ms": 1, **self.settings()}
        # Without a callback a fatal error is raised from whatever call comes next.
        return Producer({**own, **RECONNECT, "error_cb": self.give_up_if_refused})

    def send(self, transaction: Transaction | None = None) -> None:
        partition = self.rng.choice(self.partitions)
        tombstone = partition.compacted and self.rng.random() < TOMBSTONES
        key = self._some_key(partition) if partition.compacted else None
        sent = self.history.send(
            self.name,
            partition,
            key=key,
            value=None if tombstone else bytes(self.rng.choice((0, 10, 100, 400))),
            timestamp_ms=int(time.time() * 1000) + self.rng.randrange(-500, 500),
            transaction=transaction,
        )
        self.producer.produce(
            partition.topic,
            sent.value,
            key,
            partition=partition.index,
            timestamp=sent.timestamp_ms,
            headers={ID_HEADER: sent.identity.encode()},
            on_delivery=lambda error, message: self._delivered(sent, error, message),
        )

    def _some_key(self, partition: Partition) -> str:
        window = len(partition.sent) // RECORDS_OF_A_KEY
        return f"key-{(window + self.rng.randrange(KEYS_AT_A_TIME)) % KEYS}"

    def _delivered(self, sent: Sent, error: KafkaError | None, message: Message) -> None:
        if error is None:
            sent.offset = message.offset()
        else:
            self.refused(sent, error)

    def refused(self, sent: Sent, error: KafkaError) -> None:
        """It may be in the log all the same."""

    def give_up_if_refused(self, error: KafkaError) -> None:
        """Of a fatal one there is no more to come."""
        if error.fatal() and error.code() in _REFUSED:
            self.given_up = True
            self.history.refusals.append(f"{self.name}: {error}")


class PlainSender(Sender):
    """No retry, acks=1: what was not acknowledged may be there or not."""

    steps_in_one = 3

    def settings(self) -> dict[str, str | int | bool]:
        return {"acks": 1, "retries": 0, "message.timeout.ms": 5000}

    def step(self) -> None:
        for _ in range(self.rng.randrange(1, 4)):
            self.send()
        self.producer.flush(TIMEOUT_S)

    def end(self) -> None:
        assert self.producer.flush(30) == 0


class IdempotentSender(Sender):
    """Everything is acknowledged in the end, once."""

    steps_in_one = 20

    def settings(self) -> dict[str, str | int | bool]:
        return {
            "enable.idempotence": True,
            "batch.num.messages": 10,
            "delivery.timeout.ms": 120_000,
            "retry.backoff.ms": 20,
        }

    def step(self) -> None:
        try:
            if len(self.producer) < IN_FLIGHT:
                for _ in range(self.rng.randrange(1, 20)):
                    self.send()
            self.producer.poll(PAUSE_S)
        except KafkaException as failure:
            self.give_up_if_refused(failure.args[0])

    def end(self) -> None:
        left = self.producer.flush(60)
        assert left == 0 or self.given_up, f"{self.name}: not all was acknowledged"

    def refused(self, sent: Sent, error: KafkaError) -> None:
        if error.fatal() or error.code() in _REFUSED:
            self.history.refusals.append(f"{sent.identity}: {error}")
        elif error.code() != KafkaError._PURGE_QUEUE:
            self.history.refusals.append(f"{sent.identity} was given up: {error}")


class TransactionalSender(Sender):
    """Transactions that are committed, aborted, or left to their successor."""

    def settings(self) -> dict[str, str | int | bool]:
        return {
            "transactional.id": self.name,
            "retry.backoff.ms": 20,
            "metadata.recovery.strategy": "none",
            "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
            # Else librdkafka makes it almost as long, for which its microseconds have no room.
            "socket.timeout.ms": 60_000,
        }

    def begin(self) -> None:
        self._init()

    def _init(self) -> None:
        """Also when the load ends: what is open would hide the records behind it."""
        deadline = time.monotonic() + INIT_TIMEOUT_S
        while True:
            try:
                self.producer.init_transactions(TIMEOUT_S)
                return
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
            self._renew()

    def _renew(self) -> None:
        self.producer = self._new_producer()

    def step(self) -> None:
        transaction = self.history.begin(f"{self.name} {self.steps}")
        try:
            self.producer.begin_transaction()
            self.send(transaction)
            self.producer.flush(TIMEOUT_S)  # alone in its batch
            for _ in range(self.rng.randrange(8)):
                self.send(transaction)
            self.producer.flush(TIMEOUT_S)
            time.sleep(self.rng.uniform(0, 0.02))
            if self.rng.random() < 0.4:
                transaction.outcome = Outcome.ABORTING
                self.producer.abort_transaction(TIMEOUT_S)
                transaction.outcome = Outcome.ABORTED
            else:
                transaction.outcome = Outcome.COMMITTING
                self.producer.commit_transaction(TIMEOUT_S)
                transaction.outcome = Outcome.COMMITTED
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            # What was not to be committed never will be: a successor aborts what it finds open.
            self._give_up(transaction, error)

    def _give_up(self, transaction: Transaction, error: KafkaError) -> None:
        self.give_up_if_refused(error)
        committing = transaction.outcome is Outcome.COMMITTING
        if committing and error.txn_requires_abort():
            committing = False
        transaction.outcome = Outcome.UNKNOWN if committing else Outcome.ABORTED
        self._renew()
        self._init()


class Committer(Actor):
    """Commits ever larger offsets of a group of its own."""

    def __init__(
        self, name: str, bootstrap: str, history: History, seed: float, partition: Partition
    ) -> None:
        super().__init__(name, bootstrap, history, seed)
        self.partition = partition
        self.commits = Commits(name)
        history.commits[name, partition.topic, partition.index] = self.commits
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": name,
                "enable.auto.commit": False,
                **RECONNECT,
            }
        )

    def step(self) -> None:
        offset = self.commits.asked + 1
        self.commits.ask(offset)
        at = TopicPartition(self.partition.topic, self.partition.index, offset)
        try:
            (done,) = self.consumer.commit(offsets=[at], asynchronous=False) or [at]
        except KafkaException:
            self.stopping.wait(0.02)
            return
        if done.error is None:
            self.commits.acknowledge(offset)
        time.sleep(0.005)

    def end(self) -> None:
        self.consumer.close()


class Admin(Actor):
    """Deletes records, changes configurations, makes and deletes topics."""

    def __init__(
        self,
        name: str,
        bootstrap: str,
        history: History,
        seed: float,
        *,
        trimmed: Partition,
        configured: str,
    ) -> None:
        super().__init__(name, bootstrap, history, seed)
        self.trimmed = trimmed
        self.configured = configured
        self.admin = AdminClient({"bootstrap.servers": bootstrap, **RECONNECT})

    def step(self) -> None:
        with suppress(KafkaException, TimeoutError):  # the broker is down: done or not done
            self.rng.choice((self._trim, self._configure, self._make_and_delete))()
        self.stopping.wait(self.rng.uniform(0.02, 0.1))

    def _trim(self) -> None:
        known = [sent.offset or 0 for sent in self.trimmed.acknowledged()]
        if not known:
            return
        to = max(known) // 3
        if to <= self.trimmed.deletion_asked_to:
            return
        self.trimmed.deletion_asked_to = to
        at = TopicPartition(self.trimmed.topic, self.trimmed.index, to)
        (future,) = self.admin.delete_records([at], request_timeout=TIMEOUT_S).values()
        future.result(TIMEOUT_S)
        self.trimmed.deleted_to = to

    def _configure(self) -> None:
        value = str(self.rng.choice((20_000, 50_000, 200_000)))
        entry = ConfigEntry(
            "internal.segment.bytes", value, incremental_operation=AlterConfigOpType.SET
        )
        resource = ConfigResource(ResourceType.TOPIC, self.configured, incremental_configs=[entry])
        (future,) = self.admin.incremental_alter_configs([resource]).values()
        future.result(TIMEOUT_S)

    def _make_and_delete(self) -> None:
        topic = f"{self.name}-{self.steps}"
        self.admin.create_topics([NewTopic(topic, 2)])[topic].result(TIMEOUT_S)
        with closing(new_consumer(self.bootstrap)) as consumer:
            assert topic in consumer.list_topics(timeout=TIMEOUT_S).topics
        if self.rng.random() < 0.3:
            self.history.made_topics.add(topic)
            return
        self.admin.delete_topics([topic])[topic].result(TIMEOUT_S)
        self.history.deleted_topics.add(topic)
