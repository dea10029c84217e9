"""Columns of records from whatever a caller has: lists, numpy arrays, Arrow arrays.

Nothing is copied that lies in one piece already, and no object is made a record. What is taken:

    a list, a tuple or any other iterable of bytes, str or None
    numpy arrays: S and U (without the zeros at the end, as numpy reads them), V, uint8 of two
        dimensions (a row a record), object; what is masked is null
    a pair (offsets, data): numpy int32 or int64 of n + 1 entries, and bytes-like data
    pyarrow's Binary, String, their Large and View kinds, FixedSizeBinary, dictionaries of them,
        ChunkedArrays of them
    what has `to_arrow()` (polars), and pandas' Series
    a table of columns value, key, headers and timestamp: pyarrow's, or what exports one to Arrow
        (`__arrow_c_stream__`), as polars' and pandas' DataFrames do

Headers are those of every record, or each record's own:

    (str, bytes, str or None) pairs, or a mapping: the same of every record
    a sequence of such, or of None, one a record
    pyarrow's lists of structs of a name and a value, as `to_arrow()` makes them; polars' and
        pandas' columns of them too

Timestamps are integers (ms since the epoch), or times, rounded down to the ms that a record has:

    a list, of datetimes with a time zone perhaps, numpy's integers or datetime64, pyarrow's
        integers or timestamps, pandas' of both
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from barnabas._column_input import ColumnInput, HeadersInput, RecordsInput
from barnabas.arguments import FINER_THAN_MS, imported, time_in_ms, wrong_type

_WIDE: Final = {"i4": False, "i8": True}
_OFFSET_TYPES: Final = {
    "binary": False,
    "string": False,
    "large_binary": True,
    "large_string": True,
}
_TIMESTAMPS: Final = (
    "integers (ms since the epoch), datetimes with a time zone or datetime64, in a row"
)
_COLUMN: Final = "a sequence of bytes, str or None"
_HEADERS: Final = "pairs of a str and bytes, str or None, a mapping, or a sequence of these"
_TOO_FAR: Final = "a timestamp is beyond what a record can have, an int64 of ms since the epoch"
_WRITTEN: Final = ("value", "key", "headers", "timestamp")
_READ: Final = ("topic", "partition", "offset")  # of `to_arrow()` and `scan`; not written
_VIEW_TYPES: Final = frozenset({"binary_view", "string_view"})


def records_input(
    values: Any, keys: Any = None, headers: Any = None, timestamps: Any = None
) -> RecordsInput:
    """Records as the native core reads them. A table as `values` has columns of the names value,
    key, headers and timestamp, and no others but those that reading adds. Raises TypeError and
    ValueError for what is none of the above, or not of one length.
    """
    if hasattr(values, "column_names") or hasattr(values, "schema") or hasattr(values, "columns"):
        if any(column is not None for column in (keys, headers, timestamps)):
            raise TypeError("a RecordBatch has its keys, headers and timestamps itself")
        if hasattr(values, "__arrow_c_stream__") and not callable(getattr(values, "column", None)):
            values = imported("pyarrow", "arrow", "a table").table(values)
        if not (hasattr(values, "column") and hasattr(values, "schema")):
            raise TypeError(
                f"a {type(values).__name__} is no column, nor a table that Arrow can read: "
                "collect() makes one of a LazyFrame, pyarrow.table() perhaps of others"
            )
        values, keys, headers, timestamps = _columns_of(values)
    return RecordsInput(
        column_input(values, "value"),
        None if keys is None else column_input(keys, "key"),
        None if headers is None else headers_input(headers),
        None if timestamps is None else timestamps_input(timestamps),
    )


def column_input(data: Any, what: str) -> ColumnInput:
    """`data` as the native core reads it. Raises TypeError for what is none of the above."""
    module = type(data).__module__.partition(".")[0]
    if module == "numpy":
        return _of_numpy(data, what)
    if module == "pyarrow":
        return _of_arrow(data, what)
    if module == "polars":
        return _of_arrow(data.to_arrow(), what)
    if module == "pandas":
        return _of_pandas(data, what)
    if _is_offsets_and_data(data):
        offsets, bytes_ = data
        return _of_offsets_and_data(offsets, bytes_, what)
    if isinstance(data, bytes | str | bytearray | memoryview) or not isinstance(data, Iterable):
        raise wrong_type(f"{what}s", data, _COLUMN)
    return ColumnInput.of_objects(data, what)


def headers_input(data: Any) -> HeadersInput:
    """Headers as the native core reads them. Raises TypeError for what is none of the above."""
    module = type(data).__module__.partition(".")[0]
    if module == "pyarrow":
        return _headers_of_arrow(data)
    if module == "polars":
        return _headers_of_arrow(data.to_arrow())
    if module == "pandas":
        return _headers_of_pandas(data)
    if hasattr(data, "items"):
        return HeadersInput.of_all(data)
    if not isinstance(data, Iterable):
        raise wrong_type("headers", data, _HEADERS)
    listed = list(data)
    first = listed[0] if listed else ("",)  # none at all are none of every record
    if isinstance(first, tuple) and first and isinstance(first[0], str):
        return HeadersInput.of_all(listed)
    return HeadersInput.of_each(listed)


def timestamps_input(data: Any) -> Any:
    """Timestamps, ms since the epoch, as a contiguous buffer of int64: of integers, of numpy's
    datetime64, of Arrow's and pandas' integers and timestamps. What is finer than a ms is rounded
    down. numpy is not needed for Arrow's. Raises TypeError, and ValueError for what is beyond an
    int64 of ms.
    """
    module = type(data).__module__.partition(".")[0]
    if module in ("pyarrow", "pandas"):
        import pyarrow

        try:
            return _timestamps_of_arrow(_arrow_of_pandas(data) if module == "pandas" else data)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{_TOO_FAR}: {error}") from error
    numpy = imported("numpy", "numpy", "timestamps in a list")
    if numpy.ma.is_masked(data):
        raise TypeError(f"timestamps are {_TIMESTAMPS}: none is masked")
    array = numpy.asarray(data)
    is_of_objects = array.dtype.kind == "O" and array.ndim == 1
    if is_of_objects and any(isinstance(each, datetime) for each in array[:1]):
        times = [time_in_ms("each timestamp", each) for each in array]
        array = numpy.asarray(times, dtype=numpy.int64)
    if array.shape == (0,):
        array = array.astype(numpy.int64)  # an empty list is one of floats
    if array.dtype.kind == "M":
        array = _ms_of_numpy(array)
    if array.dtype.kind == "u" and (array > numpy.iinfo(numpy.int64).max).any():
        raise ValueError(_TOO_FAR)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"timestamps are {_TIMESTAMPS}")
    return numpy.ascontiguousarray(array, dtype=numpy.int64)


def _ms_of_numpy(times: Any) -> Any:
    import numpy

    if (is_none := numpy.isnat(times)).any():
        raise ValueError(f"a timestamp is NaT, no point in time: timestamps[{is_none.argmax()}]")
    try:
        ms = times.astype("datetime64[ms]")
    except OverflowError as error:
        raise ValueError(f"{_TOO_FAR}: {error}") from error
    is_coarser = numpy.datetime_data(times.dtype)[0] not in FINER_THAN_MS
    # numpy before 2.5 wraps around without a word.
    if is_coarser and (ms.astype(times.dtype).view("i8") != times.view("i8")).any():
        raise ValueError(_TOO_FAR)
    return ms.astype(numpy.int64)


def _timestamps_of_arrow(array: Any) -> memoryview:
    import pyarrow

    if hasattr(array, "combine_chunks"):
        array = array.combine_chunks()
    if pyarrow.types.is_timestamp(array.type):
        if array.type.unit in ("us", "ns"):
            from pyarrow import compute

            utc = array.cast(pyarrow.timestamp(array.type.unit))  # without a zone to look up
            array = compute.floor_temporal(utc, unit="millisecond")
        array = array.cast(pyarrow.timestamp("ms", tz=array.type.tz))
    elif not pyarrow.types.is_integer(array.type):
        raise TypeError(f"timestamps are {_TIMESTAMPS}, not Arrow's {array.type}")
    if array.null_count:
        raise TypeError(f"timestamps are {_TIMESTAMPS}: none is null")
    array = array.cast(pyarrow.int64())
    data = memoryview(array.buffers()[1] or b"").cast("B").cast("q")
    return data[array.offset : array.offset + len(array)]


def _of_numpy(array: Any, what: str) -> ColumnInput:
    import numpy

    kind, size = array.dtype.kind, len(array)
    if kind in "OU" and array.ndim == 1:
        return ColumnInput.of_objects(array.tolist(), what)
    rows = array.ndim == 2 and array.dtype == numpy.uint8
    if not rows and not (kind in "SV" and array.ndim == 1 and array.dtype.fields is None):
        raise TypeError(
            f"{what}s of dtype {array.dtype} in {array.ndim} dimensions: S, U, V, object, or uint8 "
            "of two dimensions can be sent"
        )
    validity: Any = None
    if numpy.ma.is_masked(array):
        if rows:
            raise TypeError(
                f"{what}s of two dimensions cannot be masked: their bytes are no records"
            )
        validity = numpy.packbits(~numpy.ma.getmaskarray(array), bitorder="little")
    array = numpy.ma.getdata(array)
    width = array.shape[1] if rows else array.dtype.itemsize
    data: Any = numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8) if width else b""
    return ColumnInput.of_fixed(data, width, 0, size, validity, padded=kind == "S")


def _is_offsets_and_data(data: Any) -> bool:
    return (
        isinstance(data, tuple)
        and len(data) == 2
        and type(data[0]).__module__.partition(".")[0] == "numpy"
    )


def _of_offsets_and_data(offsets: Any, data: Any, what: str) -> ColumnInput:
    import numpy

    code = offsets.dtype.str[1:]
    if code not in _WIDE or offsets.ndim != 1 or len(offsets) == 0:
        raise TypeError(f"offsets of {what}s are int32 or int64, one more than there are {what}s")
    data = memoryview(data).cast("B")
    # A copy: what is checked here must still hold when the native core reads it without the GIL.
    native = offsets.astype(offsets.dtype.newbyteorder("="), order="C", copy=True)
    ends: Any = native.view(numpy.uint8)
    return ColumnInput.of_offsets(ends, data, _WIDE[code], 0, len(offsets) - 1, None)


def _of_arrow(array: Any, what: str) -> ColumnInput:
    if not hasattr(array, "type") or hasattr(array, "as_py"):
        raise wrong_type(f"{what}s", array, _COLUMN)
    if hasattr(array, "combine_chunks"):
        array = array.combine_chunks()
    if hasattr(array.type, "value_type") and hasattr(array.type, "index_type"):
        array = array.cast(array.type.value_type)  # a dictionary
    name = str(array.type)
    buffers = array.buffers()
    first, size, validity = array.offset, len(array), buffers[0]
    if name in _OFFSET_TYPES:
        wide = _OFFSET_TYPES[name]
        return ColumnInput.of_offsets(buffers[1] or b"", buffers[2], wide, first, size, validity)
    if name in _VIEW_TYPES:
        return ColumnInput.of_views(buffers[1] or b"", buffers[2:], first, size, validity)
    if name.startswith("fixed_size_binary"):
        width = array.type.byte_width
        return ColumnInput.of_fixed(buffers[1] or b"", width, first, size, validity, padded=False)
    if name == "null":
        return ColumnInput.of_nulls(size)
    raise TypeError(f"{what}s of Arrow's type {name}: binary and string types can be sent")


def _of_pandas(series: Any, what: str) -> ColumnInput:
    return _of_arrow(_arrow_of_pandas(series), what)


def _arrow_of_pandas(series: Any, kind: Any = None) -> Any:
    import pyarrow

    return pyarrow.array(series, kind, from_pandas=True)


def _headers_of_pandas(series: Any) -> HeadersInput:
    """Of what `to_pandas()` makes of Arrow's headers: each a sequence of dicts."""
    import pyarrow

    first: Any = next((pair for pairs in series if pairs is not None for pair in pairs), {})
    if not isinstance(first, dict) or len(first) not in (0, 2):
        return HeadersInput.of_each(list(series))
    names = list(first) or ["key", "value"]
    pair = pyarrow.struct([(name, pyarrow.binary()) for name in names])
    return _headers_of_arrow(_arrow_of_pandas(series, pyarrow.large_list(pair)))


def _headers_of_arrow(array: Any) -> HeadersInput:
    import pyarrow

    if hasattr(array, "combine_chunks"):
        array = array.combine_chunks()
    kind = array.type
    is_wide = pyarrow.types.is_large_list(kind)
    is_list = is_wide or pyarrow.types.is_list(kind)
    if is_list and pyarrow.types.is_null(kind.value_type) and not array.flatten():
        return HeadersInput.of_each([()] * len(array))  # what Arrow makes of nothing but empty ones
    if not is_list or not (
        pyarrow.types.is_struct(kind.value_type) and kind.value_type.num_fields == 2
    ):
        raise TypeError(f"headers of Arrow's type {kind}: lists of structs of a name and a value")
    names, values = array.values.flatten()
    validity, offsets = array.buffers()[:2]
    return HeadersInput.of_lists(
        _of_arrow(names, "header's name"),
        _of_arrow(values, "header's value"),
        offsets or b"",
        is_wide,
        array.offset,
        len(array),
        validity,
    )


def _columns_of(table: Any) -> tuple[Any, Any, Any, Any]:
    """value, key, headers and timestamp of a RecordBatch or Table, which has no other columns but
    those that reading adds.
    """
    names = list(getattr(table, "column_names", None) or table.schema.names)
    if "value" not in names:
        raise ValueError(f"there is no column value among {', '.join(names)}")
    if twice := [name for name in _WRITTEN if names.count(name) > 1]:
        raise ValueError(f"there are {names.count(twice[0])} columns {twice[0]}")
    if unknown := [name for name in names if name not in _WRITTEN + _READ]:
        raise ValueError(f"a record has no {unknown[0]}: columns are {', '.join(_WRITTEN)}")

    def column(name: str) -> Any:
        return table.column(names.index(name)) if name in names else None

    return column("value"), column("key"), column("headers"), column("timestamp")
