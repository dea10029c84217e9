"""Which log directories a broker has had beside the first, where the store is.

One of them that is not there at a start is missing: a disk that is not mounted leaves an empty
place at its path, and log.dirs may name it no more. What was in it is offline then, not new, until
it is back or given up.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from barnabas.errors import StartError
from barnabas.metadata.records import LOG_DIRECTORIES_PREFIX, LogDirectoryRecord
from barnabas.metadata.store import Delete, MetadataStore, Put

if TYPE_CHECKING:
    from barnabas._core import DirectoryIdentity

logger = logging.getLogger(__name__)


class KnownDirectories:
    """What the store says of log directories, held against those that have been found."""

    def __init__(self, store: MetadataStore, found: "Sequence[DirectoryIdentity]") -> None:
        self._store = store
        self._found = {os.path.realpath(directory.path): directory for directory in found}
        records = [
            LogDirectoryRecord.decode(path, entry.value)
            for path, entry in store.list(LOG_DIRECTORIES_PREFIX).items()
        ]
        there = {directory.directory_id for directory in found}
        self._missing = [record for record in records if record.directory_id not in there]
        self._places = {record.directory_id: record.path for record in records}

    def forget(self, paths: Iterable[Path]) -> None:
        """Gives missing directories up. Raises StartError for one that is there: whoever leaves the
        option where it is would give up a disk that is not mounted at some later start.
        """
        for path in paths:
            place = os.path.realpath(path)
            lost = [record for record in self._missing if os.path.realpath(record.path) == place]
            found = self._found.get(place)
            if not lost and found is not None and found.directory_id:
                raise StartError(
                    f"--forget-log-dir {path}: that log directory is there, and is not forgotten; "
                    "start without the option"
                )
            if not lost:
                logger.warning("--forget-log-dir %s: no such log directory is missing", path)
                continue
            self._store.commit([Delete(record.path_in_store) for record in lost])
            self._missing = [record for record in self._missing if record not in lost]
            for record in lost:
                logger.warning(
                    "log directory %s (directory.id %s) is given up: partitions that were only in "
                    "it begin anew, empty",
                    record.path,
                    record.directory_id,
                )

    def missing(self) -> list[tuple[str, str]]:
        """(path, why it is offline) of those that are not there."""
        return [self._described(record) for record in self._missing]

    def _described(self, record: LogDirectoryRecord) -> tuple[str, str]:
        named = f"log directory {record.path} (directory.id {record.directory_id})"
        give_up = f"if it is lost for good, start once with --forget-log-dir {record.path}"
        found = self._found.get(os.path.realpath(record.path))
        if found is None:
            return record.path, f"{named} is not in log.dirs any more (put it back; {give_up})"
        if found.is_new:
            return found.path, (
                f"{named} is missing, there is no meta.properties (mount its disk; {give_up})"
            )
        if not found.directory_id:  # what is wrong with it is told
            return found.path, found.error
        path = f"{record.path} (directory.id {record.directory_id})"
        return path, f"{named} is missing, another one is in its place (mount its disk; {give_up})"

    def learn(self, directories: "Sequence[DirectoryIdentity]") -> None:
        """Remembers those that are there now."""
        changes = [
            Put(record.path_in_store, record.encode())
            for directory in directories[1:]
            if directory.directory_id and self._places.get(directory.directory_id) != directory.path
            for record in (LogDirectoryRecord(directory.directory_id, directory.path),)
        ]
        if changes:
            self._store.commit(changes)
