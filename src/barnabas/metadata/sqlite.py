"""The metadata store of a lone broker: one SQLite file, `metadata.sqlite`, in the data directory.

One table of documents by path. WAL with synchronous=FULL: a commit is durable when it returns,
and a crash at any moment leaves it done or not done. Imports the store's types only.
"""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from barnabas.metadata.store import (
    ABSENT,
    ANY_VERSION,
    Change,
    Entry,
    Put,
    StoreError,
    VersionConflict,
)

FILE_NAME: Final = "metadata.sqlite"
FORMAT_VERSION: Final = 1
HEADER_BYTES: Final = 100
_SMALLEST_WRITE_BYTES: Final = 64 << 10  # the write-ahead log and its index begin with this much
APPLICATION_ID: Final = 0x424E4253  # "BNBS", in the file's header

_SCHEMA: Final = (
    "CREATE TABLE document (path TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL)"
    " WITHOUT ROWID"
)


class SqliteStore:
    """A MetadataStore on a SQLite file. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        """Opens the file, which is made when it is missing. Raises StoreError."""
        self._path = path
        self._lock = threading.Lock()
        if path.exists() and 0 < path.stat().st_size < HEADER_BYTES:
            # SQLite would take it for a new file and write over what is left.
            raise StoreError(self._damaged("cut off"))
        try:
            # Transactions are begun by hand: autocommit otherwise.
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _prepare(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        (version,) = execute("PRAGMA user_version").fetchone()
        (application,) = execute("PRAGMA application_id").fetchone()
        if version == 0 and application == 0:
            execute("BEGIN IMMEDIATE")
            execute(_SCHEMA)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
            execute(f"PRAGMA user_version = {FORMAT_VERSION}")
            execute("COMMIT")
        elif application != APPLICATION_ID:
            raise StoreError(f"{self._path} is no metadata store of Barnabas")
        elif version != FORMAT_VERSION:
            raise StoreError(
                f"{self._path} has format {version}; this version of Barnabas reads "
                f"{FORMAT_VERSION}"
            )
        (verdict,) = execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreError(self._damaged(" ".join(verdict.split())))

    def _damaged(self, what: object) -> str:
        return (
            f"{self._path} is damaged ({what}); restore it from a backup, or move it away and "
            "start with --adopt-for-good, which takes topics from their directories, without their "
            "settings"
        )

    def _failed(self, error: sqlite3.Error) -> StoreError:
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        ):
            return StoreError(self._damaged(error))
        return StoreError(f"{self._path}: {self._reason(error)}")

    def _reason(self, error: sqlite3.Error) -> str:
        """What SQLite says, but in the system's words where SQLite's would hide the cause."""
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and self._is_disk_full()):
            return os.strerror(errno.ENOSPC)
        if name.startswith("SQLITE_READONLY") and not os.access(self._path.parent, os.W_OK):
            return os.strerror(errno.EACCES)
        return str(error)

    def _is_disk_full(self) -> bool:
        try:
            disk = os.statvfs(self._path.parent)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize < _SMALLEST_WRITE_BYTES

    def get(self, path: str) -> Entry | None:
        """The document of a path."""
        query = "SELECT value, version FROM document WHERE path = ?"
        with self._lock:
            try:
                row = self._connection.execute(query, (path,)).fetchone()
            except sqlite3.Error as error:
                raise self._failed(error) from error
        return None if row is None else Entry(*row)

    def list(self, prefix: str) -> Mapping[str, Entry]:
        """The documents whose paths start with `prefix`, sorted by path."""
        # The first path after all that start with the prefix: U+10FFFF sorts last in UTF-8.
        query = "SELECT path, value, version FROM document WHERE path >= ? AND path < ? || ?"
        with self._lock:
            try:
                rows = self._connection.execute(query, (prefix, prefix, "\U0010ffff")).fetchall()
            except sqlite3.Error as error:
                raise self._failed(error) from error
        return {path: Entry(value, version) for path, value, version in rows}

    def commit(self, changes: Sequence[Change]) -> None:
        """Makes all changes or none. Raises VersionConflict or StoreError."""
        with self._lock:
            execute = self._connection.execute
            try:
                execute("BEGIN IMMEDIATE")
                for change in changes:
                    self._apply(change)
                execute("COMMIT")
            except sqlite3.Error as error:
                self._roll_back()
                raise self._failed(error) from error
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        # After a full disk SQLite may have rolled back by itself.
        with suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    def _apply(self, change: Change) -> None:
        execute = self._connection.execute
        query = "SELECT version FROM document WHERE path = ?"
        row = execute(query, (change.path,)).fetchone()
        actual = ABSENT if row is None else row[0]
        expected = change.expected_version
        if expected is not ANY_VERSION and expected != actual:
            raise VersionConflict(change.path, expected, actual)
        if isinstance(change, Put):
            execute(
                "INSERT INTO document (path, value, version) VALUES (?, ?, ?)"
                " ON CONFLICT (path) DO UPDATE SET value = excluded.value,"
                " version = excluded.version",
                (change.path, change.value, actual + 1),
            )
        else:
            execute("DELETE FROM document WHERE path = ?", (change.path,))

    def copy_to(self, path: Path, meanwhile: Callable[[], None]) -> None:
        """Makes another store with the same documents, and runs `meanwhile` before the next commit.

        The copy is not fsynced. Raises StoreError.
        """
        with self._lock:
            try:
                with closing(sqlite3.connect(path, isolation_level=None)) as copy:
                    copy.execute("PRAGMA synchronous = OFF")
                    self._connection.backup(copy)
            except sqlite3.Error as error:
                raise StoreError(f"{path}: {self._reason(error)}") from error
            meanwhile()

    def close(self) -> None:
        """Ends the use of the file."""
        with self._lock:
            self._connection.close()
