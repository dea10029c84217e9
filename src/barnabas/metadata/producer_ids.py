"""Producer ids, never the same twice: handed out of blocks that are reserved in the store first.

What a crash leaves of a block is lost, as in Kafka; 2**63 ids allow for many crashes. Imports the
store and its paths.
"""

import asyncio
from typing import Final

from barnabas.disk_calls import STORE, DiskCalls
from barnabas.metadata.records import PRODUCER_IDS_PATH
from barnabas.metadata.store import ABSENT, MetadataStore, Put

BLOCK_SIZE: Final = 1000


class ProducerIds:
    """The allocator of one broker. To be used on the broker loop's thread."""

    def __init__(self, store: MetadataStore, disk_calls: DiskCalls) -> None:
        self._store = store
        self._disk_calls = disk_calls
        self._next = 0
        self._end = 0  # after the last of the block
        self._reserving = asyncio.Lock()

    def take(self) -> int | None:
        """The next id of the block at hand, None when it is used up."""
        if self._next == self._end:
            return None
        producer_id = self._next
        self._next += 1
        return producer_id

    async def next(self) -> int:
        """The next id; reserves a block, off the loop, when there is none. Raises StoreError."""
        while (producer_id := self.take()) is None:
            async with self._reserving:
                if self._next == self._end:
                    start = await self._disk_calls.run(STORE, self._reserve)
                    self._next, self._end = start, start + BLOCK_SIZE
        return producer_id

    def _reserve(self) -> int:
        entry = self._store.get(PRODUCER_IDS_PATH)
        start = 0 if entry is None else int(entry.value)
        end = str(start + BLOCK_SIZE).encode()
        version = ABSENT if entry is None else entry.version
        self._store.commit([Put(PRODUCER_IDS_PATH, end, version)])
        return start
