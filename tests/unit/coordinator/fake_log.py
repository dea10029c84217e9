"""A log in memory with the interface of the native core, which can fail and lag."""

import struct
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas._records import encode_batch
from barnabas.coordinator.coordinator import GroupCoordinator


class FakeCoreError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"error {code}")
        self.code = code


class FakeLog:
    def __init__(self) -> None:
        self.batches: dict[int, list[bytes]] = {}
        self.next_offsets: dict[int, int] = {}
        self.record_counts: list[int] = []  # of each append
        self.error_code = 0
        self.is_held = False  # like flush.messages=1 with a slow disk
        self.held: list[Callable[[], None]] = []
        self.reads_allowed = threading.Event()
        self.reads_allowed.set()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        return self.now_ms()

    def append_records(
        self,
        topic: str,
        partition: int,
        records: Sequence[tuple[bytes | None, bytes | None]],
        timestamp_ms: int,
        on_durable: Callable[[int, int], None] | None = None,
        *,
        producer_id: int = -1,
        producer_epoch: int = -1,
    ) -> int:
        assert topic == "__consumer_offsets"
        base_offset = self.next_offsets.get(partition, 0)
        batch = encode_batch(
            records,
            timestamp_ms=timestamp_ms,
            base_offset=base_offset,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            transactional=producer_id >= 0,
        )
        return self._append(partition, records, batch, on_durable)

    def append_marker(
        self,
        topic: str,
        partition: int,
        *,
        producer_id: int,
        producer_epoch: int,
        commit: bool,
        coordinator_epoch: int,
        on_durable: Callable[[int, int], None] | None = None,
        transaction_version: int = 0,
    ) -> int:
        records = [(struct.pack(">hh", 0, commit), struct.pack(">hi", 0, coordinator_epoch))]
        batch = encode_batch(
            records,
            base_offset=self.next_offsets.get(partition, 0),
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            transactional=True,
            control=True,
        )
        return self._append(partition, records, batch, on_durable)

    def _append(
        self,
        partition: int,
        records: Sequence[tuple[bytes | None, bytes | None]],
        batch: bytes,
        on_durable: Callable[[int, int], None] | None,
    ) -> int:
        assert on_durable is not None
        if self.error_code:
            raise FakeCoreError(self.error_code)
        base_offset = self.next_offsets.get(partition, 0)
        self.batches.setdefault(partition, []).append(batch)
        self.next_offsets[partition] = base_offset + len(records)
        self.record_counts.append(len(records))
        if self.is_held:
            self.held.append(lambda: on_durable(0, base_offset))
        else:
            on_durable(0, base_offset)
        return base_offset

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

    def partition_error(self, topic: str, partition: int, topic_id: bytes) -> ErrorCode:
        exists = self.has_topic(topic)
        return ErrorCode.none if exists else ErrorCode.unknown_topic_or_partition
