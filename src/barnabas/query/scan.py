"""`barnabas.scan`: a topic as a table, for DuckDB, polars and whatever else reads Arrow.

    reader = barnabas.scan("./barnabas-data", "orders", start=datetime(2026, 1, 1, tzinfo=UTC))
    duckdb.sql("SELECT count(*), max(offset) FROM reader")

A data directory is read as files, whether a broker runs on it or not; of a cluster the records are
fetched. Either way only what lies within `start` and `end` is shown: offsets and times are looked
up in the indexes. A time ends it at the first record at or after it: what comes late, behind that,
is not shown. Needs pyarrow (`pip install 'barnabas[arrow]'`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from barnabas.arguments import check_integers, check_text, wrong_type
from barnabas.query.bounds import Bound, bounded, read_bound
from barnabas.query.files import file_batches, partition_directories

if TYPE_CHECKING:
    import pyarrow as pa

_ADDRESS: Final = re.compile(r"[^/\\]+:\d+(,[^/\\]+:\d+)*")


def scan(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    topic: str,
    *,
    start: Bound = None,
    end: Bound = None,
    partitions: Iterable[int] | None = None,
    binary: str = "plain",
) -> pa.RecordBatchReader:
    """The records of a topic, partition by partition, as a pyarrow.RecordBatchReader.

    `source` is a data directory, all of them (log.dirs) for a broker that has several, or the
    address of a cluster, HOST:PORT. Columns: partition, offset,
    timestamp, key, value, headers (see `barnabas.arrow.schema`, also for `binary`). `start` is
    inclusive, `end` exclusive; by default all that there is now. From files, the records of
    transactions are read whether they were committed or not; from a cluster, those committed.

    Raises FileNotFoundError when there is no such directory or topic, or not all the partitions
    that are asked for or have a bound, NotADirectoryError, TypeError, ValueError for a bound that
    is none or an address that cannot be, ConnectionError when connections are refused for 5 s or
    nobody answers for 30 s; reading raises CoreError and CorruptBatch, with file or offset, and
    ConnectionError when the cluster is gone, or silent for 30 s.
    """
    from barnabas.arrow import schema  # which says what to install, if there is no pyarrow

    import pyarrow  # isort: skip

    fields = schema(binary)
    places = _places(source)
    check_text("topic", topic, "the name of a topic")
    wanted = None
    if partitions is not None:
        wanted = check_integers("partitions", partitions, "a list of numbers, such as [0], or None")
    bounds = read_bound(start), read_bound(end)
    address = os.fspath(places[0]) if len(places) == 1 else ""
    if _ADDRESS.fullmatch(address) and not Path(address).exists():
        from barnabas.query.cluster import cluster_batches

        _check_ports(address)
        batches = cluster_batches(address, topic, wanted, bounds, binary)
    else:
        directories = partition_directories(
            [Path(place) for place in places], topic, wanted, bounded(bounds)
        )
        batches = file_batches(directories, bounds, binary)
    return pyarrow.RecordBatchReader.from_batches(fields, batches)


def _places(source: object) -> list[str | os.PathLike[str]]:
    accepted = "a data directory, a list of them, or HOST:PORT"
    places = [source] if isinstance(source, str | os.PathLike) else source
    if not isinstance(places, Sequence) or isinstance(places, bytes):
        raise wrong_type("source", source, accepted)
    for place in places:
        if not isinstance(place, str | os.PathLike):
            raise wrong_type("each of source", place, "a data directory")
    if not places or "" in places:
        raise ValueError(f"source must be {accepted}, and is empty")
    return list(places)


def _check_ports(address: str) -> None:
    for broker in address.split(","):
        port = int(broker.rpartition(":")[2])
        if not 0 < port < 1 << 16:
            raise ValueError(f"source {broker!r}: a port is 1 to 65535")
