"""The shards of one coordinator: one for each partition of its topic, which is made when needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from kio.schema.errors import ErrorCode

from barnabas.coordinator.routing import partition_for

if TYPE_CHECKING:  # a broker that coordinates nothing does not wait for these
    from barnabas.coordinator.shard import Shard

S = TypeVar("S", bound="Shard[Any]")


class InternalTopic(Protocol):
    """What a coordinator needs to know of its topic."""

    def partition_count(self) -> int | None:
        """Its partitions; None if it does not exist."""

    async def ensure(self) -> int:
        """Creates it if need be; returns its partition count. Raises KafkaError."""


class Shards(Generic[S]):
    """All shards of one topic. To be used on the broker loop's thread only."""

    def __init__(self, topic: InternalTopic, make: Callable[[int], S]) -> None:
        self._topic = topic
        self._make = make
        self._shards: list[S] = []
        self._loading: asyncio.Task[None] | None = None
        self._creation = asyncio.Lock()

    def __bool__(self) -> bool:
        return bool(self._shards)

    def __len__(self) -> int:
        return len(self._shards)

    def __getitem__(self, partition: int) -> S:
        return self._shards[partition]

    def __iter__(self) -> Iterator[S]:
        return iter(self._shards)

    def start(self, on_loaded: Callable[[S], None]) -> None:
        """Starts reading the topic back, in the background, if it exists. Until a shard has been
        read, requests for it are told to wait; then `on_loaded` is called.
        """
        partition_count = self._topic.partition_count()
        if partition_count is not None:
            self._shards = [self._make(partition) for partition in range(partition_count)]
            self._loading = asyncio.get_running_loop().create_task(self._load(on_loaded))

    async def ensure_topic(self) -> None:
        """Creates the topic if it does not exist; its shards take requests from then on."""
        if self._shards:
            return
        async with self._creation:
            partition_count = await self._topic.ensure()
            if not self._shards:
                self._shards = [self._make(partition) for partition in range(partition_count)]
                for shard in self._shards:
                    shard.activate_empty()

    async def stop(self) -> None:
        """Stops loading, and whatever shards do in the background."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        for shard in self._shards:
            shard.close()

    def forget(self) -> None:
        """The topic is no more, and everything with it: whoever looks for the coordinator makes
        it anew.
        """
        if self._loading is not None:
            self._loading.cancel()
        shards, self._shards = self._shards, []
        for shard in shards:
            shard.unload()

    def find(self, key: str) -> tuple[S | None, ErrorCode]:
        """The shard of a group or transactional id if it takes requests, else why not."""
        if not self._shards:
            # The client is to look for the coordinator (again), which creates the topic.
            return None, ErrorCode.not_coordinator
        shard = self._shards[partition_for(key, len(self._shards))]
        error = shard.error
        return (shard if error is ErrorCode.none else None), error

    async def _load(self, on_loaded: Callable[[S], None]) -> None:
        for shard in self._shards:
            await shard.load()
            if shard.is_active:
                on_loaded(shard)
