"""Whether a SQLite store holds what was put into it. Imports nothing of ours.

SQLite checks how its pages hang together, not what is in them, and takes a damaged frame of its
write-ahead log for the end of it. So the store has a digest of all documents, changed with each of
them, and the write-ahead log is looked at before what follows a damaged frame is forgotten.
"""

import sqlite3
import struct
import zlib
from pathlib import Path
from typing import Final

DOCUMENT_SCHEMA: Final = (
    "CREATE TABLE document (path TEXT PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL)"
    " WITHOUT ROWID"
)
DIGEST_SCHEMA: Final = "CREATE TABLE digest (value INTEGER NOT NULL)"

# https://sqlite.org/fileformat2.html#walformat
_WAL_HEADER: Final = struct.Struct(">8I")
_FRAME_HEADER: Final = struct.Struct(">6I")
_SALTS_OFFSET: Final = 8  # in a frame's header
_BIG_ENDIAN_SUMS: Final = 0x377F0683
_SECTOR_BYTES: Final = 512  # what a disk writes whole


class DamagedError(Exception):
    """What is wrong with the store."""


def digest_of(path: str, value: bytes, version: int) -> int:
    """What a document adds to the digest: that it is there, and a CRC-32 of it."""
    return 1 << 32 | zlib.crc32(value, zlib.crc32(f"{path}\0{version}\0".encode()))


def check_pages(connection: sqlite3.Connection) -> None:
    """Raises DamagedError, or sqlite3.Error, when SQLite's structure is damaged."""
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise DamagedError(" ".join(verdict.split()))


def has_digest(connection: sqlite3.Connection) -> bool:
    """Whether it has one; those of the first format had none. Raises DamagedError when the tables
    are others than they were made.
    """
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    tables = dict(rows.fetchall())
    if tables.get("document") != DOCUMENT_SCHEMA:
        raise DamagedError("the table of documents is not what it was made")
    if "digest" in tables and tables["digest"] != DIGEST_SCHEMA:
        raise DamagedError("the table of the digest is not what it was made")
    return "digest" in tables


def actual_digest(connection: sqlite3.Connection) -> int:
    """Of the documents as they are. Raises DamagedError, or sqlite3.Error."""
    digest = 0
    for path, value, version in connection.execute("SELECT path, value, version FROM document"):
        if not (isinstance(path, str) and isinstance(value, bytes) and isinstance(version, int)):
            raise DamagedError("a document is of another type")
        digest += digest_of(path, value, version)
    return digest


def check_digest(connection: sqlite3.Connection) -> None:
    """Raises DamagedError, or sqlite3.Error, unless the documents are those that were stored."""
    stored = connection.execute("SELECT value FROM digest").fetchall()
    if stored != [(actual_digest(connection),)]:
        raise DamagedError("its documents do not have their checksum")


def check_log(path: Path) -> None:
    """Raises DamagedError when the write-ahead log has commits behind a damaged place. To be done
    before SQLite sees it.

    Each commit is fsynced before the next begins, so that a power cut tears the last one at most:
    any sectors of it may be missing, with what was there before in their place. One that was
    damaged looks like that, and counts as torn. What a torn one has left is gone with the log that
    a store makes empty when it is opened: it is never behind other commits.
    """
    log = path.with_name(path.name + "-wal")
    data = log.read_bytes() if log.exists() else b""
    if len(data) <= _WAL_HEADER.size or not any(data[: _WAL_HEADER.size]):
        return
    magic, _, page_size, _, *salts, first, second = _WAL_HEADER.unpack_from(data)
    order = ">" if magic == _BIG_ENDIAN_SUMS else "<"
    checksum = _checksum((0, 0), struct.unpack_from(order + "6I", data))
    if checksum != (first, second):
        raise DamagedError(f"{log.name} has a wrong header")
    page = struct.Struct(f"{order}{page_size // 4}I")
    is_intact = True
    uncommitted: list[tuple[int, bool]] = []  # of this log: page number, whether it is a commit
    frame_size = _FRAME_HEADER.size + page_size
    for offset in range(_WAL_HEADER.size, len(data) - frame_size + 1, frame_size):
        number, size_after_commit, *frame_salts, first, second = _FRAME_HEADER.unpack_from(
            data, offset
        )
        if frame_salts[0] != salts[0] and frame_salts[1] != salts[1]:
            # Of an earlier log, whose place this one has: nothing was written here, or that is
            # lost, though frames behind it may be there. (With one of the two it is damaged.)
            is_intact = False
            continue
        if is_intact:
            checksum = _checksum(checksum, struct.unpack_from(order + "2I", data, offset))
            checksum = _checksum(checksum, page.unpack_from(data, offset + _FRAME_HEADER.size))
            is_intact = frame_salts == salts and checksum == (first, second)
        if is_intact or (offset + _SALTS_OFFSET) % _SECTOR_BYTES:
            uncommitted.append((number, size_after_commit != 0))
        # Otherwise the salts may have been written without what is before them, in another sector.
        if is_intact and size_after_commit:
            uncommitted.clear()
    if _are_several_commits(uncommitted):
        raise DamagedError(f"{log.name} has commits behind a damaged place")


def _are_several_commits(frames: list[tuple[int, bool]]) -> bool:
    """Whether they cannot be one: it has no page twice, and nothing behind its last frame."""
    numbers = {number for number, _ in frames}
    return len(numbers) < len(frames) or any(is_commit for _, is_commit in frames[:-1])


def _checksum(before: tuple[int, int], words: tuple[int, ...]) -> tuple[int, int]:
    first, second = before
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
