"""Threads of Python for calls of the core that may wait for a disk.

    await disk_calls.run(info.directory, core.offset_for_timestamp, topic, partition, timestamp)

Each log directory has some of its own, some more for the changes of topics in it, and so has the
metadata store: calls that wait for one of them take no thread from those that wait for another.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from barnabas._core import TopicChange

Args = TypeVarTuple("Args")
T = TypeVar("T")

THREADS: Final = 4  # of each place, at most
STORE: Final = "store"  # what reads and writes the metadata store
TOPICS: Final = "topics"  # what begins changes of topics, or configures: it waits for forks alone
MOVES: Final = "moves"  # what begins and ends moves between directories


class DiskCalls:
    """To be used on the broker loop's thread."""

    def __init__(self) -> None:
        self._executors: dict[str, ThreadPoolExecutor] = {}

    def run(self, place: str, call: Callable[[*Args], T], *args: *Args) -> asyncio.Future[T]:
        """Makes a call on a thread of `place`: a log directory's path, or one of the above."""
        executor = self._executors.get(place)
        if executor is None:
            executor = ThreadPoolExecutor(THREADS, thread_name_prefix="disk-call")
            self._executors[place] = executor
        return asyncio.get_running_loop().run_in_executor(executor, call, *args)

    async def carry_out(self, change: "TopicChange") -> None:
        """Makes the steps of a change, each on a thread for its log directory. Raises CoreError."""
        while (directory := change.next_directory()) is not None:
            await self.run(f"{TOPICS} {directory}", change.step)

    def shutdown(self) -> None:
        """Finishes the calls that have begun, and makes no more."""
        for executor in self._executors.values():
            executor.shutdown(cancel_futures=True)
