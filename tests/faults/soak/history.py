"""What clients have sent, committed and deleted, and what they were told of it."""

import itertools
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum

ID_HEADER = "id"  # of every record: its producer and number, which is unique


class Outcome(Enum):
    """Of a transaction, as far as its producer knows."""

    OPEN = "open"
    COMMITTING = "committing"
    ABORTING = "aborting"
    COMMITTED = "committed"
    ABORTED = "aborted"
    UNKNOWN = "unknown"  # the answer was lost: it is one or the other, as a whole


@dataclass(eq=False)
class Transaction:
    name: str
    outcome: Outcome = Outcome.OPEN


@dataclass(eq=False)
class Sent:
    """One record. `offset` is what the acknowledgement said."""

    producer: str
    number: int
    key: str | None
    value: bytes | None
    timestamp_ms: int
    transaction: Transaction | None = None
    offset: int | None = None

    @property
    def identity(self) -> str:
        return f"{self.producer} {self.number}"

    @property
    def counts(self) -> bool:
        """Whether a reader of committed records must see it, once it is acknowledged."""
        return self.transaction is None or self.transaction.outcome is Outcome.COMMITTED


@dataclass(eq=False)
class Partition:
    topic: str
    index: int
    compacted: bool = False
    transactional: bool = False
    retention_bytes: int | None = None
    sent: dict[str, Sent] = field(default_factory=dict)  # by identity
    deleted_to: int = 0  # DeleteRecords was acknowledged
    deletion_asked_to: int = 0

    def __str__(self) -> str:
        return f"{self.topic}-{self.index}"

    def acknowledged(self) -> list[Sent]:
        return [one for one in list(self.sent.values()) if one.offset is not None]

    def last_of_keys(self) -> dict[str | None, Sent]:
        """Of what is acknowledged and a reader of committed records must see."""
        last: dict[str | None, Sent] = {}
        for one in sorted(self.acknowledged(), key=lambda one: one.offset or 0):
            if one.counts:
                last[one.key] = one
        return last


@dataclass(eq=False)
class Commits:
    """Of one group for one partition; offsets only grow. Any of the group's members writes it."""

    group: str
    acknowledged: int = 0
    asked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, offset: int) -> None:
        """A commit is about to be sent."""
        with self._lock:
            self.asked = max(self.asked, offset)

    def acknowledge(self, offset: int) -> None:
        """It was answered: done."""
        with self._lock:
            self.acknowledged = max(self.acknowledged, offset)


class History:
    """Of all clients; each writes its own part."""

    def __init__(self) -> None:
        self.partitions: dict[tuple[str, int], Partition] = {}
        self.commits: dict[tuple[str, str, int], Commits] = {}
        self.refusals: list[str] = []  # what an idempotent producer must never be told
        self.transactions: list[Transaction] = []
        self.deleted_topics: set[str] = set()
        self.made_topics: set[str] = set()
        self._numbers: defaultdict[str, itertools.count[int]] = defaultdict(itertools.count)

    def add_topic(
        self,
        topic: str,
        partitions: int,
        *,
        compacted: bool = False,
        transactional: bool = False,
        retention_bytes: int | None = None,
    ) -> None:
        for index in range(partitions):
            self.partitions[topic, index] = Partition(
                topic, index, compacted, transactional, retention_bytes
            )

    def send(
        self,
        producer: str,
        partition: Partition,
        *,
        key: str | None,
        value: bytes | None,
        timestamp_ms: int,
        transaction: Transaction | None = None,
    ) -> Sent:
        """A record that is about to be sent."""
        number = next(self._numbers[producer])
        sent = Sent(producer, number, key, value, timestamp_ms, transaction)
        partition.sent[sent.identity] = sent
        return sent

    def begin(self, name: str) -> Transaction:
        transaction = Transaction(name)
        self.transactions.append(transaction)
        return transaction
