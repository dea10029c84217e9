"""The committed offsets of one group.

An offset counts only once its record is stored and, when it is part of a transaction, once that is
committed. In between, the partition is *unstable*: a client that asks for stable offsets is told to
ask again, and a deletion of everything includes it. Of several offsets of a partition the one that
counts is the one whose record is last, not the one whose transaction ends last.
"""

from collections.abc import Iterable, Iterator, Set
from itertools import chain
from typing import NamedTuple

from barnabas.state.group.records import NO_TIMESTAMP, CommittedOffset


class PartitionOffset(NamedTuple):
    """An offset to commit, or committed, for one partition."""

    topic: str
    partition: int
    value: CommittedOffset


class _Pending(NamedTuple):
    """An offset of a transaction that is open; None when a later record counts instead."""

    number: int  # in the order of the records
    value: CommittedOffset | None


class OffsetStore:
    """Committed offsets by topic and partition."""

    __slots__ = ("_by_topic", "_in_flight", "_pending", "_put_count")

    def __init__(self) -> None:
        self._by_topic: dict[str, dict[int, CommittedOffset]] = {}
        self._in_flight: dict[tuple[str, int], int] = {}  # how many, by partition
        # Of transactions that are open, by producer id and partition.
        self._pending: dict[int, dict[tuple[str, int], _Pending]] = {}
        self._put_count = 0

    def __bool__(self) -> bool:
        return bool(self._by_topic) or bool(self._in_flight) or bool(self._pending)

    def get(self, topic: str, partition: int) -> CommittedOffset | None:
        """The committed offset of a partition."""
        partitions = self._by_topic.get(topic)
        return partitions.get(partition) if partitions else None

    def __iter__(self) -> Iterator[PartitionOffset]:
        for topic, partitions in self._by_topic.items():
            for partition, value in partitions.items():
                yield PartitionOffset(topic, partition, value)

    def topics(self) -> dict[str, dict[int, CommittedOffset]]:
        """All committed offsets; not to be changed by the caller."""
        return self._by_topic

    def partitions_of(self, topics: Set[str]) -> list[tuple[str, int]]:
        """The partitions of some topics with an offset, stored or on its way."""
        found = {key for key in self._unstable() if key[0] in topics}
        for topic in topics & self._by_topic.keys():
            found.update((topic, partition) for partition in self._by_topic[topic])
        return sorted(found)

    def all_partitions(self) -> list[tuple[str, int]]:
        """All partitions with an offset, stored or on its way."""
        stored = {(topic, partition) for topic, partition, _ in self}
        return sorted(stored.union(self._unstable()))

    def _unstable(self) -> Iterator[tuple[str, int]]:
        return chain(self._in_flight, *self._pending.values())

    def has(self, topic: str, partition: int) -> bool:
        """Whether a partition has an offset, stored or on its way."""
        return self.is_unstable(topic, partition) or self.get(topic, partition) is not None

    def is_unstable(self, topic: str, partition: int) -> bool:
        """Whether an offset of the partition is on its way, or part of an open transaction."""
        key = (topic, partition)
        return key in self._in_flight or any(key in pending for pending in self._pending.values())

    def begin(self, offsets: Iterable[PartitionOffset]) -> None:
        """Notes that the records of `offsets` are being appended."""
        for topic, partition, _ in offsets:
            key = (topic, partition)
            self._in_flight[key] = self._in_flight.get(key, 0) + 1

    def end(self, offsets: Iterable[PartitionOffset]) -> None:
        """Notes that the append noted with `begin` is done, one way or the other."""
        for topic, partition, _ in offsets:
            key = (topic, partition)
            count = self._in_flight.pop(key, 0)
            if count > 1:
                self._in_flight[key] = count - 1

    def put(self, topic: str, partition: int, value: CommittedOffset) -> None:
        """Stores an offset."""
        self._by_topic.setdefault(topic, {})[partition] = value
        if self._pending:
            self._put_count += 1
            self._supersede((topic, partition), self._put_count)

    def put_pending(
        self, producer_id: int, topic: str, partition: int, value: CommittedOffset
    ) -> None:
        """Stores an offset that counts once the producer's transaction is committed."""
        self._put_count += 1
        pending = self._pending.setdefault(producer_id, {})
        pending[topic, partition] = _Pending(self._put_count, value)

    def end_transaction(self, producer_id: int, is_commit: bool) -> None:
        """Lets the offsets of a producer's transaction count, or forgets them."""
        pending = self._pending.pop(producer_id, {})
        for key, (number, value) in pending.items() if is_commit else ():
            if value is not None:
                topic, partition = key
                self._by_topic.setdefault(topic, {})[partition] = value
                self._supersede(key, number)

    def _supersede(self, key: tuple[str, int], number: int) -> None:
        """What was put before does not count any more, whenever its transaction ends."""
        for pending in self._pending.values():
            before = pending.get(key)
            if before is not None and before.number < number:
                pending[key] = before._replace(value=None)

    def remove(self, topic: str, partition: int) -> None:
        """Forgets an offset, if there is one, and those of open transactions."""
        if self._pending:
            for pending in self._pending.values():
                pending.pop((topic, partition), None)
            self._pending = {id_: pending for id_, pending in self._pending.items() if pending}
        partitions = self._by_topic.get(topic)
        if partitions is None:
            return
        partitions.pop(partition, None)
        if not partitions:
            del self._by_topic[topic]


def is_expired(value: CommittedOffset, base_timestamp_ms: int, now_ms: int, ttl_ms: int) -> bool:
    """Whether an offset has not been used for its retention, counted from `base_timestamp_ms`;
    an offset committed with a retention of its own says itself when it ends.
    """
    if value.expire_timestamp_ms != NO_TIMESTAMP:
        return now_ms >= value.expire_timestamp_ms
    return now_ms - base_timestamp_ms >= ttl_ms
