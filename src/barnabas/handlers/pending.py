"""An answer of a coordinator that may come later."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any

Answer = bytes | Exception
"""An encoded response message, or what went wrong with it."""


class PendingReply:
    """The coordinator's `reply` callback: encodes what it is called with, once.

    The broker loop takes the answer with `send_to`; others may await it. What the coordinator does
    after a reply comes after the answer has been sent, if it is left to another pass of the loop.
    """

    __slots__ = ("_answer", "_encode", "_send")

    def __init__(self, encode: Callable[[Any], bytes]) -> None:
        self._encode = encode
        self._answer: Answer | None = None
        self._send: Callable[[Answer], None] | None = None

    def __call__(self, response: Any) -> None:
        """Takes the coordinator's answer."""
        try:
            self._answer = self._encode(response)
        except Exception as error:  # must not reach the others that the coordinator answers
            self._answer = error
        if self._send is not None:
            self._send(self._answer)

    def send_to(self, send: Callable[[Answer], None]) -> None:
        """`send` gets the answer when there is one, perhaps at once."""
        self._send = send
        if self._answer is not None:
            send(self._answer)

    def __await__(self) -> Generator[Any, None, bytes]:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def send(answer: Answer) -> None:
            if future.done():  # given up
                return
            if isinstance(answer, bytes):
                future.set_result(answer)
            else:
                future.set_exception(answer)

        self.send_to(send)
        return future.__await__()
