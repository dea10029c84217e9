"""Read-process-write with librdkafka, as an application does it.

Records and offsets go in one transaction; a rewind follows an abort; a new producer of the same id
follows one that gives up or is abandoned with its transaction open, as by a crash.
"""

import random
from collections import Counter
from collections.abc import Callable
from functools import partial

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from faults.load import RECONNECT, LoadThread

TRANSACTION_RECORDS = 200  # at most
TIMEOUT_S = 5.0  # then a producer is given up
ABORTED, ABANDONED = 0.05, 0.02  # the shares of transactions that it does not commit
TRIES = 3  # of what fails for a while only; each may take TIMEOUT_S


def target_partition(number: int, partitions: int) -> int:
    """Where the copy of a source partition's record `number` goes."""
    return number % partitions


class Copier(LoadThread):
    """One member of the group that copies; its transactions go to every partition."""

    def __init__(
        self,
        name: str,
        bootstrap: str,
        *,
        source: str,
        target: str,
        partitions: int,
        seed: float,
    ) -> None:
        super().__init__(name)
        self.bootstrap = bootstrap
        self.target = target
        self.partitions = partitions  # of the target
        self.rng = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group_of(target),
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                **RECONNECT,
            }
        )
        self.consumer.subscribe([source])

    def work(self) -> None:
        producer = self._new_producer()
        while not self.stopping.is_set():
            batch = self.consumer.consume(self.rng.randint(1, TRANSACTION_RECORDS), 0.05)
            records = [message for message in batch if message.error() is None]
            if not records:
                continue
            ending = self.rng.random()
            try:
                self._copy(producer, records)
                if ending >= ABORTED + ABANDONED:
                    self._try(partial(producer.commit_transaction, TIMEOUT_S))
                    self.counts["commits"] += 1
                    continue
                may_abort = ending < ABORTED
            except KafkaException as failure:
                error = failure.args[0]
                self.errors[error.name()] += 1
                may_abort = error.txn_requires_abort()
            if not (may_abort and self._abort(producer)):
                producer = self._new_producer()
            self._rewind()
        self.consumer.close()

    def _copy(self, producer: Producer, records: list[Message]) -> None:
        """In a transaction that stays open; raises KafkaException."""
        offsets: dict[int, int] = {}
        producer.begin_transaction()
        for record in records:
            value, partition, offset = record.value(), record.partition(), record.offset()
            assert isinstance(value, bytes)
            assert partition is not None
            assert offset is not None
            to = target_partition(offset, self.partitions)
            producer.produce(self.target, value, partition=to)
            offsets[partition] = offset + 1
        source = records[0].topic()
        assert source is not None
        positions = [TopicPartition(source, p, offset) for p, offset in offsets.items()]
        group = self.consumer.consumer_group_metadata()
        self._try(partial(producer.send_offsets_to_transaction, positions, group, TIMEOUT_S))

    def _new_producer(self) -> Producer:
        """Fences the one before and ends what it has left open."""
        while True:
            self.counts["producers"] += 1
            producer = Producer(
                {
                    "bootstrap.servers": self.bootstrap,
                    "transactional.id": f"{self.target}-{self.name}",
                    "linger.ms": 1,
                    "retry.backoff.ms": 20,
                    # With "rebootstrap" it forgets a lone broker that is down, and then waits for
                    # ever for its group's coordinator (librdkafka's issues 5511 and 5456).
                    "metadata.recovery.strategy": "none",
                    **RECONNECT,
                }
            )
            if self._succeeds(partial(producer.init_transactions, TIMEOUT_S)):
                return producer

    def _abort(self, producer: Producer) -> bool:
        self.counts["aborts"] += 1
        return self._succeeds(partial(producer.abort_transaction, TIMEOUT_S))

    def _rewind(self) -> None:
        """Back to what is committed; the broker may be down."""
        while not self._succeeds(self._seek) and not self.stopping.is_set():
            pass

    def _seek(self) -> None:
        owned = self.consumer.assignment()
        for found in self.consumer.committed(owned, timeout=TIMEOUT_S) if owned else ():
            if found.error is not None:
                raise KafkaException(found.error)
            if found.offset < 0:
                found.offset = OFFSET_BEGINNING
            self.consumer.seek(found)

    def _succeeds(self, call: Callable[[], object]) -> bool:
        try:
            self._try(call)
        except KafkaException as failure:
            self.errors[failure.args[0].name()] += 1
            return False
        return True

    def _try(self, call: Callable[[], object]) -> None:
        """Again, while the error is one that passes; raises KafkaException."""
        for left in reversed(range(TRIES)):
            try:
                call()
                return
            except KafkaException as failure:
                error: KafkaError = failure.args[0]
                if not (error.retriable() and left):
                    raise


def group_of(target: str) -> str:
    """The group of the copiers into a topic."""
    return f"copy-{target}"
