"""What the store of a broker says of a topic, whether the broker runs or not. Changes nothing.

A broker that runs lets nobody else at its file, so that a copy is looked at.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from barnabas.metadata.records import TOPICS_PREFIX, TopicRecord
from barnabas.metadata.sqlite import FILE_NAME
from barnabas.metadata.sqlite_check import DamagedError, check_digest, has_digest

_TRIES: Final = 20
_LOG_HEADER_BYTES: Final = 32  # of the write-ahead log; changes when that begins anew


def partition_count(data_dir: Path, topic: str) -> int | None:
    """How many partitions a topic has; None when there is no store in the directory that can be
    read, or no such topic in it.
    """
    path = (data_dir / FILE_NAME).absolute()
    if not path.exists():
        return None
    try:
        with TemporaryDirectory(prefix="barnabas-store-") as directory:
            copy = _copy(path, Path(directory))
            with closing(sqlite3.connect(copy)) as connection:
                if has_digest(connection):
                    check_digest(connection)
                query = "SELECT value FROM document WHERE path = ?"
                row = connection.execute(query, (TOPICS_PREFIX + topic,)).fetchone()
        return None if row is None else len(TopicRecord.decode(topic, row[0]).partitions)
    except (DamagedError, OSError, sqlite3.Error, ValueError):
        return None


def _copy(path: Path, directory: Path) -> Path:
    """The file and its write-ahead log, of one moment. As long as that log goes on, it has all that
    is being written to the file meanwhile.
    """
    log = path.with_name(f"{path.name}-wal")
    copy = directory / path.name
    for _ in range(_TRIES):
        before = _head(log)
        shutil.copyfile(path, copy)
        if before:
            shutil.copyfile(log, copy.with_name(log.name))
        if _head(log) == before:
            return copy
        copy.with_name(log.name).unlink(missing_ok=True)
    raise OSError(f"{path} changes all the time")


def _head(log: Path) -> bytes:
    try:
        with log.open("rb") as file:
            return file.read(_LOG_HEADER_BYTES)
    except FileNotFoundError:
        return b""
