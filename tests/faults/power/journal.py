"""What clients have asked for and when they were answered: what must and what may be on a disk.

Times are nanoseconds of the wall clock, which strace goes by, too. A client notes the time before
it asks and the time after the answer: what was answered before a cut must be there, and what was
asked for before it may be there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

NEVER: Final = 2**63 - 1


class Asked(Protocol):
    begun: int
    answered: int


class Cut(NamedTuple):
    """A moment between two events: the times of the one before and the one behind it, as far as
    they are known.
    """

    after_ns: int
    before_ns: int

    def must_hold(self, asked: Asked) -> bool:
        return asked.answered < self.after_ns

    def may_hold(self, asked: Asked) -> bool:
        return asked.begun < self.before_ns


@dataclass(eq=False)
class Transaction:
    """The times are those of its end."""

    number: int
    is_commit: bool
    begun: int = NEVER
    answered: int = NEVER


@dataclass(eq=False)
class Record:
    number: int  # grows in each partition
    topic: str
    topic_id: str
    partition: int
    key: bytes | None
    value: bytes
    transaction: Transaction | None
    begun: int
    answered: int = NEVER
    offset: int = -1  # when it was answered

    @property
    def where(self) -> tuple[str, int, str]:
        """The topic, the partition, the topic's id."""
        return self.topic, self.partition, self.topic_id


@dataclass(frozen=True)
class TopicState:
    topic_id: str | None  # None: nobody was told
    partitions: int
    retention_ms: str


@dataclass(eq=False)
class TopicChange:
    """To another state; None: it is deleted."""

    topic: str
    state: TopicState | None
    begun: int
    answered: int = NEVER


@dataclass(eq=False)
class Commit:
    """Of a group's offset, of one topic."""

    group: str
    partition: int
    offset: int
    transaction: Transaction | None
    begun: int
    answered: int = NEVER


@dataclass(eq=False)
class Deletion:
    """Of records before an offset."""

    topic: str
    partition: int
    offset: int
    begun: int
    answered: int = NEVER


@dataclass
class Journal:
    """Each list has one writer at a time for a topic, a partition or a group, in its order."""

    records: list[Record] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    changes: list[TopicChange] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)

    def answers(self) -> list[int]:
        """When they came."""
        lists = (self.records, self.transactions, self.changes, self.commits, self.deletions)
        return [one.answered for of in lists for one in of]

    def states(self, topic: str, cut: Cut) -> list[TopicState | None]:
        """Those that a topic may be in."""
        states: list[TopicState | None] = [None]
        for change in self.changes:
            if change.topic != topic:
                continue
            if cut.must_hold(change):
                states = [change.state]
            elif cut.may_hold(change):
                states.append(change.state)
        return states

    def offsets(self, group: str, partition: int, cut: Cut) -> set[int]:
        """What a group may have committed: -1 is nothing."""
        offsets = {-1}
        for commit in self._commits(group, partition):
            of = commit.transaction or commit
            if commit.transaction is not None and not commit.transaction.is_commit:
                continue
            if cut.must_hold(of):
                offsets = {commit.offset}
            elif cut.may_hold(of):
                offsets.add(commit.offset)
        return offsets

    def offsets_without_fsyncs(self, group: str, partition: int, cut: Cut) -> set[int]:
        """The same where what was answered may be lost, of each coordinator's log for itself: where
        the abort of a transaction is lost, the next one's commit ends both.
        """
        asked = [c for c in self._commits(group, partition) if cut.may_hold(c)]
        return {-1, *(commit.offset for commit in asked)}

    def _commits(self, group: str, partition: int) -> Iterator[Commit]:
        for commit in self.commits:
            if (commit.group, commit.partition) == (group, partition):
                yield commit

    def log_starts(self, topic: str, partition: int, cut: Cut) -> tuple[int, int]:
        """The least and the most that deletions have made of it."""
        mine = [d for d in self.deletions if (d.topic, d.partition) == (topic, partition)]
        return (
            max([0, *(d.offset for d in mine if cut.must_hold(d))]),
            max([0, *(d.offset for d in mine if cut.may_hold(d))]),
        )

    def live_until(self, cut: Cut) -> None:
        """Forgets what came after a cut: who is not answered by then is not answered."""
        for of in (self.records, self.transactions, self.changes, self.commits, self.deletions):
            _forget(of, cut)
        self.records = [record for record in self.records if cut.may_hold(record)]
        self.commits = [commit for commit in self.commits if cut.may_hold(commit)]
        self.changes = [change for change in self.changes if cut.may_hold(change)]
        self.deletions = [deletion for deletion in self.deletions if cut.may_hold(deletion)]


def _forget(asked: Iterable[Asked], cut: Cut) -> None:
    for one in asked:
        if not cut.must_hold(one):
            one.answered = NEVER
        if not cut.may_hold(one):
            one.begun = NEVER
