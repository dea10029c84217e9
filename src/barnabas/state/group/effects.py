"""What an operation asks of the world, as values: appends, replies and timers.

The machine never does any of it: the driver does, each of the three lists in its order. When an
append is done, which is never before the other effects of its event, the driver feeds
`Append.outcome` back through `GroupShard.appended` or `GroupShard.append_failed`, which yields the
next effects.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from kio.schema.errors import ErrorCode

from barnabas.state.group.records import Record

Token = object
"""Names one waiting request. Opaque here; each token is answered exactly once."""


CANNOT_BE_STORED = ErrorCode.invalid_record
"""The failure of an append whose records have no bytes: it will not do better next time."""


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


class Reply(NamedTuple):
    """The answer to the request that `token` stands for."""

    token: Token
    response: object


@dataclass(frozen=True, slots=True)
class Append:
    """Records to append as one batch, and the event to feed back when that is done."""

    records: tuple[Record, ...]
    outcome: object


@dataclass(slots=True)
class Effects:
    """Everything one event caused."""

    appends: list[Append] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    timers: list[SetTimer | CancelTimer] = field(default_factory=list)

    def reply(self, token: Token, response: object) -> None:
        """Answers the request that `token` stands for."""
        self.replies.append(Reply(token, response))

    def append(self, records: Iterable[Record], outcome: object) -> None:
        """Asks for `records` to be appended as one batch."""
        self.appends.append(Append(tuple(records), outcome))

    def set_timer(self, key: TimerKey, deadline_ms: int) -> None:
        """Asks for a wake-up, replacing an earlier one of the same key."""
        self.timers.append(SetTimer(key, deadline_ms))

    def cancel_timer(self, key: TimerKey) -> None:
        """Forgets a wake-up."""
        self.timers.append(CancelTimer(key))
