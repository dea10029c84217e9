"""The metadata store of a lone broker: one SQLite file, `metadata.sqlite`, in the data directory.

One table of documents by path, one with their digest. WAL with synchronous=FULL: a commit is
durable when it returns, and a crash at any moment leaves it done or not done. While it is open, no
other connection reads or writes the file. A file in which a
byte is wrong is refused, or has the same documents. Imports the store's types only.
"""

import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from barnabas.metadata.sqlite_check import (
    DIGEST_SCHEMA,
    DOCUMENT_SCHEMA,
    DamagedError,
    actual_digest,
    check_digest,
    check_log,
    check_pages,
    digest_of,
    has_digest,
)
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
FORMAT_VERSION: Final = 2
FORMAT_WITHOUT_DIGEST: Final = 1
HEADER_BYTES: Final = 100
CHECKPOINT_PAGES: Final = 100  # of the write-ahead log: a start after a kill checks as many
_SMALLEST_WRITE_BYTES: Final = 64 << 10  # the write-ahead log and its index begin with this much
APPLICATION_ID: Final = 0x424E4253  # "BNBS", in the file's header
_ADVICE: Final = (
    "restore it from a backup, or move it away and start with --adopt-for-good, which takes topics "
    "from their directories, without their settings"
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
            check_log(path)
        except DamagedError as error:
            raise StoreError(self._damaged(error)) from error
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
        # Before anything is read: then the index of the write-ahead log is in memory of this
        # process, not in a file that is mapped, where a disk without room is a SIGBUS.
        execute("PRAGMA locking_mode = EXCLUSIVE")
        (version,) = execute("PRAGMA user_version").fetchone()
        (application,) = execute("PRAGMA application_id").fetchone()
        is_new = version == 0 and application == 0
        if not is_new:
            self._check_format(version, application)
            try:
                self._check(version)
            except (DamagedError, UnicodeDecodeError) as error:
                raise StoreError(self._damaged(error)) from error
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA cache_spill = OFF")  # no page is twice in a commit: `check_log`
        execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        with suppress(sqlite3.OperationalError):  # no room: so be it
            execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # torn frames go: `check_log`
        execute("BEGIN IMMEDIATE")
        if version == FORMAT_VERSION:
            execute("UPDATE digest SET value = value")  # it can be written to
            execute("ROLLBACK")
            return
        if is_new:
            execute(DOCUMENT_SCHEMA)
            execute(f"PRAGMA application_id = {APPLICATION_ID}")
        if is_new or not has_digest(self._connection):
            execute(DIGEST_SCHEMA)
            execute("INSERT INTO digest VALUES (?)", (actual_digest(self._connection),))
        execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        execute("COMMIT")

    def _check_format(self, version: int, application: int) -> None:
        if application != APPLICATION_ID:
            raise StoreError(f"{self._path} is no metadata store of Barnabas; {_ADVICE}")
        if version not in (FORMAT_WITHOUT_DIGEST, FORMAT_VERSION):
            raise StoreError(
                f"{self._path} has format {version}; this version of Barnabas reads "
                f"{FORMAT_VERSION}. If no other one has written it, {_ADVICE}"
            )

    def _check(self, version: int) -> None:
        """Raises DamagedError or sqlite3.Error when it is not what was stored."""
        check_pages(self._connection)
        if has_digest(self._connection):
            check_digest(self._connection)
        elif version != FORMAT_WITHOUT_DIGEST:
            raise DamagedError("the digest of its documents is missing")

    def _damaged(self, what: object) -> str:
        return f"{self._path} is damaged ({what}); {_ADVICE}"

    def _failed(self, error: sqlite3.Error) -> StoreError:
        name = getattr(error, "sqlite_errorname", "")
        is_damage = isinstance(error, sqlite3.DatabaseError) and (
            not isinstance(error, sqlite3.OperationalError)
            or name in ("", "SQLITE_ERROR")  # a text that is none, a table that is not there
            or (name == "SQLITE_READONLY" and os.access(self._path, os.W_OK))  # says its header
        )
        return StoreError(
            self._damaged(error) if is_damage else f"{self._path}: {self._reason(error)}"
        )

    def _reason(self, error: sqlite3.Error) -> str:
        """What SQLite says, but in the system's words where SQLite's would hide the cause."""
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and self._is_disk_full()):
            return os.strerror(errno.ENOSPC)
        if name.startswith("SQLITE_READONLY") and not os.access(self._path.parent, os.W_OK):
            return os.strerror(errno.EACCES)
        if self._path.exists() and not os.access(self._path, os.R_OK | os.W_OK):
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
                added = sum(self._apply(change) for change in changes)
                execute("UPDATE digest SET value = value + ?", (added,))
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

    def _apply(self, change: Change) -> int:
        """Returns by how much the digest changes."""
        execute = self._connection.execute
        query = "SELECT value, version FROM document WHERE path = ?"
        row = execute(query, (change.path,)).fetchone()
        actual = ABSENT if row is None else row[1]
        expected = change.expected_version
        if expected is not ANY_VERSION and expected != actual:
            raise VersionConflict(change.path, expected, actual)
        before = 0 if row is None else digest_of(change.path, *row)
        if isinstance(change, Put):
            execute(
                "INSERT INTO document (path, value, version) VALUES (?, ?, ?)"
                " ON CONFLICT (path) DO UPDATE SET value = excluded.value,"
                " version = excluded.version",
                (change.path, change.value, actual + 1),
            )
            return digest_of(change.path, change.value, actual + 1) - before
        execute("DELETE FROM document WHERE path = ?", (change.path,))
        return -before

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
