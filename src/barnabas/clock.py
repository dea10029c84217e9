"""`barnabas.VirtualClock`: the time of embedded brokers, in the hands of a test.

    clock = barnabas.VirtualClock()
    with barnabas.Broker(clock=clock) as broker:
        ...
        clock.advance(days=7)    # retention has happened when this returns

The calendar stands still but for `advance` and `step`. By it go retention, the ages of segments,
the lags of compaction, the expiry of offsets, and the timestamps that a broker or an in-process
producer gives; transaction timeouts go by `advance` alone. Timeouts (of sessions, rebalances,
waiting fetches) pass in real time, too, because clients have timers of their own, which are real:
a consumer that waits for an answer still gets one.

`advance` takes its way in steps, from one timer of the control plane to the next: what one timer
sets off can set another that is due within the same advance. A long one is taken in 4,096 steps
at most. For a member of a group, whose heartbeats are real, an advance by more than its session
timeout is an absence: it is put out of the group, and joins again by itself.
"""

import asyncio
import heapq
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

from barnabas import _core
from barnabas.arguments import check_number, wrong_type
from barnabas.errors import BrokerClosed
from barnabas.wording import meant

T = TypeVar("T")
Args = TypeVarTuple("Args")

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
_STEPS_MAX: Final = 4_096
_PASSES_MAX: Final = 1_000  # of the loop, for what one step sets off
_IDLE: Final = float("inf")
_PARTS: Final = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")
# From the epoch: what the native core counts in, less a year.
_NS_MAX: Final = 2**63 - 366 * 24 * 3_600 * NS_PER_S


class Follower(Protocol):
    """A broker that goes by a clock."""

    def call(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine on its `VirtualLoop` and waits for it. Raises BrokerClosed."""

    async def run_due(self) -> None:
        """Does what is due by the calendar, and what is periodic. To be run on its loop."""


class VirtualClock:
    """A clock for `barnabas.Broker(clock=…)`, of one broker or of several.

    It begins at `start`, an aware datetime, or now. Clients of a network stamp their records by
    their own clocks, and a record from the future is refused (message.timestamp.after.max.ms): a
    start in the past goes with in-process producers, or with LogAppendTime. It stays within the
    years 1970 to 2261, as a record from before 1970 is one without a time, and its timeouts within
    292 years: ValueError for what is beyond.

    Safe to use from several threads, but not from a broker's own.
    """

    def __init__(self, start: datetime | None = None) -> None:
        if start is not None and not isinstance(start, datetime):
            raise wrong_type("start", start, "a datetime with a time zone, or None")
        if start is not None and start.tzinfo is None:
            raise ValueError(f"{start!r} has no time zone")
        wall_ns = time.time_ns() if start is None else _ns(start - datetime.fromtimestamp(0, UTC))
        _check_range(wall_ns)
        self.native: Final = _core.VirtualClock(wall_ns)
        self._advancing = threading.Lock()
        self._followers: list[Follower] = []

    @property
    def time_ms(self) -> int:
        """The calendar's time, in milliseconds since the epoch."""
        return self.native.wall_ms()

    def now(self) -> datetime:
        """The calendar's time, to the millisecond, in UTC."""
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self.time_ms)

    def advance(self, by: timedelta | None = None, /, **parts: float) -> None:
        """Lets time pass: `advance(timedelta(days=7))`, or with timedelta's keywords
        `advance(days=7, seconds=1)`. What is due by then has been done at return.

        Periodic checks (log.retention.check.interval.ms, log.cleaner.backoff.ms and the like) are
        made at the end, however short the advance was. Files of segments that go are removed
        log.segment.delete.delay.ms later, as ever.
        """
        by_ns = _span_ns(by, parts)
        if by_ns < 0:
            raise ValueError("time does not go back")
        with self._advancing:
            _check_range(self.time_ms * NS_PER_MS + by_ns)
            if time.monotonic_ns() + self.native.ahead_ns() + by_ns > _NS_MAX:
                raise ValueError("timeouts stay within 292 years of each other")
            self._pass(by_ns)
            self._ask(_run_due)
            self._ask(_settle)

    def step(self, by: timedelta | None = None, /, **parts: float) -> None:
        """Sets the calendar forth or back, as somebody does who corrects a clock, while no time
        passes: timeouts do not notice. `step(timedelta(hours=-1))`, or with timedelta's keywords
        `step(hours=-1)`. What is due by the calendar then has been done at return. A broker that
        starts later knows nothing of it: it takes the calendar as it finds it.
        """
        by_ns = _span_ns(by, parts)
        with self._advancing:
            _check_range(self.time_ms * NS_PER_MS + by_ns)
            self.native.step(by_ns)
            self._ask(_run_due)
            self._ask(_settle)

    def __repr__(self) -> str:
        return f"<barnabas.VirtualClock at {self.now().isoformat(sep=' ')}>"

    def _pass(self, left_ns: int) -> None:
        shortest_ns = left_ns // _STEPS_MAX + 1
        while left_ns > 0:
            next_s = min(self._ask(_settle), default=_IDLE)
            due_ns = left_ns if next_s == _IDLE else max(0, round(next_s * NS_PER_S))
            step_ns = min(left_ns, max(due_ns, shortest_ns))
            self.native.advance(step_ns)
            left_ns -= step_ns
        self._ask(_settle)

    def _ask(self, ask: Callable[[Follower], T]) -> list[T]:
        answers = []
        for follower in list(self._followers):
            try:
                answers.append(ask(follower))
            except BrokerClosed:
                self.unfollow(follower)
        return answers

    # -- for brokers

    def follow(self, follower: Follower) -> None:
        """From now on an advance concerns it."""
        self._followers.append(follower)

    def unfollow(self, follower: Follower) -> None:
        """No more."""
        if follower in self._followers:
            self._followers.remove(follower)


def _check_range(ns: int) -> None:
    if not 0 <= ns <= _NS_MAX:
        raise ValueError("a clock stays within the years 1970 to 2261")


def _settle(follower: Follower) -> float:
    """Does what is due by timers; how far the next one is off, in seconds."""
    return follower.call(_settle_loop)


async def _settle_loop() -> float:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return await loop.settle()


def _run_due(follower: Follower) -> None:
    follower.call(follower.run_due)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers go by a virtual clock, and which tells when it has settled."""

    def __init__(self, clock: VirtualClock) -> None:
        self._ahead_ns = clock.native.ahead_ns
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []  # a heap, by time
        self._timers_made = 0
        self._calls_made = 0  # of call_soon
        self.jobs = 0  # in threads, Python's and native ones: see begin_job
        self.job_ended = asyncio.Event()
        super().__init__()

    async def settle(self) -> float:
        """Waits until all that is left waits for a timer or a client. Returns how far the next
        timer is off, in seconds.
        """
        for _ in range(_PASSES_MAX):
            now, calls_made = self.time(), self._calls_made
            await asyncio.sleep(0)  # is one call each; after two of them a whole pass has been made
            await asyncio.sleep(0)
            while self._timers and (self._timers[0][0] <= now or self._timers[0][2].cancelled()):
                heapq.heappop(self._timers)
            next_s = self._timers[0][0] - self.time() if self._timers else _IDLE
            if self.jobs:
                self.job_ended.clear()
                await self.job_ended.wait()
            elif self._calls_made == calls_made + 2 and next_s > 0:
                return next_s
        return 0

    # -- what asyncio asks of a loop

    def time(self) -> float:
        """Seconds, of the clock's timeouts."""
        return super().time() + self._ahead_ns() / NS_PER_S

    def call_at(
        self,
        when: float,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Notes the timer."""
        handle = super().call_at(when, callback, *args, context=context)
        self._timers_made += 1
        heapq.heappush(self._timers, (when, self._timers_made, handle))
        return handle

    def call_soon(
        self,
        callback: Callable[[*Args], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Notes that there is something to be done."""
        self._calls_made += 1
        return super().call_soon(callback, *args, context=context)

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[*Args], T],
        *args: *Args,
    ) -> asyncio.Future[T]:
        """Notes the job, until its end has been noticed."""
        future = super().run_in_executor(executor, func, *args)
        begin_job(self)
        future.add_done_callback(lambda _job: end_job(self))
        return future


def begin_job(loop: asyncio.AbstractEventLoop) -> None:
    """Something is done elsewhere: a `VirtualLoop` has not settled before `end_job`. On its thread;
    other loops need not know.
    """
    if isinstance(loop, VirtualLoop):
        loop.jobs += 1


def end_job(loop: asyncio.AbstractEventLoop) -> None:
    """What it came to is known. On the loop's thread."""
    if isinstance(loop, VirtualLoop):
        loop.jobs -= 1
        loop.job_ended.set()


def _span_ns(by: timedelta | None, parts: dict[str, float]) -> int:
    if by is not None and not isinstance(by, timedelta):
        raise wrong_type("by", by, "a timedelta", "or say of what: seconds=5, for instance")
    if by is None and not parts:
        raise TypeError("say by how much: a timedelta, or seconds=5, for instance")
    for name, value in parts.items():
        if name not in _PARTS:
            raise TypeError(f"there is no {name!r} of a timedelta: {meant(name, _PARTS)}")
        check_number(name, value)
        if not abs(value) >= 0:
            raise ValueError(f"{name} must be a number, not nan")
    try:
        return _ns(timedelta(**parts) + (by or timedelta()))
    except OverflowError:
        shown = ", ".join(f"{name}={value}" for name, value in parts.items())
        raise ValueError(f"{shown} is more than a timedelta can be") from None


def _ns(span: timedelta) -> int:
    return span // timedelta(microseconds=1) * 1000
