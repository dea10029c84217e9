"""Appends of a coordinator's partition to its log: batched, in order, answered when durable.

What the state machine asks for during one pass of the broker loop goes out as one batch; the
outcomes come back in the order of the appends, whenever each is known.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from kio.schema.errors import ErrorCode

from barnabas.coordinator.errors import told_for
from barnabas.coordinator.hand_over import EncodedRecord, HandOver, LogAppend, guarded
from barnabas.state.effects import CANNOT_BE_STORED, Append

logger = logging.getLogger(__name__)

R = TypeVar("R")

# Well below the default max.message.bytes, so that a batch is refused only when one append alone
# is too large.
BATCH_LIMIT_BYTES = 512 * 1024
_RECORD_OVERHEAD_BYTES = 32  # lengths, deltas and attributes of a record, at most


@dataclass(slots=True)
class _Batch(Generic[R]):
    """One append to the log, and the state machine's appends it carries."""

    appends: list[Append[R]]
    error: ErrorCode | None = None  # None: on its way


class AppendQueue(Generic[R]):
    """Queues the appends of one partition. To be used on the loop's thread only."""

    def __init__(
        self,
        hand_over: HandOver,
        topic: str,
        partition: int,
        *,
        encode: Callable[[R], EncodedRecord],
        settle: Callable[[Append[R], ErrorCode], None],
    ) -> None:
        self._hand_over = hand_over
        self._topic = topic
        self._partition = partition
        self._encode = encode
        self._settle = settle
        self._queued: list[Append[R]] = []
        self._in_flight: deque[_Batch[R]] = deque()

    def put(self, appends: list[Append[R]]) -> None:
        """Appends soon; `settle` is called for each when it is durable, or has failed."""
        if not self._queued:
            self._hand_over.ask(self._flush)
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
        first = appends[0]
        append = LogAppend(
            self._topic, self._partition, tuple(records), first.producer, first.marker
        )
        self._hand_over.add(append, partial(self._finish, batch))

    def _finish(self, batch: _Batch[R], code: int) -> None:
        batch.error = told_for(code)
        self._settle_finished()

    def _settle_finished(self) -> None:
        while self._in_flight:
            error = self._in_flight[0].error
            if error is None:
                return
            for append in self._in_flight.popleft().appends:
                guarded(self._settle, append, error)
