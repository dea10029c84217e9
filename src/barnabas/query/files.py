"""The part of `barnabas.scan` that reads a data directory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from barnabas._records import decode_records
from barnabas.log import Log
from barnabas.metadata.peek import partition_count
from barnabas.query.bounds import Bound, bound_of, start_ms, to_ms

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_BYTES: Final = 4 << 20  # read at a time: what a batch of the table is made of
_TOPIC_DIRECTORY: Final = re.compile(r"(.+)-(\d+)")


def partition_directories(
    data_dirs: Sequence[Path], topic: str, wanted: frozenset[int] | None
) -> list[tuple[int, Path]]:
    """(partition, directory). Raises FileNotFoundError, also when one of them is elsewhere."""
    found: dict[int, Path] = {}
    for path in (path for data_dir in data_dirs for path in data_dir.iterdir()):
        match = _TOPIC_DIRECTORY.fullmatch(path.name)
        if match and match[1] == topic:
            found[int(match[2])] = path
    where = ", ".join(map(str, data_dirs))
    if not found:
        raise FileNotFoundError(f"{where} has no partition of topic {topic}")
    counts = [partition_count(data_dir, topic) for data_dir in data_dirs]
    stored = {*range(max(count or 0 for count in counts)), *range(max(found))}
    asked = stored | found.keys() if wanted is None else wanted & (stored | found.keys())
    if missing := sorted(asked - found.keys()):
        raise FileNotFoundError(
            f"{where} has no partition {missing[0]} of topic {topic}: if its broker has several "
            "log.dirs, give all of them"
        )
    if not asked:
        raise FileNotFoundError(f"{where} has none of the partitions of topic {topic}")
    return sorted((partition, found[partition]) for partition in asked)


def file_batches(
    directories: list[tuple[int, Path]], bounds: tuple[Bound, Bound], binary: str
) -> Iterator[pa.RecordBatch]:
    """The records that are there now."""
    import pyarrow as pa
    from pyarrow import compute

    from barnabas.arrow import record_batch, schema

    since_ms = start_ms(bounds)
    since = None
    if since_ms is not None:
        since = pa.scalar(since_ms, schema(binary).field("timestamp").type)
    for partition, path in directories:
        topic = path.name.rpartition("-")[0]
        with Log(path, read_only=True) as log:
            start = _offset_of(log, bound_of(bounds[0], partition), log.start_offset)
            end = _offset_of(log, bound_of(bounds[1], partition), log.end_offset)
            offset = max(start, log.start_offset)
            end = min(end, log.end_offset)
            while offset < end:
                columns, next_offset = decode_records(
                    log.read_bytes(offset, max_bytes=CHUNK_BYTES), from_offset=offset
                )
                if next_offset == offset:
                    break  # cut off by a truncation meanwhile
                batch = record_batch(columns, topic, partition, binary=binary)
                if next_offset > end:
                    batch = batch.filter(compute.less(batch.column("offset"), end))
                if since is not None:
                    batch = batch.filter(compute.greater_equal(batch.column("timestamp"), since))
                if batch.num_rows:
                    yield batch.replace_schema_metadata(None)
                offset = next_offset


def _offset_of(log: Log, bound: int | datetime | None, default: int) -> int:
    if bound is None:
        return default
    if isinstance(bound, datetime):
        found = log.offset_for_timestamp(to_ms(bound))
        return log.end_offset if found is None else found
    return bound
