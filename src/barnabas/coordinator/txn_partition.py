"""One partition of `__transaction_state` at work: the state machine, its log and its markers."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Protocol

from kio.schema.errors import ErrorCode

from barnabas.coordinator.hand_over import EncodedRecord, HandOver
from barnabas.coordinator.marker_writer import RETRY_S, MarkerWriter
from barnabas.coordinator.partition import CoordinatorPartition
from barnabas.coordinator.partition_log import PartitionLog
from barnabas.coordinator.txn_records import decode, encode
from barnabas.state.effects import Append, Producer
from barnabas.state.internal_topics import TRANSACTION_STATE
from barnabas.state.txn.config import TransactionConfig
from barnabas.state.txn.effects import Effects, EndMarkers
from barnabas.state.txn.records import TransactionRecord
from barnabas.state.txn.shard import TransactionShard
from barnabas.wording import counted

logger = logging.getLogger(__name__)


class TransactionLog(PartitionLog, Protocol):
    """The part of `barnabas._core.Core` that transactions need."""

    def mark_verified(
        self,
        producer_id: int,
        producer_epoch: int,
        transactional_id: str,
        partitions: Sequence[tuple[str, int]],
    ) -> None:
        """See `Core.mark_verified`."""


class TransactionPartition(CoordinatorPartition[TransactionRecord]):
    """Performs the effects of one partition's transactions. To be used on the loop's thread."""

    TOPIC: ClassVar = TRANSACTION_STATE

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: TransactionLog,
        hand_over: HandOver,
        partition: int,
        config: TransactionConfig,
        *,
        writer: MarkerWriter,
        coordinator_epoch: int,
    ) -> None:
        super().__init__(loop, log, hand_over, partition)
        self._hand_over = hand_over
        self._mark_verified = log.mark_verified
        self.machine = TransactionShard(config)
        self._writer = writer
        self._coordinator_epoch = coordinator_epoch

    def perform(self, effects: Effects) -> None:
        """Does what the state machine has asked for."""
        for added in effects.added:
            self._mark_verified(*added.producer, added.transactional_id, list(added.partitions))
        self._perform(effects)
        for markers in effects.markers:  # with the next pass: the client has its answer before
            self._hand_over.ask(partial(self._write_all, markers))
        for markers in effects.retries:
            logger.error("cannot note the end of transaction %s", markers.transactional_id)
            self._loop.call_later(RETRY_S, self._complete, markers)

    def _write_all(self, markers: EndMarkers) -> None:
        self._writer.write_all(markers, self._coordinator_epoch, self._complete)

    def _complete(self, markers: EndMarkers) -> None:
        if self.is_active:  # otherwise whoever loads the partition next does it
            self.perform(self.machine.complete(markers, self._log.steady_ms()))

    def _encode(self, record: TransactionRecord) -> EncodedRecord:
        return encode(record)

    def _decode(self, key: bytes | None, value: bytes | None) -> TransactionRecord | None:
        return decode(key, value)

    def _replay(self, record: TransactionRecord, producer: Producer | None) -> None:
        self.machine.replay(record)

    def _on_loaded(self, record_count: int) -> None:
        self.perform(self.machine.loaded(self._log.steady_ms()))
        if record_count:
            logger.info(
                "loaded %s from %s of %s-%d",
                counted(len(self.machine.transactions), "transactional id"),
                counted(record_count, "record"),
                self.TOPIC,
                self.partition,
            )

    def _settle(self, append: Append[TransactionRecord], error: ErrorCode) -> None:
        if error is ErrorCode.none:
            self.perform(self.machine.appended(append.outcome, self._log.steady_ms()))
        else:
            self.perform(self.machine.append_failed(append.outcome, error))
