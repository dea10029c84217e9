"""The committed offsets of one group.

An offset counts only once its record is stored. In between, the partition is *unstable*: a client
that asks for stable offsets is told to ask again, and a deletion of everything includes it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Set
from typing import NamedTuple

from barnabas.state.group.records import NO_TIMESTAMP, CommittedOffset


class PartitionOffset(NamedTuple):
    """An offset to commit, or committed, for one partition."""

    topic: str
    partition: int
    value: CommittedOffset


class OffsetStore:
    """Committed offsets by topic and partition."""

    __slots__ = ("_by_topic", "_in_flight")

    def __init__(self) -> None:
        self._by_topic: dict[str, dict[int, CommittedOffset]] = {}
        self._in_flight: Counter[tuple[str, int]] = Counter()

    def __bool__(self) -> bool:
        return bool(self._by_topic) or bool(self._in_flight)

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
        found = {key for key in self._in_flight if key[0] in topics}
        for topic in topics & self._by_topic.keys():
            found.update((topic, partition) for partition in self._by_topic[topic])
        return sorted(found)

    def all_partitions(self) -> list[tuple[str, int]]:
        """All partitions with an offset, stored or on its way."""
        stored = {(topic, partition) for topic, partition, _ in self}
        return sorted(stored.union(self._in_flight))

    def has(self, topic: str, partition: int) -> bool:
        """Whether a partition has an offset, stored or on its way."""
        return (topic, partition) in self._in_flight or self.get(topic, partition) is not None

    def is_unstable(self, topic: str, partition: int) -> bool:
        """Whether an offset of the partition is on its way."""
        return (topic, partition) in self._in_flight

    def begin(self, offsets: Iterable[PartitionOffset]) -> None:
        """Notes that the records of `offsets` are being appended."""
        for topic, partition, _ in offsets:
            self._in_flight[topic, partition] += 1

    def end(self, offsets: Iterable[PartitionOffset]) -> None:
        """Notes that the append noted with `begin` is done, one way or the other."""
        for topic, partition, _ in offsets:
            key = (topic, partition)
            if self._in_flight[key] > 1:
                self._in_flight[key] -= 1
            else:
                del self._in_flight[key]

    def put(self, topic: str, partition: int, value: CommittedOffset) -> None:
        """Stores an offset."""
        self._by_topic.setdefault(topic, {})[partition] = value

    def remove(self, topic: str, partition: int) -> None:
        """Forgets an offset, if there is one."""
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
