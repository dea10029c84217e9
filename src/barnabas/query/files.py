"""The part of `barnabas.scan` that reads a data directory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from barnabas._core import CoreError
from barnabas._records import CorruptBatch, decode_records
from barnabas.log import Log
from barnabas.metadata.peek import partition_count
from barnabas.query.bounds import Bound, bound_of, start_ms, to_ms
from barnabas.wording import close_names

if TYPE_CHECKING:
    import pyarrow as pa

    from barnabas._columns import Columns

CHUNK_BYTES: Final = 4 << 20  # read at a time: what a batch of the table is made of
_TOPIC_DIRECTORY: Final = re.compile(r"(.+)-(\d+)")
_PORT: Final = re.compile(r":[^\]]*$")  # or what takes its place; not of the colons of IPv6


def partition_directories(
    data_dirs: Sequence[Path], topic: str, wanted: frozenset[int] | None, named: frozenset[int]
) -> list[tuple[int, Path]]:
    """(partition, directory). Raises FileNotFoundError, also when one of them is elsewhere, or one
    that is `named` is nowhere; NotADirectoryError.
    """
    found: dict[int, Path] = {}
    for path in (path for data_dir in data_dirs for path in _entries(data_dir)):
        match = _TOPIC_DIRECTORY.fullmatch(path.name)
        if match and match[1] == topic:
            found[int(match[2])] = path
    where = ", ".join(map(str, data_dirs))
    if not found:
        hint = _hint(data_dirs[0], topic)
        raise FileNotFoundError(f"{where} has no partition of topic {topic}{hint}")
    counts = [partition_count(data_dir, topic) for data_dir in data_dirs]
    stored = {*range(max(count or 0 for count in counts)), *range(max(found))}
    asked = stored | found.keys() if wanted is None else wanted
    if missing := sorted((asked | named - stored) - found.keys()):
        hint = ": if its broker has several log.dirs, give all of them"
        raise FileNotFoundError(
            f"{where} has no partition {missing[0]} of topic {topic}"
            + (hint if missing[0] in stored else "")
        )
    if not asked:
        raise FileNotFoundError(f"{where} has none of the partitions of topic {topic}")
    return sorted((partition, found[partition]) for partition in asked)


def _hint(directory: Path, topic: str) -> str:
    """What may have been meant by a directory that has not got the topic, or by the topic."""
    path = directory.absolute()
    if _TOPIC_DIRECTORY.fullmatch(path.name) and any(path.glob("*.log")):
        return f": it is a partition itself, of the data directory {path.parent}"
    names = [_TOPIC_DIRECTORY.fullmatch(each.name) for each in path.iterdir()]
    close = close_names(topic, {name[1] for name in names if name})
    return f": did you mean {' or '.join(close)}?" if close else ""


def _entries(data_dir: Path) -> Iterator[Path]:
    try:
        yield from data_dir.iterdir()
    except FileNotFoundError:
        name = str(data_dir)
        host = _PORT.sub("", name) or "localhost"
        hint = "" if os.sep in name else f"; a cluster is HOST:PORT, such as {host}:9092"
        raise FileNotFoundError(f"there is no data directory {name}{hint}") from None
    except NotADirectoryError:
        raise NotADirectoryError(f"{data_dir} is a file, not a data directory") from None


def file_batches(
    directories: list[tuple[int, Path]], bounds: tuple[Bound, Bound], binary: str
) -> Iterator[pa.RecordBatch]:
    """The records that are there now."""
    import pyarrow as pa
    from pyarrow import compute

    from barnabas.arrow import record_batch, schema

    fields = schema(binary)
    since_ms = start_ms(bounds)
    since = None
    if since_ms is not None:
        since = pa.scalar(since_ms, fields.field("timestamp").type)
    for partition, path in directories:
        topic = path.name.rpartition("-")[0]
        for columns, end in _chunks(path, *(bound_of(bound, partition) for bound in bounds)):
            batch = record_batch(columns, topic, partition, binary=binary)
            batch = batch.slice(0, compute.sum(compute.less(batch.column("offset"), end)).as_py())
            if since is not None:
                wanted = compute.greater_equal(batch.column("timestamp"), since)
                if not compute.all(wanted).as_py():  # Arrow cannot filter views
                    plain = record_batch(columns, topic, partition, binary="plain")
                    batch = plain.slice(0, len(batch)).filter(wanted).cast(fields)
            if batch.num_rows:
                yield batch.replace_schema_metadata(None)


def _chunks(
    path: Path, start: int | datetime | None, end: int | datetime | None
) -> Iterator[tuple[Columns, int]]:
    """What lies in one directory from `start` on, and the offset that it ends before. Files that a
    broker takes away meanwhile (retention, compaction) are looked for again.
    """
    offset, last = -1, -1
    while True:
        files = _segments(path)
        try:
            with Log(path, read_only=True) as log:
                if last < 0:
                    offset = _offset_of(log, start, log.start_offset)
                    last = min(_offset_of(log, end, log.end_offset), log.end_offset)
                offset = max(offset, log.start_offset)
                while offset < last:
                    columns, next_offset = decode_records(
                        log.read_bytes(offset, max_bytes=CHUNK_BYTES), from_offset=offset
                    )
                    if next_offset == offset:
                        return  # cut off by a truncation meanwhile
                    yield columns, last
                    offset = next_offset
            return
        except (CoreError, CorruptBatch):
            if _segments(path) == files:
                raise


def _segments(path: Path) -> set[tuple[str, int]]:
    """Names and inodes."""
    return {(file.name, file.inode()) for file in os.scandir(path) if file.name.endswith(".log")}


def _offset_of(log: Log, bound: int | datetime | None, default: int) -> int:
    if bound is None:
        return default
    if isinstance(bound, datetime):
        found = log.offset_for_timestamp(to_ms(bound))
        return log.end_offset if found is None else found
    return bound
