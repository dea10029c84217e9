"""One partition of a coordinator's topic at work: its log is read back, then appended to.

What is common to `group_partition` and `txn_partition`, which hold a state machine each.
"""

import asyncio
import enum
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, cast

from kio.schema.errors import ErrorCode

from barnabas._records import Batch, Record, iter_batches
from barnabas.coordinator.append_queue import AppendQueue
from barnabas.coordinator.errors import RecordError
from barnabas.coordinator.hand_over import EncodedRecord, HandOver, guarded
from barnabas.coordinator.partition_log import PartitionLog
from barnabas.protocol.internal.control_record import decode_control_record
from barnabas.state.effects import Append, Effects, Marker, Producer

logger = logging.getLogger(__name__)

LOAD_CHUNK_BYTES = 64 * 1024  # decoded in one go: some milliseconds

R = TypeVar("R")
_Callback = Callable[[Any], None]
"""A token of the state machine: called once with the answer to the request."""


class LoadStatus(enum.Enum):
    """Whether a partition can take requests."""

    LOADING = "loading"
    ACTIVE = "active"
    FAILED = "failed"
    UNLOADED = "unloaded"


class CoordinatorPartition(ABC, Generic[R]):
    """Loads and appends records of one partition. To be used on the loop's thread only."""

    TOPIC: ClassVar[str]

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: PartitionLog,
        hand_over: HandOver,
        partition: int,
    ) -> None:
        self.partition = partition
        self.status = LoadStatus.LOADING
        self._loop = loop
        self._log = log
        self._appends: AppendQueue[R] = AppendQueue(
            hand_over,
            self.TOPIC,
            partition,
            encode=self._encode,
            settle=self._settle,
        )

    @property
    def is_active(self) -> bool:
        """Whether it is loaded and takes requests."""
        return self.status is LoadStatus.ACTIVE

    @property
    def error(self) -> ErrorCode:
        """What clients are told while the partition takes no requests."""
        if self.status is LoadStatus.ACTIVE:
            return ErrorCode.none
        if self.status is LoadStatus.LOADING:
            return ErrorCode.coordinator_load_in_progress
        return ErrorCode.coordinator_not_available

    async def load(self) -> None:
        """Reads the partition back, a chunk at a time, while the loop serves others."""
        offset = 0
        record_count = 0
        topic = self.TOPIC
        try:
            offset = self._log.partition_info(topic, self.partition).log_start_offset
            while True:
                data = await asyncio.to_thread(
                    self._log.read_batches, topic, self.partition, offset, LOAD_CHUNK_BYTES
                )
                if not data:
                    break
                for batch in iter_batches(data):
                    offset = batch.next_offset
                    record_count += self._replay_batch(batch)
        except Exception as error:  # CoreError, CorruptBatch; the other partitions must load anyway
            self.status = LoadStatus.FAILED
            logger.error("cannot load %s-%d at offset %d: %s", topic, self.partition, offset, error)
            return
        self.status = LoadStatus.ACTIVE
        self._on_loaded(record_count)

    def activate_empty(self) -> None:
        """Takes requests at once: the partition has just been created."""
        self.status = LoadStatus.ACTIVE

    def unload(self) -> None:
        """Gives up what it holds: whoever waits is answered, also for appends on their way."""
        self.close()

    def close(self) -> None:
        """Takes no more requests, and ends what goes on in the background."""
        self.status = LoadStatus.UNLOADED
        self._on_closed()

    def _perform(self, effects: Effects[R]) -> None:
        """Does what the state machine has asked for."""
        if effects.appends:
            self._appends.put(effects.appends)
        for token, response in effects.replies:
            guarded(cast(_Callback, token), response)

    def _replay_batch(self, batch: Batch) -> int:
        """Returns how many records it had."""
        producer = Producer(batch.producer_id, batch.producer_epoch)
        records = batch.records()
        for record in records:
            try:
                if batch.is_control:
                    self._replay_control(record, producer)
                    continue
                value = self._decode(record.key, record.value)
            except (RecordError, ValueError) as error:
                # Everything else in the partition shall not be lost over it.
                logger.error(
                    "%s-%d: offset %d: %s", self.TOPIC, self.partition, record.offset, error
                )
                continue
            if value is not None:
                self._replay(value, producer if batch.is_transactional else None)
        return 0 if batch.is_control else len(records)

    def _replay_control(self, record: Record, producer: Producer) -> None:
        """Applies a control record; those that are no markers do not matter here."""
        fields = decode_control_record(record)
        coordinator_epoch = fields.get("coordinator_epoch")
        if isinstance(coordinator_epoch, int):
            is_commit = fields["control"] == "commit"
            self._replay_marker(Marker(producer, is_commit, coordinator_epoch))

    # -- what the topics differ in

    @abstractmethod
    def _encode(self, record: R) -> EncodedRecord:
        """The key and value of a record."""

    @abstractmethod
    def _decode(self, key: bytes | None, value: bytes | None) -> R | None:
        """The record of a key and value; None to pass over it. Raises RecordError."""

    @abstractmethod
    def _replay(self, record: R, producer: Producer | None) -> None:
        """Applies a record, perhaps of a producer's transaction."""

    def _replay_marker(self, marker: Marker) -> None:
        """Applies the end of a transaction."""

    def _on_closed(self) -> None:
        """Nothing is to go on in the background."""

    @abstractmethod
    def _on_loaded(self, record_count: int) -> None:
        """All records have been applied."""

    @abstractmethod
    def _settle(self, append: Append[R], error: ErrorCode) -> None:
        """An append is durable, or has failed."""
