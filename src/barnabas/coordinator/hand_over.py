"""The one way of the coordinators' appends to the native core.

What all of them append in one pass of the broker loop, to whatever partitions, goes out in one
call: a call costs more than what it does for one partition.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVarTuple

from barnabas.clock import begin_job, end_job

if TYPE_CHECKING:
    from barnabas.state.effects import Marker, Producer

logger = logging.getLogger(__name__)

Args = TypeVarTuple("Args")

UNKNOWN_SERVER_ERROR: Final = -1

EncodedRecord = tuple[bytes, bytes | None]
"""Key and value."""


class LogAppend(NamedTuple):
    """One batch for a partition, as `Core.append_all` takes it."""

    topic: str
    partition: int
    records: tuple[tuple[bytes | None, bytes | None], ...]  # key, value
    producer: Producer | None  # whose transaction the records are part of
    marker: Marker | None  # instead of records


class AppendLog(Protocol):
    """The part of `barnabas._core.Core` that takes appends."""

    def append_all(
        self, appends: tuple[LogAppend, ...], on_late: Callable[[int, int], None]
    ) -> list[int | None]:
        """See `Core.append_all`."""


Reply = Callable[[int], None]
"""Is told Kafka's error code of an append, once, on the loop's thread."""


class HandOver:
    """Gathers the appends of a broker's coordinators. To be used on their loop's thread only."""

    def __init__(self, log: AppendLog, loop: asyncio.AbstractEventLoop) -> None:
        self._log = log
        self._loop = loop
        self._sources: list[Callable[[], None]] = []
        self._appends: list[LogAppend] = []
        self._replies: list[Reply] = []
        self._is_due = False

    def ask(self, source: Callable[[], None]) -> None:
        """Calls `source`, which `add`s what it has, before the appends of this pass go out."""
        self._sources.append(source)
        self._make_due()

    def add(self, append: LogAppend, reply: Reply) -> None:
        """Appends with this pass, behind what was added for the same partition before. Until
        `reply` is told, the loop has not settled.
        """
        self._appends.append(append)
        self._replies.append(reply)
        self._make_due()

    def _make_due(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        while self._sources:  # a source may lead to another one
            sources, self._sources = self._sources, []
            for source in sources:
                guarded(source)
        appends, self._appends = self._appends, []
        replies, self._replies = self._replies, []
        self._is_due = False
        if not appends:
            return
        codes: list[int | None]
        try:
            codes = self._log.append_all(tuple(appends), partial(self._come, replies))
        except Exception:  # the clients must be answered anyway
            logger.exception("%d appends of coordinators failed", len(appends))
            codes = [UNKNOWN_SERVER_ERROR] * len(appends)
        for reply, code in zip(replies, codes, strict=True):
            if code is None:
                begin_job(self._loop)
            else:
                guarded(reply, code)

    def _come(self, replies: list[Reply], index: int, code: int) -> None:
        """A late outcome, on any thread."""
        self._loop.call_soon_threadsafe(self._tell_late, replies[index], code)

    def _tell_late(self, reply: Reply, code: int) -> None:
        end_job(self._loop)
        guarded(reply, code)


def guarded(call: Callable[[*Args], None], *args: *Args) -> None:
    """Makes a call of which no failure reaches the others that wait."""
    try:
        call(*args)
    except Exception:
        logger.exception("an append of a coordinator, or what comes of it, has failed")
