"""Producer ids are never handed out twice, whatever crashes in between."""

import asyncio
from pathlib import Path

from barnabas.disk_calls import DiskCalls
from barnabas.metadata.producer_ids import BLOCK_SIZE, ProducerIds
from barnabas.metadata.sqlite import SqliteStore


def test_ids_are_unique_across_blocks_and_restarts(tmp_path: Path) -> None:
    seen: list[int] = []

    async def take(count: int) -> None:
        store = SqliteStore(tmp_path / "metadata.sqlite")
        disk_calls = DiskCalls()
        ids = ProducerIds(store, disk_calls)
        seen.extend(await asyncio.gather(*(ids.next() for _ in range(count))))
        disk_calls.shutdown()
        store.close()  # what is left of the block is lost, as in a crash

    asyncio.run(take(BLOCK_SIZE + 10))
    asyncio.run(take(10))
    assert len(set(seen)) == len(seen) == BLOCK_SIZE + 20
    assert max(seen) < 4 * BLOCK_SIZE
