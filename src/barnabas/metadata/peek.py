"""What the store of a broker says of a topic, whether the broker runs or not. Changes nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path

from barnabas.metadata.records import TOPICS_PREFIX, TopicRecord
from barnabas.metadata.sqlite import FILE_NAME
from barnabas.metadata.sqlite_check import DamagedError, check_digest, has_digest


def partition_count(data_dir: Path, topic: str) -> int | None:
    """How many partitions a topic has; None when there is no store in the directory that can be
    read, or no such topic in it.
    """
    path = (data_dir / FILE_NAME).absolute()
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            if has_digest(connection):
                check_digest(connection)
            query = "SELECT value FROM document WHERE path = ?"
            row = connection.execute(query, (TOPICS_PREFIX + topic,)).fetchone()
        return None if row is None else len(TopicRecord.decode(topic, row[0]).partitions)
    except (DamagedError, sqlite3.Error, ValueError):
        return None
