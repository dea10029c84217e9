"""Appends of one shard to its partition: batched, in order, answered when durable.

What the state machine asks for during one pass of the broker loop goes out as one batch; the
outcomes come back in the order of the appends, whatever thread reports them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

from kio.schema.errors import ErrorCode

from barnabas.coordinator.errors import told_for
from barnabas.coordinator.outcome import Outcome
from barnabas.state.effects import (
    CANNOT_BE_STORED,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    Append,
    Producer,
)

logger = logging.getLogger(__name__)

R = TypeVar("R")

EncodedRecord = tuple[bytes, bytes | None]
_NOBODY = Producer(NO_PRODUCER_ID, NO_PRODUCER_EPOCH)

# Well below the default max.message.bytes, so that a batch is refused only when one append alone
# is too large.
BATCH_LIMIT_BYTES = 512 * 1024
_RECORD_OVERHEAD_BYTES = 32  # lengths, deltas and attributes of a record, at most


class PartitionBounds(Protocol):
    """The part of `barnabas._core.PartitionInfo` that the coordinator needs."""

    @property
    def log_start_offset(self) -> int:
        """Where the log begins."""


class PartitionLog(Protocol):
    """The part of `barnabas._core.Core` that the coordinator needs of a partition."""

    def now_ms(self) -> int:
        """See `Core.now_ms`."""

    def steady_ms(self) -> int:
        """See `Core.steady_ms`."""

    def append_records(
        self,
        topic: str,
        partition: int,
        records: Sequence[tuple[bytes | None, bytes | None]],
        timestamp_ms: int,
        on_durable: Callable[[int, int], None],
        *,
        producer_id: int = NO_PRODUCER_ID,
        producer_epoch: int = NO_PRODUCER_EPOCH,
    ) -> object:
        """See `Core.append_records`; raises an exception with a `code`."""

    def append_marker(
        self,
        topic: str,
        partition: int,
        *,
        producer_id: int,
        producer_epoch: int,
        commit: bool,
        coordinator_epoch: int,
        on_durable: Callable[[int, int], None],
        transaction_version: int = 0,
    ) -> object:
        """See `Core.append_marker`; raises an exception with a `code`."""

    def partition_info(self, topic: str, partition: int) -> PartitionBounds:
        """See `Core.partition_info`."""

    def read_batches(self, topic: str, partition: int, offset: int, max_bytes: int) -> bytes:
        """See `Core.read_batches`."""


@dataclass(slots=True)
class _Batch(Generic[R]):
    """One append to the log, and the state machine's appends it carries."""

    appends: list[Append[R]]
    error: ErrorCode | None = None  # None: on its way


class AppendQueue(Generic[R]):
    """Queues the appends of one partition. To be used on the loop's thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: PartitionLog,
        topic: str,
        partition: int,
        *,
        wall_clock_ms: Callable[[], int],
        encode: Callable[[R], EncodedRecord],
        settle: Callable[[Append[R], ErrorCode], None],
    ) -> None:
        self._loop = loop
        self._log = log
        self._topic = topic
        self._partition = partition
        self._wall_clock_ms = wall_clock_ms
        self._encode = encode
        self._settle = settle
        self._queued: list[Append[R]] = []
        self._in_flight: deque[_Batch[R]] = deque()

    def put(self, appends: list[Append[R]]) -> None:
        """Appends soon; `settle` is called for each when it is durable, or has failed."""
        if not self._queued:
            self._loop.call_soon(self._flush)
        self._queued.extend(appends)

    def _flush(self) -> None:
        queued, self._queued = self._queued, []
        appends: list[Append[R]] = []
        records: list[EncodedRecord] = []
        size_bytes = 0
        for append in queued:
            try:
                encoded = [self._encode(record) for record in append.records]
            except Exception as error:  # such as a group id longer than the format allows
                logger.warning("cannot encode a record of %s: %s", self._topic, error)
                self._in_flight.append(_Batch([append], CANNOT_BE_STORED))
                continue
            bytes_more = sum(
                len(key) + len(value or b"") + _RECORD_OVERHEAD_BYTES for key, value in encoded
            )
            is_alone = append.producer is not None or append.marker is not None
            if appends and (is_alone or size_bytes + bytes_more > BATCH_LIMIT_BYTES):
                self._append(appends, records)
                appends, records, size_bytes = [], [], 0
            if is_alone:
                self._append([append], encoded)
                continue
            appends.append(append)
            records.extend(encoded)
            size_bytes += bytes_more
        if appends:
            self._append(appends, records)
        self._settle_finished()

    def _append(self, appends: list[Append[R]], records: list[EncodedRecord]) -> None:
        batch = _Batch(appends)
        self._in_flight.append(batch)
        outcome = Outcome(self._loop, partial(self._finish, batch))
        marker, producer = appends[0].marker, appends[0].producer or _NOBODY
        try:
            if marker is not None:
                self._log.append_marker(
                    self._topic,
                    self._partition,
                    producer_id=marker.producer.producer_id,
                    producer_epoch=marker.producer.producer_epoch,
                    commit=marker.is_commit,
                    coordinator_epoch=marker.coordinator_epoch,
                    on_durable=outcome,
                    transaction_version=marker.transaction_version,
                )
            else:
                self._log.append_records(
                    self._topic,
                    self._partition,
                    records,
                    self._wall_clock_ms(),
                    outcome,
                    producer_id=producer.producer_id,
                    producer_epoch=producer.producer_epoch,
                )
        except Exception as error:  # the clients must be answered anyway
            logger.error("append to %s-%d failed: %s", self._topic, self._partition, error)
            outcome.fail(error)

    def _finish(self, batch: _Batch[R], code: int) -> None:
        batch.error = told_for(code)
        self._settle_finished()

    def _settle_finished(self) -> None:
        while self._in_flight:
            error = self._in_flight[0].error
            if error is None:
                return
            for append in self._in_flight.popleft().appends:
                self._settle(append, error)
