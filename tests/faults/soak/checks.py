"""What a partition holds, held against what clients know: findings, each of one kind."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from faults.soak.history import Outcome, Partition, Sent, Transaction

SHOWN = 3  # of the findings of one kind in one partition


class Kind(Enum):
    LOST = "acknowledged and not there"
    MISPLACED = "not where the acknowledgement said"
    DUPLICATED = "there more than once"
    REORDERED = "behind what its producer sent later"
    PHANTOM = "nobody sent it"
    TORN = "cannot be read"
    DAMAGED = "the broker says that what it wrote has changed"
    GAP = "a reader is not given it"
    WATERMARK = "the end is not where the records end"
    ABORTED_SEEN = "a reader of committed records sees it, and it was aborted"
    UNDECIDED_SEEN = "a reader of committed records sees it before its transaction has ended"
    HALF = "a part of a transaction"
    VALUE_LOST = "compaction has taken a key's last value"
    TOMBSTONE_LOST = "compaction has taken a tombstone before its time"
    RETENTION = "retention has taken more than it may"
    COMMIT_LOST = "a committed offset that is not there"
    INDEX = "an index that does not lead to what it should"
    TIMESTAMP = "a look-up by time that finds another record"
    REFUSED = "an idempotent producer that did nothing wrong was refused"
    RESURRECTED = "deleted, and there again"
    UNSTABLE = "readers of committed records do not get to the end, and no transaction is open"


@dataclass(frozen=True)
class Finding:
    kind: Kind
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind.name} {self.where}: {self.what} ({self.kind.value})"


@dataclass(frozen=True)
class Found:
    """A record as a consumer was given it."""

    offset: int
    timestamp_ms: int
    identity: str
    key: str | None
    value: bytes | None


@dataclass
class Content:
    """Of a partition, read from its start to its end when nobody writes."""

    low: int
    high: int
    all: list[Found] = field(default_factory=list)
    committed: list[Found] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    stable: int = 0  # the end for readers of committed records
    bytes_on_disk: int | None = None


def check_partition(partition: Partition, content: Content) -> list[Finding]:
    """All that is wrong with it, the first few of each kind."""
    shown: Counter[Kind] = Counter()
    findings = []
    for kind, what in _check(partition, content):
        shown[kind] += 1
        if shown[kind] <= SHOWN:
            findings.append(Finding(kind, str(partition), what))
    return findings


def _check(partition: Partition, content: Content) -> Iterator[tuple[Kind, str]]:
    for what in content.torn:
        yield Kind.TORN, what
    yield from _check_identities(partition, content)
    yield from _check_order(partition, content)
    yield from _check_ends(partition, content)
    yield from _check_committed(partition, content)
    if partition.compacted:
        last = {found.key: found.offset for found in content.committed}
        yield from check_last_values(partition.last_of_keys(), last, content.high)
    elif not content.torn:
        yield from _check_presence(partition, content)


def _check_identities(partition: Partition, content: Content) -> Iterator[tuple[Kind, str]]:
    for found in content.all:
        sent = partition.sent.get(found.identity)
        if sent is None:
            yield Kind.PHANTOM, f"{found.identity!r} at {found.offset}"
        elif (sent.key, sent.value, sent.timestamp_ms) != (
            found.key,
            found.value,
            found.timestamp_ms,
        ):
            yield Kind.PHANTOM, f"{found.identity!r} at {found.offset} is not what was sent"
    for identity, count in Counter(found.identity for found in content.all).items():
        if count > 1:
            offsets = [found.offset for found in content.all if found.identity == identity]
            yield Kind.DUPLICATED, f"{identity!r} at {offsets}"


def _check_order(partition: Partition, content: Content) -> Iterator[tuple[Kind, str]]:
    last: dict[str, int] = defaultdict(lambda: -1)
    for found in content.all:
        producer, _, number = found.identity.rpartition(" ")
        if int(number) < last[producer]:
            yield Kind.REORDERED, f"{found.identity!r} at {found.offset}, after {last[producer]}"
        last[producer] = max(last[producer], int(number))


def _check_ends(partition: Partition, content: Content) -> Iterator[tuple[Kind, str]]:
    end = content.all[-1].offset + 1 if content.all else content.low
    if content.high < end:
        yield Kind.WATERMARK, f"{content.high}, but there is a record at {end - 1}"
    if partition.transactional or partition.compacted:
        return  # markers have no record, and what is compacted neither
    if content.high > end:
        yield Kind.WATERMARK, f"{content.high}, but the records end at {end}"
    expected = content.low
    for found in content.all:
        if found.offset > expected:
            yield Kind.GAP, f"{expected} to {found.offset - 1}"
        expected = found.offset + 1


def _check_presence(partition: Partition, content: Content) -> Iterator[tuple[Kind, str]]:
    offsets = {found.identity: found.offset for found in content.all}
    committed = {found.identity for found in content.committed}
    for sent in partition.acknowledged():
        assert sent.offset is not None
        if sent.offset < content.low:
            continue
        at = offsets.get(sent.identity)
        if at is None:
            yield Kind.LOST, f"{sent.identity!r}, acknowledged at {sent.offset}"
        elif at != sent.offset:
            yield Kind.MISPLACED, f"{sent.identity!r} is at {at}, not at {sent.offset}"
        elif sent.counts and sent.identity not in committed:
            yield Kind.LOST, f"{sent.identity!r} at {at}, for readers of committed records"
    removed = content.low > partition.deletion_asked_to
    if removed and partition.retention_bytes is None:
        asked = partition.deletion_asked_to
        yield Kind.LOST, f"all below {content.low}; deletion was asked for up to {asked}"
    elif (
        removed
        and content.bytes_on_disk is not None
        and partition.retention_bytes is not None
        and content.bytes_on_disk < partition.retention_bytes
    ):
        yield (
            Kind.RETENTION,
            f"{content.bytes_on_disk} bytes are left of at least {partition.retention_bytes}",
        )
    if content.low < partition.deleted_to:
        yield Kind.RESURRECTED, f"{content.low} to {partition.deleted_to - 1}"


def _check_committed(partition: Partition, content: Content) -> Iterator[tuple[Kind, str]]:
    for found in content.committed:
        sent = partition.sent.get(found.identity)
        transaction = sent.transaction if sent is not None else None
        if transaction is not None and transaction.outcome is Outcome.ABORTED:
            yield Kind.ABORTED_SEEN, f"{found.identity!r} at {found.offset}"


def check_last_values(
    needed: Mapping[str | None, Sent], last: Mapping[str | None, int], end: int
) -> Iterator[tuple[Kind, str]]:
    """`last` is the offset of the last committed record of each key below `end`; what is `needed`
    there may have been followed by others.
    """
    for key, sent in needed.items():
        assert sent.offset is not None
        if sent.offset < end and last.get(key, -1) < sent.offset:
            kind = Kind.VALUE_LOST if sent.value is not None else Kind.TOMBSTONE_LOST
            yield kind, f"{key!r}: {sent.identity!r} at {sent.offset}, found {last.get(key)}"


def check_transactions(
    transactions: Iterable[Transaction], partitions: Iterable[tuple[Partition, Content]]
) -> list[Finding]:
    """Of those whose outcome is unknown, all is to be seen or nothing."""
    seen: dict[Transaction, set[bool]] = defaultdict(set)
    for partition, content in partitions:
        if partition.compacted:
            continue  # of what was committed some may be gone
        committed = {found.identity for found in content.committed}
        for sent in partition.acknowledged():
            assert sent.offset is not None
            if sent.transaction is not None and sent.offset >= content.low:
                seen[sent.transaction].add(sent.identity in committed)
    return [
        Finding(Kind.HALF, transaction.name, "some of its records are there, some are not")
        for transaction in transactions
        if transaction.outcome is Outcome.UNKNOWN and len(seen[transaction]) > 1
    ]
