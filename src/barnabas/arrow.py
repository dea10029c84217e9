"""Records as Apache Arrow's record batches: partition, offset, timestamp, key, value, headers.

Needs pyarrow, which is imported here and nowhere else than for what is asked of Arrow.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

try:
    import pyarrow as pa
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "Arrow's columns need pyarrow: pip install 'barnabas[arrow]'", name=missing.name
    ) from missing

if TYPE_CHECKING:
    from barnabas._columns import Columns

BINARY_KINDS: Final = ("view", "plain")


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
    fields = _schema_of("view", topic)
    batch = columns.lend_arrow(
        partition, lambda address: pa.RecordBatch._import_from_c(address, fields)
    )
    return batch if binary == "view" else _with_plain_binary(batch, _schema_of(binary, topic))


def _with_plain_binary(batch: pa.RecordBatch, fields: pa.Schema) -> pa.RecordBatch:
    headers = batch.column("headers")
    kind = fields.field("headers").type
    pair = kind.value_type
    pairs = pa.StructArray.from_arrays(
        [headers.values.field(index).cast(pa.binary()) for index in range(2)],
        fields=[pair.field(0), pair.field(1)],
    )
    arrays = [
        *(batch.column(name) for name in ("partition", "offset", "timestamp")),
        *(batch.column(name).cast(pa.binary()) for name in ("key", "value")),
        pa.LargeListArray.from_arrays(headers.offsets, pairs, type=kind),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=fields)
