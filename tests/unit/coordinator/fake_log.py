"""A log in memory with the interface of the native core, which can fail and lag."""

import struct
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas._records import encode_batch
from barnabas.coordinator.group_coordinator import GroupCoordinator
from barnabas.coordinator.hand_over import LogAppend


class FakeLog:
    def __init__(self, topic: str = "__consumer_offsets") -> None:
        self.topic = topic
        self.batches: dict[int, list[bytes]] = {}
        self.next_offsets: dict[int, int] = {}
        self.record_counts: list[int] = []  # of each append
        self.hand_overs: list[int] = []  # of so many appends each
        self.error_code = 0
        self.refused: dict[int, int] = {}  # error codes, by partition
        self.is_held = False  # like flush.messages=1 with a slow disk
        self.stalled: set[int] = set()  # partitions: the same, for these
        self.held: list[Callable[[], None]] = []
        self.reads_allowed = threading.Event()
        self.reads_allowed.set()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        return self.now_ms()

    def append_all(
        self, appends: Sequence[LogAppend], on_late: Callable[[int, int], None]
    ) -> list[int | None]:
        self.hand_overs.append(len(appends))
        return [self._append(append, partial(on_late, i)) for i, append in enumerate(appends)]

    def _append(self, append: LogAppend, on_late: Callable[[int], None]) -> int | None:
        topic, partition, records, producer, marker = append
        assert topic == self.topic
        if self.error_code or partition in self.refused:
            return self.error_code or self.refused[partition]
        if marker is not None:
            producer = marker.producer
            end = struct.pack(">hi", 0, marker.coordinator_epoch)
            records = ((struct.pack(">hh", 0, marker.is_commit), end),)
        batch = encode_batch(
            records,
            timestamp_ms=self.now_ms(),
            base_offset=self.next_offsets.get(partition, 0),
            producer_id=-1 if producer is None else producer.producer_id,
            producer_epoch=-1 if producer is None else producer.producer_epoch,
            transactional=producer is not None,
            control=marker is not None,
        )
        self.batches.setdefault(partition, []).append(batch)
        self.next_offsets[partition] = self.next_offsets.get(partition, 0) + len(records)
        self.record_counts.append(len(records))
        if not self.is_held and partition not in self.stalled:
            return 0
        self.held.append(partial(on_late, 0))
        return None

    def read_batches(self, topic: str, partition: int, offset: int, max_bytes: int) -> bytes:
        assert self.reads_allowed.wait(10)
        base_offset = 0
        found = b""
        for batch in self.batches.get(partition, []):
            count = int.from_bytes(batch[57:61], "big")
            if base_offset + count > offset and (not found or len(found + batch) <= max_bytes):
                found += batch
            base_offset += count
        return found

    def release_from_another_thread(self) -> None:
        held, self.held = self.held, []
        for answer in held:
            thread = threading.Thread(target=answer)
            thread.start()
            thread.join()

    def partition_info(self, topic: str, partition: int) -> Any:
        return SimpleNamespace(log_start_offset=0)


def is_loading(groups: GroupCoordinator) -> bool:
    """Whether some groups are not known yet."""
    return groups.listed()[1] is ErrorCode.coordinator_load_in_progress


class FakeOffsetsTopic:
    def __init__(self, exists: bool, topics: frozenset[str] = frozenset({"t"})) -> None:
        self.exists = exists
        self.topics = topics

    def partition_count(self) -> int | None:
        return 50 if self.exists else None

    async def ensure(self) -> int:
        self.exists = True
        return 50

    def has_topic(self, topic: str) -> bool:
        return topic in self.topics

    def topic_id(self, topic: str) -> bytes | None:
        return None

    def partition_error(self, topic: str, partition: int, topic_id: bytes) -> ErrorCode:
        exists = self.has_topic(topic)
        return ErrorCode.none if exists else ErrorCode.unknown_topic_or_partition
