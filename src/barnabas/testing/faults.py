"""Faults of the file system under the brokers and logs of this process.

    with faults.fail("write", "*/orders-0/*.log", error=errno.ENOSPC, times=1) as fault:
        ...                                    # one append finds the disk full
    assert fault.struck == 1

A fault concerns one kind of call and the files whose whole path matches a pattern, or one of
several (as for a shell; `*` matches slashes, too; a rename or a link is of its source, a copy of
its target). It strikes the `nth` such call from when it was made on, and those after it: `times` of
them, or all. It lasts until `remove()`, or the end of its `with` block.
"""

import errno
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Literal, get_args

from barnabas import _core
from barnabas._core import FaultEffect, FileCall
from barnabas.arguments import check_integer, check_number, check_text, wrong_type
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
_ALWAYS = 2**64 - 1


class Fault:
    """One that is in force. `matched` and `struck` count calls, or requests, from when it was made
    on.
    """

    def __init__(self, count: Callable[[], tuple[int, int]], remove: Callable[[], None]) -> None:
        self._count_now = count
        self._remove = remove
        self._last: tuple[int, int] | None = None

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
        if self._last is None:
            self._last = self._count_now()
            self._remove()

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


def _add(call: Call, pattern: Pattern, effect: FaultEffect, value: int, **when: int) -> Fault:
    check_text("call", call, "the name of a call, such as 'write'")
    if call not in CALLS:
        raise ValueError(f"there is no call {call!r}: {meant(call, CALLS)}")
    patterns = [pattern] if isinstance(pattern, str) else list(pattern)
    for each in patterns:
        check_text("pattern", each, "a str, or a list of them")
    fault = _core.add_fault(getattr(FileCall, call.upper()), patterns, effect, value, **when)
    return Fault(partial(_core.count_fault, fault), partial(_core.remove_fault, fault))


def _when(nth: int, times: int | None) -> dict[str, int]:
    is_some = times is None or check_integer("times", times, "an int or None") > 0
    if check_integer("nth", nth) < 1 or not is_some:
        raise ValueError("nth and times count from 1")
    return {"nth": nth, "times": _ALWAYS if times is None else times}


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
    check_integer("error", error, "a number of the module errno")
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
    check_integer("size", size)
    return _add(call, pattern, FaultEffect.SHORT, size, **_when(nth, times))


def tear(pattern: Pattern = "*", *, size: int, nth: int = 1, times: int | None = None) -> Fault:
    """A write puts `size` bytes there and fails with EIO."""
    check_integer("size", size)
    return _add("write", pattern, FaultEffect.TEAR, size, **_when(nth, times))


def delay(
    call: Call, pattern: Pattern = "*", *, seconds: float, nth: int = 1, times: int | None = None
) -> Fault:
    """The call takes so long."""
    check_number("seconds", seconds)
    return _add(call, pattern, FaultEffect.DELAY, round(seconds * 1000), **_when(nth, times))


def hold(call: Call, pattern: Pattern = "*", *, nth: int = 1, times: int | None = None) -> Fault:
    """The call waits until the fault is removed, and is done then."""
    return _add(call, pattern, FaultEffect.HOLD, 0, **_when(nth, times))


def kill(call: Call, pattern: Pattern = "*", *, is_done: bool, nth: int = 1) -> Fault:
    """The process gets SIGKILL, once the call is done or instead of it."""
    effect = FaultEffect.KILL_AFTER if is_done else FaultEffect.KILL_BEFORE
    return _add(call, pattern, effect, 0, **_when(nth, 1))
