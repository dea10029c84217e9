"""Takes deleted topics out of the core, in the background: a directory costs some milliseconds.

A topic whose deletion is stored is gone for clients; its tombstone makes the next start finish what
this one does not. Imports the store and its records. To be used on the broker loop's thread.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from barnabas.disk_calls import TOPICS, DiskCalls
from barnabas.metadata.records import Tombstone
from barnabas.metadata.store import Delete, MetadataStore, StoreError

if TYPE_CHECKING:
    from barnabas._core import Core

logger = logging.getLogger(__name__)

PARTITIONS_PER_STEP: Final = 100
"""What a stop of the broker, or a topic of the same name, has to wait for at most."""


class TopicRemoval:
    """The topics that are deleted, and that the core may still hold."""

    def __init__(self, core: "Core", disk_calls: DiskCalls, store: MetadataStore) -> None:
        self._core = core
        self._disk_calls = disk_calls
        self._store = store
        self._pending: dict[str, Tombstone] = {}
        self._step_done = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def add(self, tombstones: Iterable[Tombstone]) -> None:
        """Begins to remove topics."""
        self._pending.update((tombstone.name, tombstone) for tombstone in tombstones)
        if self._pending and self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def finished(self, names: Iterable[str]) -> None:
        """Waits until the core knows none of these topics any more."""
        waiting = [name for name in names if name in self._pending]
        while any(name in self._pending for name in waiting):
            await self._step_done.wait()

    async def stop(self) -> None:
        """Leaves the rest to the next start."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    async def _work(self) -> None:
        while self._pending:
            step = self._next_step()
            try:
                removed = await self._disk_calls.run(TOPICS, self._remove, step)
                await asyncio.to_thread(
                    self._store.commit, [Delete(tombstone.path) for tombstone in removed]
                )
            except StoreError as error:
                logger.error("tombstones of topics stay stored: %s", error)
            except Exception:  # whoever waits for this step must not wait for ever
                logger.exception("deleted topics are left to the next start")
            for tombstone in step:
                del self._pending[tombstone.name]
            self._step_done.set()
            self._step_done = asyncio.Event()
        self._worker = None

    def _next_step(self) -> list[Tombstone]:
        step: list[Tombstone] = []
        partition_count = 0
        for tombstone in self._pending.values():
            partition_count += tombstone.partition_count
            if step and partition_count > PARTITIONS_PER_STEP:
                break
            step.append(tombstone)
        return step

    def _remove(self, tombstones: Sequence[Tombstone]) -> list[Tombstone]:
        """On a thread that may wait: returns those of which nothing is left to do."""
        from barnabas._core import CoreError

        removed = []
        for tombstone in tombstones:
            try:
                self._core.delete_topic(tombstone.name)
                removed.append(tombstone)
            except CoreError as error:
                logger.error(
                    "topic %s is deleted, its directories not yet: %s", tombstone.name, error
                )
        return removed
