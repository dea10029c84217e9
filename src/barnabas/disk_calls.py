"""Threads of Python for calls of the core that may wait for a disk.

    await disk_calls.run(in_directory(path), core.offset_for_timestamp, topic, partition, timestamp)

Each log directory has some of its own, some more for the changes of topics in it, and so has the
metadata store: calls that wait for one of them take no thread from those that wait for another.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from barnabas._core import TopicChange

Args = TypeVarTuple("Args")
T = TypeVar("T")

THREADS: Final = 4  # of each place, at most


class Place(NamedTuple):
    """What calls may wait for: each has threads of its own."""

    what: str
    directory: str | int | None = None  # by path or number


STORE: Final = Place("store")  # what reads and writes the metadata store
TOPICS: Final = Place("topics")  # begins changes of topics, configures: waits for forks alone
MOVES: Final = Place("moves")  # what begins and ends moves between directories
NOWHERE: Final = Place("nowhere")  # what the core will refuse


def in_directory(path: str) -> Place:
    """What reads and writes in a log directory."""
    return Place("records", path)


def _topics_in(number: int) -> Place:
    return Place("topics", number)


class DiskCalls:
    """To be used on the broker loop's thread."""

    def __init__(self) -> None:
        self._executors: dict[Place, ThreadPoolExecutor] = {}

    def run(self, place: Place, call: Callable[[*Args], T], *args: *Args) -> asyncio.Future[T]:
        """Makes a call on a thread of `place`."""
        executor = self._executors.get(place)
        if executor is None:
            executor = ThreadPoolExecutor(THREADS, thread_name_prefix="disk-call")
            self._executors[place] = executor
        return asyncio.get_running_loop().run_in_executor(executor, call, *args)

    async def carry_out(self, change: "TopicChange") -> None:
        """Makes the steps of a change, each on a thread for its log directory. Raises CoreError."""
        while (directory := change.next_directory()) is not None:
            await self.run(_topics_in(directory), change.step)

    def shutdown(self) -> None:
        """Finishes the calls that have begun, and makes no more."""
        for executor in self._executors.values():
            executor.shutdown(cancel_futures=True)
