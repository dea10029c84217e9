"""Takes deleted topics out of the core, in the background: a directory costs some milliseconds.

A topic whose deletion is stored is gone for clients; its tombstone makes the next start finish what
this one does not. One that waits for its log directory holds up no other. Imports the store and its
records. To be used on the broker loop's thread.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from barnabas.disk_calls import STORE, TOPICS, DiskCalls
from barnabas.metadata.records import Tombstone
from barnabas.metadata.store import Delete, MetadataStore, StoreError

if TYPE_CHECKING:
    from barnabas._core import Core

logger = logging.getLogger(__name__)


class TopicRemoval:
    """The topics that are deleted, and that the core may still hold."""

    def __init__(self, core: "Core", disk_calls: DiskCalls, store: MetadataStore) -> None:
        self._core = core
        self._disk_calls = disk_calls
        self._store = store
        self._pending: dict[str, asyncio.Task[None]] = {}  # by name
        self._removed: list[Tombstone] = []  # still stored
        self._storing = asyncio.Lock()

    def add(self, tombstones: Iterable[Tombstone]) -> None:
        """Begins to remove topics."""
        for tombstone in tombstones:
            task = asyncio.get_running_loop().create_task(self._remove(tombstone))
            self._pending[tombstone.name] = task

    async def finished(self, names: Iterable[str]) -> None:
        """Waits until the core knows none of these topics any more."""
        waiting = [self._pending[name] for name in names if name in self._pending]
        if waiting:
            await asyncio.wait(waiting)

    async def stop(self) -> None:
        """Leaves the rest to the next start."""
        pending = [*self._pending.values()]
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _remove(self, tombstone: Tombstone) -> None:
        from barnabas._core import CoreError

        name = tombstone.name
        try:
            change = await self._disk_calls.run(TOPICS, self._core.begin_deletion, name)
            await self._disk_calls.carry_out(change)
            await self._forget(tombstone)
        except CoreError as error:
            logger.error("topic %s is deleted, its directories not yet: %s", name, error)
        except StoreError as error:
            logger.error("tombstones of topics stay stored: %s", error)
        except Exception:  # whoever waits for it must not wait for ever
            logger.exception("deleted topic %s is left to the next start", name)
        finally:
            del self._pending[name]

    async def _forget(self, tombstone: Tombstone) -> None:
        """Takes the tombstone out of the store, with those that have come meanwhile."""
        self._removed.append(tombstone)
        async with self._storing:
            removed, self._removed = self._removed, []
            if removed:
                changes = [Delete(removed_one.path) for removed_one in removed]
                await self._disk_calls.run(STORE, self._store.commit, changes)
