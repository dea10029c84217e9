"""One partition of `__consumer_offsets` at work: the state machine, its log and its timers."""

import asyncio
import enum
import logging
import time
from collections.abc import Callable
from typing import Any, cast

from kio.schema.errors import ErrorCode

from barnabas._records import iter_batches
from barnabas.coordinator.append_queue import AppendQueue, PartitionLog
from barnabas.coordinator.errors import RecordError
from barnabas.coordinator.records import decode
from barnabas.coordinator.timers import MS_PER_S, Timers
from barnabas.state.effects import Append
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.effects import Effects, Instant, SetTimer, TimerKey
from barnabas.state.group.shard import GroupShard
from barnabas.state.internal_topics import CONSUMER_OFFSETS

logger = logging.getLogger(__name__)

TOPIC = CONSUMER_OFFSETS
LOAD_CHUNK_BYTES = 64 * 1024  # decoded in one go: some milliseconds

Reply = Callable[[Any], None]
"""A token of the state machine: called once with the answer to the request."""


class ShardStatus(enum.Enum):
    """Whether a shard can take requests."""

    LOADING = "loading"
    ACTIVE = "active"
    FAILED = "failed"
    UNLOADED = "unloaded"


class Shard:
    """Performs the effects of one partition's groups. To be used on the loop's thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: PartitionLog,
        partition: int,
        config: GroupConfig,
    ) -> None:
        self.partition = partition
        self.status = ShardStatus.LOADING
        self.machine = GroupShard(config)
        self._loop = loop
        self._log = log
        self._timers = Timers(loop, self._on_timer)
        self._appends = AppendQueue(
            loop, log, TOPIC, partition, wall_clock_ms=wall_clock_ms, settle=self._settle
        )

    @property
    def is_active(self) -> bool:
        """Whether it is loaded and takes requests."""
        return self.status is ShardStatus.ACTIVE

    @property
    def error(self) -> ErrorCode:
        """What clients are told while the shard takes no requests."""
        if self.status is ShardStatus.ACTIVE:
            return ErrorCode.none
        if self.status is ShardStatus.LOADING:
            return ErrorCode.coordinator_load_in_progress
        return ErrorCode.coordinator_not_available

    def now(self) -> Instant:
        """The time on both clocks."""
        return Instant(int(self._loop.time() * MS_PER_S), wall_clock_ms())

    def perform(self, effects: Effects) -> None:
        """Does what the state machine has asked for."""
        for timer in effects.timers if self.status is not ShardStatus.UNLOADED else ():
            if isinstance(timer, SetTimer):
                self._timers.set(timer.key, timer.deadline_ms)
            else:
                self._timers.cancel(timer.key)
        if effects.appends:
            self._appends.put(effects.appends)
        for token, response in effects.replies:
            cast(Reply, token)(response)

    async def load(self) -> None:
        """Reads the partition back, a chunk at a time, while the loop serves others."""
        offset = 0
        record_count = 0
        try:
            offset = self._log.partition_info(TOPIC, self.partition).log_start_offset
            while True:
                data = await asyncio.to_thread(
                    self._log.read_batches, TOPIC, self.partition, offset, LOAD_CHUNK_BYTES
                )
                if not data:
                    break
                for batch in iter_batches(data):
                    offset = batch.next_offset
                    if batch.is_control:
                        continue
                    for record in batch.records():
                        self._replay(record.key, record.value, record.offset)
                        record_count += 1
        except Exception as error:  # CoreError, CorruptBatch; the other shards must load anyway
            self.status = ShardStatus.FAILED
            logger.error("cannot load %s-%d at offset %d: %s", TOPIC, self.partition, offset, error)
            return
        self.status = ShardStatus.ACTIVE
        self.perform(self.machine.loaded(self.now()))
        if record_count:
            logger.info(
                "loaded %d groups from %d records of %s-%d",
                len(self.machine.groups),
                record_count,
                TOPIC,
                self.partition,
            )

    def activate_empty(self) -> None:
        """Takes requests at once: the partition has just been created."""
        self.status = ShardStatus.ACTIVE

    def unload(self) -> None:
        """Gives up its groups: whoever waits is answered, also for appends on their way."""
        self.status = ShardStatus.UNLOADED
        self.close()
        self.perform(self.machine.unloaded())

    def close(self) -> None:
        """Stops all timers."""
        self._timers.cancel_all()

    def _replay(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        try:
            record = decode(key, value)
        except RecordError as error:
            # All other groups of the partition shall not be lost over it.
            logger.error("%s-%d: offset %d: %s", TOPIC, self.partition, offset, error)
            return
        if record is not None:
            self.machine.replay(record)

    def _on_timer(self, key: TimerKey) -> None:
        self.perform(self.machine.on_timer(key, self.now()))

    def _settle(self, append: Append, error: ErrorCode) -> None:
        if error is ErrorCode.none:
            self.perform(self.machine.appended(append.outcome, self.now()))
        else:
            self.perform(self.machine.append_failed(append.outcome, error, self.now()))


def wall_clock_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
