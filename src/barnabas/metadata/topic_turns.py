"""Who may change which topics: one change of a topic at a time. Imports errors and units only.

Names that collide in metrics ("a.b" and "a_b") count as one, as only one of them may exist. A
change of several topics begins when none of them is being changed, and makes nobody wait before
that: what waits for a topic holds up no other. To be used on the broker loop's thread.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kio.schema.errors import ErrorCode

from barnabas.errors import KafkaError
from barnabas.state.units import MS_PER_S


@dataclass(eq=False, slots=True)
class _Waiting:
    keys: frozenset[str]
    granted: asyncio.Future[None]


class TopicTurns:
    """The topics that are being changed."""

    def __init__(self) -> None:
        self._held: set[str] = set()
        self._waiting: list[_Waiting] = []  # the longest first

    @asynccontextmanager
    async def turn(
        self, names: Iterable[str], timeout_ms: int | None = None
    ) -> AsyncIterator[None]:
        """The right to change these topics. Raises KafkaError, REQUEST_TIMED_OUT, when the client's
        time is up before.
        """
        keys = frozenset(name.replace(".", "_") for name in names)
        timeout_s = None if timeout_ms is None else max(timeout_ms, 0) / MS_PER_S
        try:
            async with asyncio.timeout(timeout_s):
                await self._take(keys)
        except TimeoutError:
            raise KafkaError(ErrorCode.request_timed_out) from None
        try:
            yield
        finally:
            self._give_back(keys)

    async def _take(self, keys: frozenset[str]) -> None:
        if keys.isdisjoint(self._held):
            self._held |= keys
            return
        waiting = _Waiting(keys, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await waiting.granted
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:  # it came at the same moment
                self._give_back(keys)
            raise

    def _give_back(self, keys: frozenset[str]) -> None:
        self._held -= keys
        for waiting in [*self._waiting]:
            if waiting.keys.isdisjoint(self._held) and not waiting.granted.done():
                self._waiting.remove(waiting)
                self._held |= waiting.keys
                waiting.granted.set_result(None)
