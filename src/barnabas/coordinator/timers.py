"""Timers of a state machine, on the broker loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from barnabas.state.units import MS_PER_S

if TYPE_CHECKING:
    from barnabas.state.group.effects import TimerKey


class Timers:
    """At most one pending call per key. To be used on the loop's thread only."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_timer: Callable[[TimerKey], None]
    ) -> None:
        self._loop = loop
        self._on_timer = on_timer
        self._handles: dict[TimerKey, asyncio.TimerHandle] = {}

    def set(self, key: TimerKey, deadline_ms: int) -> None:
        """Calls back at `deadline_ms` of the loop's clock, in place of an earlier setting."""
        self.cancel(key)
        self._handles[key] = self._loop.call_at(deadline_ms / MS_PER_S, self._fire, key)

    def cancel(self, key: TimerKey) -> None:
        """Forgets a key."""
        handle = self._handles.pop(key, None)
        if handle is not None:
            handle.cancel()

    def cancel_all(self) -> None:
        """Forgets everything."""
        for handle in self._handles.values():
            handle.cancel()
        self._handles.clear()

    def _fire(self, key: TimerKey) -> None:
        del self._handles[key]
        self._on_timer(key)
