# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: language = c++
"""Columns of records as their owners have them, read in place by the native core."""

from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t
from libcpp.utility cimport move
from libcpp.vector cimport vector

from barnabas._columns cimport BinaryView, ByteView, Result, optional
from barnabas._record cimport BatchOptions, Codec, HeaderView

from barnabas.arguments import wrong_type

_TEXT = "bytes, str or None"
_PAIR = "a pair of a str and bytes, str or None"


cdef int read_bytes(object data, optional[ByteView]& out, str what) except -1:
    """A view of bytes, of a str's UTF-8, or of nothing. The object keeps what is viewed."""
    cdef Py_ssize_t size = 0
    cdef const char* text
    if data is None:
        out.reset()
    elif isinstance(data, bytes):
        out = optional[ByteView](
            ByteView(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        )
    elif isinstance(data, str):
        text = PyUnicode_AsUTF8AndSize(data, &size)
        out = optional[ByteView](ByteView(<const uint8_t*>text, size))
    else:
        raise wrong_type(what, data, _TEXT)
    return 0


def _wrong_text(str name, item, error):
    """To be raised: a str that has no UTF-8, or what is no text at all."""
    if isinstance(error, UnicodeEncodeError):
        return ValueError(f"{name} {ascii(item)} is no text: {error.reason}")
    return wrong_type(name, item, _TEXT)


cdef class ColumnInput:
    """Byte strings, read in place; keeps alive what they lie in."""

    def __cinit__(self):
        self._kept = []

    def __len__(self):
        return self._column.size()

    cdef ByteView _keep(self, data):
        cdef const uint8_t[::1] view = memoryview(data).cast("B")
        self._kept.append(view)
        if view.shape[0] == 0:
            return ByteView()
        return ByteView(&view[0], view.shape[0])

    cdef ColumnInput _checked(self):
        cdef const char* wrong
        with nogil:
            wrong = self._column.check()
        if wrong != NULL:
            raise ValueError(wrong.decode())
        return self

    @staticmethod
    def of_nulls(size_t size):
        """Nothing but nulls."""
        cdef ColumnInput made = ColumnInput()
        made._column = ByteColumn.nulls(size)
        return made

    @staticmethod
    def of_objects(objects, str what):
        """bytes, str or None. An error names the one that is none."""
        cdef ColumnInput made = ColumnInput()
        cdef tuple held = tuple(objects)  # whatever becomes of a list meanwhile
        cdef vector[ByteView] parts
        cdef optional[ByteView] part
        made._kept.append(held)
        parts.resize(len(held))
        cdef ByteView* out = parts.data()
        try:
            for item in held:
                if PyBytes_CheckExact(item):
                    out[0] = ByteView(
                        <const uint8_t*>PyBytes_AS_STRING(item), PyBytes_GET_SIZE(item)
                    )
                else:
                    read_bytes(item, part, what)
                    if part.has_value():
                        out[0] = part.value()
                out += 1
        except (TypeError, UnicodeEncodeError) as error:
            raise _wrong_text(f"{what}s[{out - parts.data()}]", item, error) from None
        made._column = ByteColumn.of_parts(move(parts))
        return made

    @staticmethod
    def of_fixed(data, size_t width, size_t first, size_t size, validity, bint padded):
        """`width` bytes each; `padded`: without the zero bytes at the end."""
        cdef ColumnInput made = ColumnInput()
        cdef ByteView view = made._keep(data)
        if view.size() < (first + size) * width:
            raise ValueError("the data are shorter than the column")
        made._column = ByteColumn.of_fixed(view.data(), width, size, padded)
        made._column.set_validity(made._bitmap(validity, first + size), first)
        return made

    @staticmethod
    def of_offsets(offsets, data, bint wide, size_t first, size_t size, validity):
        """Arrow's Binary and LargeBinary: offsets of int32, or int64 when `wide`, into the data."""
        cdef ColumnInput made = ColumnInput()
        cdef ByteView ends = made._keep(offsets)
        cdef ByteView bytes_ = made._keep(b"" if data is None else data)
        if size == 0:
            return made
        if ends.size() < (first + size + 1) * (8 if wide else 4):
            raise ValueError("there are fewer offsets than the column has")
        made._column = ByteColumn.of_offsets(
            ends.data(), wide, bytes_, first, size, made._bitmap(validity, first + size)
        )
        return made._checked()

    @staticmethod
    def of_views(views, buffers, size_t first, size_t size, validity):
        """Arrow's BinaryView."""
        cdef ColumnInput made = ColumnInput()
        cdef ByteView view = made._keep(views)
        cdef vector[ByteView] others
        if view.size() < (first + size) * sizeof(BinaryView):
            raise ValueError("there are fewer views than the column has")
        for buffer in buffers:
            others.push_back(made._keep(buffer))
        made._column = ByteColumn.of_views(
            <const BinaryView*>view.data(), move(others), first, size,
            made._bitmap(validity, first + size),
        )
        return made._checked()

    cdef const uint8_t* _bitmap(self, validity, size_t bits) except? NULL:
        if validity is None:
            return NULL
        cdef ByteView view = self._keep(validity)
        if view.size() * 8 < bits:
            raise ValueError("the validity bitmap is shorter than the column")
        return view.data()


cdef class HeadersInput:
    """Headers, read in place; keeps alive what they lie in."""

    def __cinit__(self):
        self._kept = []
        self._is_each = True

    def __len__(self):
        """How many records it has headers of; see `is_each`."""
        return self._column.size()

    @property
    def is_each(self):
        """Whether each record has its own; else all have the same."""
        return self._is_each

    cdef int _push(self, pairs) except -1:
        self._kept.append(push_headers(pairs, self._column))
        return 0

    @staticmethod
    def of_all(pairs):
        """The same of every record: (str, bytes, str or None) pairs, or a mapping."""
        cdef HeadersInput made = HeadersInput()
        made._is_each = False
        made._push(pairs)
        return made

    @staticmethod
    def of_each(records):
        """Each record's own: such pairs, mappings, or None."""
        cdef HeadersInput made = HeadersInput()
        for pairs in records:
            if pairs is not None:
                made._push(pairs)
            made._column.end_record()
        return made

    @staticmethod
    def of_lists(ColumnInput names, ColumnInput values, offsets, bint wide, size_t first,
                 size_t size, validity):
        """Arrow's lists: offsets of int32, or int64 when `wide`, into names and values."""
        cdef HeadersInput made = HeadersInput()
        cdef ColumnInput lists = ColumnInput()  # keeps their buffers
        cdef ByteView ends = lists._keep(offsets)
        cdef const uint8_t* bitmap = lists._bitmap(validity, first + size)
        cdef const char* wrong
        made._kept += [names, values, lists]
        if size == 0:
            return made
        if ends.size() < (first + size + 1) * (8 if wide else 4):
            raise ValueError("there are fewer offsets than the column of headers has")
        with nogil:
            wrong = made._column.push_lists(
                ends.data(), wide, first, size, bitmap, names._column, values._column
            )
        if wrong != NULL:
            raise ValueError(wrong.decode())
        return made


cdef class RecordsInput:
    """Records as columns of one length: values, keys, headers or None, and timestamps in ms or None.

    Raises ValueError for columns of different lengths.
    """

    def __init__(self, ColumnInput values not None, ColumnInput keys, HeadersInput headers,
                 timestamps):
        count = len(values)
        if keys is None:
            keys = ColumnInput.of_nulls(count)
        if len(keys) != count:
            raise ValueError(f"there are {count} values, and {len(keys)} keys")
        if headers is not None and headers.is_each and len(headers) != count:
            raise ValueError(f"there are {count} values, and headers of {len(headers)}")
        if timestamps is not None and len(timestamps) != count:
            raise ValueError(f"there are {count} values, and {len(timestamps)} timestamps")
        self._values = values
        self._keys = keys
        self._headers = headers
        self._timestamps = timestamps

    def __len__(self):
        return len(self._values)

    def check_one_time(self, str name, given):
        """Raises TypeError for a time of all records where each has its own."""
        if given is not None and self._timestamps is not None:
            raise TypeError(f"{name} is one for all, and each record has its own: give one of them")

    cdef bint has_negative_timestamps(self) noexcept:
        """Of those that records have of their own."""
        cdef Py_ssize_t i
        cdef const int64_t[::1] timestamps = self._timestamps
        if timestamps is None:
            return False
        with nogil:
            for i in range(timestamps.shape[0]):
                if timestamps[i] < 0:
                    return True
        return False

    cdef OutgoingColumns columns(self, int64_t timestamp_ms):
        """`timestamp_ms` is for records that have none. The result borrows."""
        cdef OutgoingColumns columns
        columns.values = &self._values._column
        columns.keys = &self._keys._column
        if self._headers is not None:
            columns.headers = &self._headers._column
        if self._timestamps is not None and self._timestamps.shape[0] > 0:
            columns.timestamps_ms = &self._timestamps[0]
        columns.timestamp_ms = timestamp_ms
        return columns

    def batches(self, *, int64_t timestamp_ms, int codec, size_t limit_bytes):
        """Yields encoded batches of at most `limit_bytes` before compression, unless of one record.
        Encodes without the GIL. Raises ValueError for what cannot be encoded.
        """
        cdef BatchOptions options
        options.codec = <Codec>codec
        cdef ColumnBatches* batches = new ColumnBatches(
            self.columns(timestamp_ms), options, limit_bytes
        )
        try:
            while not batches.done():
                yield next_batch(batches)
        finally:
            del batches


cdef bytes next_batch(ColumnBatches* batches):
    cdef optional[Result[vector[uint8_t]]] result
    with nogil:
        result.emplace(batches.next())
    if not result.value().ok():
        raise ValueError(result.value().error().message.decode("utf-8", "replace"))
    cdef vector[uint8_t]* batch = &result.value().value()
    return PyBytes_FromStringAndSize(<const char*>batch.data(), batch.size())


cdef list push_headers(headers, HeaderColumn& out):
    """Adds one record's headers; returns what keeps their bytes."""
    cdef HeaderView view
    cdef optional[ByteView] name
    pairs = headers.items() if hasattr(headers, "items") else headers
    if not hasattr(pairs, "__iter__"):
        raise wrong_type("headers", headers, "pairs of a str and bytes, str or None, or a mapping")
    kept = []
    for pair in pairs:
        try:
            key, value = pair
        except (TypeError, ValueError):
            key = value = None
        if not isinstance(key, str) or isinstance(pair, str):  # one of two letters would be a pair
            raise wrong_type("each of headers", pair, _PAIR)
        encoded = key.encode("utf-8", "surrogateescape")
        kept.append((encoded, value))
        read_bytes(encoded, name, "a header's name")
        view.key = name.value()
        read_bytes(value, view.value, "a header's value")
        out.push(view)
    return kept
