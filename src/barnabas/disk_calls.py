"""Threads of Python for calls of the core that may wait for a disk.

    await disk_calls.run(info.directory, core.offset_for_timestamp, topic, partition, timestamp)

Each log directory has some of its own, and so have changes of topics: calls that wait for one
directory take no thread from those that wait for another, nor from the metadata store, which has
the loop's default executor.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, TypeVarTuple

Args = TypeVarTuple("Args")
T = TypeVar("T")

THREADS: Final = 4  # of each place, at most
TOPICS: Final = "topics"  # what makes and removes logs, in any directory
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

    def shutdown(self) -> None:
        """Finishes the calls that have begun, and makes no more."""
        for executor in self._executors.values():
            executor.shutdown(cancel_futures=True)
