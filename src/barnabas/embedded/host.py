"""What producers and consumers in this process need of their broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar

from kio.schema.errors import ErrorCode

from barnabas._core import CoreError
from barnabas.arguments import deadline_after
from barnabas.errors import KafkaError

if TYPE_CHECKING:
    from barnabas.handlers.services import Services

T = TypeVar("T")
P = ParamSpec("P")


class Response(Protocol):
    """What a coordinator answers with."""

    @property
    def error(self) -> ErrorCode:
        """Of the whole request."""


R = TypeVar("R", bound=Response)

ISOLATION_LEVELS: Final = ("read_uncommitted", "read_committed")
RETRY_S: Final = 0.01
"""How long to wait for a coordinator that asks for it."""
API_TIMEOUT_S: Final = 60.0
"""How long it is waited for where nothing has begun yet, as Kafka's clients do (max.block.ms,
default.api.timeout.ms): one whose log cannot be read asks for ever.
"""
RETRIED: Final = frozenset(
    {
        ErrorCode.concurrent_transactions,
        ErrorCode.coordinator_load_in_progress,
        ErrorCode.coordinator_not_available,
        ErrorCode.unstable_offset_commit,
    }
)


class Host(Protocol):
    """The broker, as `embed.Broker` is one. Coroutines run on its loop."""

    @property
    def services(self) -> Services:
        """Its parts."""

    def call(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine and waits for it. Raises BrokerClosed."""

    def begin(self, make: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Begins to run a coroutine. Raises BrokerClosed."""


async def answer(ask: Callable[[Callable[[T], None]], object]) -> T:
    """What a coordinator answers: `ask` hands it the callback for that."""
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def reply(response: T) -> None:
        if not future.done():
            future.set_result(response)

    ask(reply)
    return await future


async def answer_when_ready(
    ask: Callable[[Callable[[R], None]], object], timeout_s: float | None = None
) -> R:
    """What a coordinator answers once it is ready: it loads, or has a transaction to end first.
    After `timeout_s`, that it is not.
    """
    deadline = deadline_after(timeout_s)
    while True:
        response: R = await answer(ask)
        is_over = deadline is not None and time.monotonic() >= deadline
        if response.error not in RETRIED or is_over:
            return response
        await asyncio.sleep(RETRY_S)


def ask_core(ask: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What the core answers. What it refuses is a KafkaError, as all that clients here get."""
    try:
        return ask(*args, **kwargs)
    except CoreError as error:
        raise KafkaError(ErrorCode(error.code), str(error)) from error


def check(error: ErrorCode, what: str) -> None:
    """Raises KafkaError for an error."""
    if error is not ErrorCode.none:
        raise KafkaError(error, what)
