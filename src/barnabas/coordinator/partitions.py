"""The partitions of one coordinator's topic, which is made when needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from kio.schema.errors import ErrorCode

from barnabas.coordinator.routing import partition_for

if TYPE_CHECKING:  # a broker that coordinates nothing does not wait for these
    from barnabas.coordinator.partition import CoordinatorPartition

S = TypeVar("S", bound="CoordinatorPartition[Any]")


class CoordinatorTopic(Protocol):
    """What a coordinator needs to know of its topic."""

    def partition_count(self) -> int | None:
        """Its partitions; None if it does not exist."""

    async def ensure(self) -> int:
        """Creates it if need be; returns its partition count. Raises KafkaError."""


class CoordinatorPartitions(Generic[S]):
    """All partitions of one topic. To be used on the broker loop's thread only."""

    def __init__(self, topic: CoordinatorTopic, make: Callable[[int], S]) -> None:
        self._topic = topic
        self._make = make
        self._partitions: list[S] = []
        self._loading: asyncio.Task[None] | None = None
        self._creation = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._partitions)

    def __len__(self) -> int:
        return len(self._partitions)

    def __getitem__(self, partition: int) -> S:
        return self._partitions[partition]

    def __iter__(self) -> Iterator[S]:
        return iter(self._partitions)

    def start(self, on_loaded: Callable[[S], None]) -> None:
        """Starts reading the topic back, in the background, if it exists. Until a partition has
        been read, requests for it are told to wait; then `on_loaded` is called.
        """
        partition_count = self._topic.partition_count()
        if partition_count is not None:
            self._partitions = [self._make(partition) for partition in range(partition_count)]
            self._loading = asyncio.get_running_loop().create_task(self._load(on_loaded))

    async def ensure_topic(self) -> None:
        """Creates the topic if it does not exist; its partitions take requests from then on."""
        if self._partitions:
            return
        async with self._creation:
            partition_count = await self._topic.ensure()
            if not self._partitions:
                self._partitions = [self._make(partition) for partition in range(partition_count)]
                for partition in self._partitions:
                    partition.activate_empty()

    async def stop(self) -> None:
        """Stops loading, and whatever partitions do in the background."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        for partition in self._partitions:
            partition.close()

    def forget(self) -> None:
        """The topic is no more, and everything with it: whoever looks for the coordinator makes
        it anew.
        """
        if self._loading is not None:
            self._loading.cancel()
        partitions, self._partitions = self._partitions, []
        for partition in partitions:
            partition.unload()

    def find(self, key: str) -> tuple[S | None, ErrorCode]:
        """The partition of a group or transactional id if it takes requests, else why not."""
        if not self._partitions:
            # The client is to look for the coordinator (again), which creates the topic.
            return None, ErrorCode.not_coordinator
        partition = self._partitions[partition_for(key, len(self._partitions))]
        error = partition.error
        return (partition if error is ErrorCode.none else None), error

    async def _load(self, on_loaded: Callable[[S], None]) -> None:
        for partition in self._partitions:
            await partition.load()
            if partition.is_active:
                on_loaded(partition)
