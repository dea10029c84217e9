"""Records as Apache Arrow's record batches: partition, offset, timestamp, key, value, headers.

Needs pyarrow, which is imported here and nowhere else than for what is asked of Arrow.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, Literal

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable

    from barnabas._columns import Columns

BINARY_KINDS: Final = ("view", "plain")

BinaryKind = Literal["view", "plain"]


def schema(binary: str = "view") -> pa.Schema:
    """The schema of `record_batch`. Timestamps are UTC, in ms; header names are bytes, as a client
    may have sent any. `binary`: as there.
    """
    if binary not in BINARY_KINDS:
        raise ValueError(f"binary={binary!r} is not one of {', '.join(BINARY_KINDS)}")
    string = pa.binary_view() if binary == "view" else pa.binary()
    header = pa.struct([pa.field("key", string, nullable=False), pa.field("value", string)])
    return pa.schema(
        [
            pa.field("partition", pa.int32(), nullable=False),
            pa.field("offset", pa.int64(), nullable=False),
            pa.field("timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
            pa.field("key", string),
            pa.field("value", string),
            pa.field("headers", pa.large_list(header), nullable=False),
        ]
    )


@functools.lru_cache(maxsize=64)
def _schema_of(binary: str, topic: str) -> pa.Schema:
    return schema(binary).with_metadata({"topic": topic})


def record_batch(
    columns: Columns, topic: str, partition: int, *, binary: str = "view"
) -> pa.RecordBatch:
    """The records as Arrow has them.

    `binary="view"`: keys and values are BinaryView arrays over the memory that the records were
    decoded from, without a copy. `binary="plain"`: Binary arrays, for what does not know views;
    keys and values are copied once. The topic is in the schema's metadata.
    """
    fields = _schema_of(binary, topic)
    size = len(columns)
    buffers = [pa.py_buffer(buffer) for buffer in columns.arrow_buffers()]
    string = pa.binary_view()

    def strings(name: str) -> pa.Array:
        count, nulls, validity, views = columns.arrow_views(name)
        if views is None:
            return pa.nulls(count, fields.field("value").type)
        bitmap = None if validity is None else pa.py_buffer(validity)
        array = pa.Array.from_buffers(
            string, count, [bitmap, pa.py_buffer(views), *buffers], null_count=nulls
        )
        return array if binary == "view" else array.cast(pa.binary())

    def integers(name: str, kind: pa.DataType) -> pa.Array:
        memory = pa.py_buffer(columns.arrow_int64(name))
        return pa.Array.from_buffers(kind, size, [None, memory], null_count=0)

    arrays = [
        _constant(partition, pa.int32(), size),
        integers("offsets", pa.int64()),
        integers("timestamps", fields.field("timestamp").type),
        strings("keys"),
        strings("values"),
        _headers(columns, size, strings, fields.field("headers").type),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=fields)


_constants: dict[tuple[int, pa.DataType], pa.Array] = {}


def _constant(value: int, kind: pa.DataType, size: int) -> pa.Array:
    """An array of one value. The longest so far is kept: batches are made by the thousand."""
    longest = _constants.get((value, kind))
    if longest is None or len(longest) < size:
        longest = _constants[value, kind] = pa.repeat(pa.scalar(value, kind), size)
    return longest.slice(0, size)


_without_headers: dict[pa.DataType, pa.Array] = {}


def _headers(
    columns: Columns, size: int, strings: Callable[[str], pa.Array], kind: pa.DataType
) -> pa.Array:
    ends = pa.py_buffer(columns.arrow_int64("header_ends"))
    if not ends.size:
        longest = _without_headers.get(kind)
        if longest is None or len(longest) < size:
            offsets = _constant(0, pa.int64(), size + 1)
            nothing = pa.array([], kind.value_type)
            longest = pa.LargeListArray.from_arrays(offsets, nothing, type=kind)
            _without_headers[kind] = longest
        return longest.slice(0, size)
    offsets = pa.concat_arrays(
        [pa.array([0], pa.int64()), pa.Array.from_buffers(pa.int64(), size, [None, ends])]
    )
    keys, values = strings("header_keys"), strings("header_values")
    header = kind.value_type
    structs = pa.StructArray.from_arrays([keys, values], fields=[header.field(0), header.field(1)])
    return pa.LargeListArray.from_arrays(offsets, structs, type=kind)
