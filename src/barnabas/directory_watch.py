"""Notices log directories that fail while the broker runs, and says whose partitions are offline.

What is in a directory that has failed is answered KAFKA_STORAGE_ERROR by the core at once; clients
then ask for metadata, where its partitions have no leader. Imports the catalog.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from barnabas.metadata.catalog import Catalog

if TYPE_CHECKING:
    from barnabas._core import Core

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 0.5


class DirectoryWatch:
    """The log directories of a broker. To be used on the broker loop's thread."""

    def __init__(self, core: "Core", catalog: Catalog) -> None:
        self._core = core
        self._catalog = catalog
        self._online: set[str] | None = None
        self._seen = 0  # of the catalog's changes
        self._task: asyncio.Task[None] | None = None
        self.all_failed = asyncio.Event()

    def start(self) -> None:
        """Looks now, and from time to time."""
        self.look()
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        """Looks no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def look(self) -> None:
        """Takes note of what has failed since the last time, and of what is new in it: a topic may
        have been made while its directory failed.
        """
        states = self._core.directory_states()
        online = {path for path, is_online in states if is_online}
        changes = self._catalog.change_count
        if online == self._online and changes == self._seen:
            return
        if not online:
            self.all_failed.set()
        failed = {path for path, _ in states} - online
        if failed:
            self._catalog.set_offline(
                (info.topic, info.partition)
                for info in self._core.partition_infos()
                if not info.is_future and (not info.directory or info.directory in failed)
            )
        for path in sorted((self._online or set()) - online):
            logger.error("log directory %s has failed: what is in it is offline", path)
        self._online = online
        self._seen = changes

    async def _watch(self) -> None:
        while not self.all_failed.is_set():
            await asyncio.sleep(INTERVAL_S)
            try:
                self.look()
            except Exception:  # the next look may do better
                logger.exception("cannot look at the log directories")
