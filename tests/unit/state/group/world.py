"""A world for the group state machine: virtual time, timers, a log that can fail or lag."""

import heapq
from collections import deque
from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from barnabas.coordinator.group_records import decode, encode
from barnabas.state.effects import Append, Marker, Producer, Token
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.effects import CancelTimer, Effects, Instant, SetTimer, TimerKey
from barnabas.state.group.records import Record
from barnabas.state.group.shard import GroupShard

WALL_CLOCK_START_MS = 1_700_000_000_000


@dataclass
class World:
    """Performs effects the way the broker does, with everything under the test's control."""

    config: GroupConfig = field(default_factory=GroupConfig)
    now_ms: int = 0
    # Markers, and records with the producer whose transaction they are part of.
    log: list[Marker | tuple[bytes, bytes | None, Producer | None]] = field(default_factory=list)
    replies: list[tuple[Token, object]] = field(default_factory=list)
    storage_error: ErrorCode = ErrorCode.none
    is_storage_held: bool = False

    def __post_init__(self) -> None:
        self.shard = GroupShard(self.config)
        self._timers: dict[TimerKey, int] = {}
        self._timer_heap: list[tuple[int, int, TimerKey]] = []
        self._timer_count = 0
        self._held: deque[Append[Record]] = deque()

    @property
    def instant(self) -> Instant:
        return Instant(self.now_ms, WALL_CLOCK_START_MS + self.now_ms)

    @property
    def has_held_appends(self) -> bool:
        return bool(self._held)

    def perform(self, effects: Effects) -> None:
        for timer in effects.timers:
            match timer:
                case SetTimer(key, deadline_ms):
                    self._timers[key] = deadline_ms
                    self._timer_count += 1
                    heapq.heappush(self._timer_heap, (deadline_ms, self._timer_count, key))
                case CancelTimer(key):
                    self._timers.pop(key, None)
        self.replies.extend(effects.replies)
        self._held.extend(effects.appends)
        if not self.is_storage_held:
            self.release_storage()

    def release_storage(self) -> None:
        self.is_storage_held = False
        while self._held:
            append = self._held.popleft()
            if self.storage_error is ErrorCode.none:
                if append.marker is not None:
                    self.log.append(append.marker)
                self.log.extend((*encode(record), append.producer) for record in append.records)
                effects = self.shard.appended(append.outcome, self.instant)
            else:
                effects = self.shard.append_failed(append.outcome, self.storage_error, self.instant)
            self.perform(effects)

    def advance_to(self, now_ms: int) -> None:
        """Moves the clock, firing the timers on the way in order."""
        assert now_ms >= self.now_ms
        while self._timer_heap and self._timer_heap[0][0] <= now_ms:
            deadline_ms, _, key = heapq.heappop(self._timer_heap)
            if self._timers.get(key) == deadline_ms:
                del self._timers[key]
                self.now_ms = max(self.now_ms, deadline_ms)
                self.perform(self.shard.on_timer(key, self.instant))
        self.now_ms = now_ms

    def restart(self) -> None:
        """A new broker reads the log of the old one. What was waiting is gone with it."""
        self._timers.clear()
        self._timer_heap.clear()
        self._held.clear()
        self.shard = GroupShard(self.config)
        for entry in self.log:
            if isinstance(entry, Marker):
                self.shard.replay_marker(entry)
                continue
            key, value, producer = entry
            record = decode(key, value)
            assert record is not None
            self.shard.replay(record, producer)
        self.perform(self.shard.loaded(self.instant))
