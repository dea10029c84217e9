"""The outcome of an append, brought from the native thread that has it to the broker loop's."""

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from barnabas.clock import begin_job, end_job

UNKNOWN_SERVER_ERROR: Final = -1


class Outcome:
    """The `on_durable` of one append. Tells `reply`, once, Kafka's error code on the loop's thread:
    at once when that is the thread that it is told on. Until then the loop has not settled.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, reply: Callable[[int], None]) -> None:
        self._loop = loop
        self._reply = reply
        self._thread = threading.get_ident()
        begin_job(loop)

    def __call__(self, code: int, _base_offset: int) -> None:
        """Is called by the core, on any thread."""
        if threading.get_ident() == self._thread:
            self._tell(code)
        else:
            self._loop.call_soon_threadsafe(self._tell, code)

    def fail(self, error: Exception) -> None:
        """Instead of a call: the append was refused, with a CoreError, which has a code, or not."""
        self._tell(getattr(error, "code", UNKNOWN_SERVER_ERROR))

    def _tell(self, code: int) -> None:
        end_job(self._loop)
        self._reply(code)
