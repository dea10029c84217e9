"""An answer of the group coordinator that may come later."""

import asyncio
from collections.abc import Callable
from typing import Any


class PendingReply:
    """The coordinator's `reply` callback: encodes its value into `future`, for the broker loop."""

    __slots__ = ("_encode", "future")

    def __init__(self, encode: Callable[[Any], bytes]) -> None:
        self._encode = encode
        self.future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def __call__(self, response: Any) -> None:
        """Takes the coordinator's answer."""
        if self.future.done():  # given up when the broker stops
            return
        try:
            self.future.set_result(self._encode(response))
        except Exception as error:  # must not reach the others that the coordinator answers
            self.future.set_exception(error)
