"""What is used in a `with` block, or an `async with` block, and closed at its end."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """Base of what has a `close`."""

    @abstractmethod
    def close(self) -> None:
        """Ends it. May be repeated."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClosing(Closing):
    """Base of what may also be used in an `async with` block. It is closed on a thread of the
    loop's executor then, for that may wait.
    """

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        import asyncio  # whoever comes here has it

        await asyncio.to_thread(self.close)
