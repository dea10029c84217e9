"""One partition of `__consumer_offsets` at work: the state machine, its log and its timers."""

import asyncio
import logging
from typing import ClassVar

from kio.schema.errors import ErrorCode

from barnabas.coordinator.group_records import decode, encode
from barnabas.coordinator.hand_over import EncodedRecord, HandOver
from barnabas.coordinator.partition import CoordinatorPartition, LoadStatus
from barnabas.coordinator.partition_log import PartitionLog
from barnabas.coordinator.timers import Timers
from barnabas.state.effects import Append, Marker, Producer
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.effects import Effects, Instant, SetTimer, TimerKey
from barnabas.state.group.records import Record
from barnabas.state.group.shard import GroupShard
from barnabas.state.internal_topics import CONSUMER_OFFSETS
from barnabas.state.units import MS_PER_S
from barnabas.wording import counted

logger = logging.getLogger(__name__)


class GroupPartition(CoordinatorPartition[Record]):
    """Performs the effects of one partition's groups. To be used on the loop's thread only."""

    TOPIC: ClassVar = CONSUMER_OFFSETS

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: PartitionLog,
        hand_over: HandOver,
        partition: int,
        config: GroupConfig,
    ) -> None:
        super().__init__(loop, log, hand_over, partition)
        self.machine = GroupShard(config)
        self._timers = Timers(loop, self._on_timer)

    def now(self) -> Instant:
        """The time on both clocks."""
        return Instant(self.monotonic_ms(), self._log.now_ms())

    def monotonic_ms(self) -> int:
        """The time on the clock of timeouts."""
        return int(self._loop.time() * MS_PER_S)

    def perform(self, effects: Effects) -> None:
        """Does what the state machine has asked for."""
        for timer in effects.timers if self.status is not LoadStatus.UNLOADED else ():
            if isinstance(timer, SetTimer):
                self._timers.set(timer.key, timer.deadline_ms)
            else:
                self._timers.cancel(timer.key)
        self._perform(effects)

    def unload(self) -> None:
        """Gives up its groups."""
        super().unload()
        self.perform(self.machine.unloaded())

    def _encode(self, record: Record) -> EncodedRecord:
        return encode(record)

    def _decode(self, key: bytes | None, value: bytes | None) -> Record | None:
        return decode(key, value)

    def _replay(self, record: Record, producer: Producer | None) -> None:
        self.machine.replay(record, producer)

    def _replay_marker(self, marker: Marker) -> None:
        self.machine.replay_marker(marker)

    def _on_closed(self) -> None:
        self._timers.cancel_all()

    def _on_loaded(self, record_count: int) -> None:
        self.perform(self.machine.loaded(self.now()))
        if record_count:
            logger.info(
                "loaded %s from %s of %s-%d",
                counted(len(self.machine.groups), "group"),
                counted(record_count, "record"),
                self.TOPIC,
                self.partition,
            )

    def _on_timer(self, key: TimerKey) -> None:
        self.perform(self.machine.on_timer(key, self.now()))

    def _settle(self, append: Append[Record], error: ErrorCode) -> None:
        if error is ErrorCode.none:
            self.perform(self.machine.appended(append.outcome, self.now()))
        else:
            self.perform(self.machine.append_failed(append.outcome, error, self.now()))
