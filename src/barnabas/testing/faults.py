"""Faults of the file system under the brokers and logs of this process.

    with faults.fail("write", "*/orders-0/*.log", error=errno.ENOSPC, times=1) as fault:
        ...                                    # one append finds the disk full
    assert fault.struck == 1

A fault concerns one kind of call and the files whose whole path matches a pattern, or one of
several (as for a shell; `*` matches slashes, too; a rename or a link is of its source, a copy of
its target). It strikes the `nth` such call from when it was made on, and those after it: `times` of
them, or all. It lasts until `remove()`, or the end of its `with` block: then what it holds or
delays is done. No file of a log is ever mapped, so there is no mmap among the calls: what would be
SIGBUS elsewhere is a `read` that fails.
"""

import errno
import threading
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Literal, get_args

from barnabas import _core
from barnabas._core import FaultEffect, FileCall
from barnabas.arguments import check_delay, check_integer, check_range, check_text, wrong_type
from barnabas.wording import meant

Call = Literal[
    "open",
    "write",
    "read",
    "send",
    "truncate",
    "sync",
    "rename",
    "unlink",
    "make_directory",
    "link",
    "copy",
]
CALLS: Final[tuple[str, ...]] = get_args(Call)
ShortCall = Literal["write", "read", "send", "copy"]
Pattern = str | Sequence[str]
_ALWAYS: Final = 2**64 - 1
_WAITS: Final = (FaultEffect.HOLD, FaultEffect.DELAY)


class Fault:
    """One that was made. `matched` and `struck` count calls, or requests, from when it was made
    on.
    """

    def __init__(
        self,
        count: Callable[[], tuple[int, int]],
        remove: Callable[[], None],
        *,
        waits: bool = False,
    ) -> None:
        self._count_now = count
        self._remove = remove
        self.waits: Final = waits
        """Whether what it strikes waits for its end."""
        self._last: tuple[int, int] | None = None
        self._removing = threading.Lock()

    @property
    def in_force(self) -> bool:
        """Whether it has not been removed yet."""
        return self._last is None

    @property
    def matched(self) -> int:
        """How many it concerned."""
        return self._count()[0]

    @property
    def struck(self) -> int:
        """How many of them went wrong because of it."""
        return self._count()[1]

    def remove(self) -> None:
        """Lets all be well again. The counts stay. A second time does nothing."""
        with self._removing:  # a test may be about it, and the broker that closes
            if self.in_force:
                self._last = self._count_now()
                self._remove()
                _in_force.discard(self)

    def _count(self) -> tuple[int, int]:
        return self._count_now() if self._last is None else self._last

    def __enter__(self) -> "Fault":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


_in_force: Final[set[Fault]] = set()


def end_waits() -> None:
    """What holds or delays a call is removed, so that the brokers of a program that ends can be
    closed.
    """
    for fault in tuple(_in_force):
        if fault.waits:
            fault.remove()


def _add(call: Call, pattern: Pattern, effect: FaultEffect, value: int, **when: int) -> Fault:
    check_text("call", call, "the name of a call, such as 'write'")
    if call not in CALLS:
        raise ValueError(f"there is no call {call!r}: {meant(call, CALLS)}")
    patterns = [pattern] if isinstance(pattern, str) else list(pattern)
    for each in patterns:
        check_text("pattern", each, "a str, or a list of them")
    number = _core.add_fault(getattr(FileCall, call.upper()), patterns, effect, value, **when)
    fault = Fault(
        partial(_core.count_fault, number),
        partial(_core.remove_fault, number),
        waits=effect in _WAITS,
    )
    _in_force.add(fault)
    return fault


def check_count(name: str, value: object) -> int:
    """A number of calls or requests. Raises TypeError, ValueError."""
    number = check_integer(name, value)
    if not 1 <= number < _ALWAYS:
        raise ValueError(f"{name}={number}: it must count from 1, and not beyond {_ALWAYS - 1}")
    return number


def check_times(times: int | None) -> int:
    """How often a fault strikes, as the core has it. Raises TypeError, ValueError."""
    return _ALWAYS if times is None else check_count("times", times)


def _when(nth: int, times: int | None) -> dict[str, int]:
    return {"nth": check_count("nth", nth), "times": check_times(times)}


def fail(
    call: Call,
    pattern: Pattern = "*",
    *,
    error: int = errno.EIO,
    nth: int = 1,
    times: int | None = None,
) -> Fault:
    """The call does nothing and fails with an errno."""
    if isinstance(error, str):
        hint = f"errno.{error} is one" if error in errno.errorcode.values() else ""
        raise wrong_type("error", error, "a number of the module errno", hint)
    if check_integer("error", error, "a number of the module errno") not in errno.errorcode:
        raise ValueError(f"error {error} is no number of the module errno")
    return _add(call, pattern, FaultEffect.FAIL, error, **_when(nth, times))


def short(
    call: ShortCall,
    pattern: Pattern = "*",
    *,
    size: int,
    nth: int = 1,
    times: int | None = None,
) -> Fault:
    """The call does `size` bytes of what it was to, and says so."""
    check_range("size", size, 0)
    return _add(call, pattern, FaultEffect.SHORT, size, **_when(nth, times))


def tear(pattern: Pattern = "*", *, size: int, nth: int = 1, times: int | None = None) -> Fault:
    """A write puts `size` bytes there and fails with EIO."""
    check_range("size", size, 0)
    return _add("write", pattern, FaultEffect.TEAR, size, **_when(nth, times))


def delay(
    call: Call, pattern: Pattern = "*", *, seconds: float, nth: int = 1, times: int | None = None
) -> Fault:
    """The call takes so long."""
    delay_ms = check_delay("seconds", seconds)
    return _add(call, pattern, FaultEffect.DELAY, delay_ms, **_when(nth, times))


def hold(call: Call, pattern: Pattern = "*", *, nth: int = 1, times: int | None = None) -> Fault:
    """The call waits until the fault is removed, and is done then."""
    return _add(call, pattern, FaultEffect.HOLD, 0, **_when(nth, times))


def kill(call: Call, pattern: Pattern = "*", *, is_done: bool, nth: int = 1) -> Fault:
    """The process gets SIGKILL, once the call is done or instead of it."""
    effect = FaultEffect.KILL_AFTER if is_done else FaultEffect.KILL_BEFORE
    return _add(call, pattern, effect, 0, **_when(nth, 1))
