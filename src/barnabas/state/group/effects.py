"""What an operation on a group asks of the world beside appends and replies: timers.

A timer that fires is fed back through `GroupShard.on_timer`, which yields the next effects.
"""

import enum
from dataclasses import dataclass, field
from typing import NamedTuple

from barnabas.state import effects
from barnabas.state.group.records import Record


class Instant(NamedTuple):
    """A moment on both clocks: timeouts use the monotonic one, records the wall clock."""

    monotonic_ms: int
    wall_ms: int


class TimerKind(enum.Enum):
    """What a timer is about."""

    SESSION = "session"  # a member's heartbeat, or a pending member's second JoinGroup
    JOIN = "join"  # the join phase of a rebalance
    SYNC = "sync"  # members that have joined and owe a SyncGroup


class TimerKey(NamedTuple):
    """Names one timer; setting it again replaces it."""

    group_id: str
    kind: TimerKind
    member_id: str = ""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Call `GroupShard.on_timer(key)` at `deadline_ms` of the monotonic clock, or later."""

    key: TimerKey
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget a timer. One that fires nevertheless does no harm."""

    key: TimerKey


@dataclass(slots=True)
class Effects(effects.Effects[Record]):
    """Everything one event caused."""

    timers: list[SetTimer | CancelTimer] = field(default_factory=list)

    def set_timer(self, key: TimerKey, deadline_ms: int) -> None:
        """Asks for a wake-up, replacing an earlier one of the same key."""
        self.timers.append(SetTimer(key, deadline_ms))

    def cancel_timer(self, key: TimerKey) -> None:
        """Forgets a wake-up."""
        self.timers.append(CancelTimer(key))
