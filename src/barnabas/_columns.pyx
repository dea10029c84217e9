# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: language = c++
"""Decoded records: as Python objects, as numpy columns, and as the memory of Arrow's arrays."""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t
from libcpp.vector cimport vector


class CorruptBatch(ValueError):
    """Bytes that are no record batch, or one that cannot be decoded.

    `code` is Kafka's error code: 2 CORRUPT_MESSAGE, 87 INVALID_RECORD, 10 MESSAGE_TOO_LARGE,
    76 UNSUPPORTED_COMPRESSION_TYPE.
    """

    def __init__(self, message: str, code: int = 2):
        super().__init__(message)
        self.code = code


cdef object corrupt(const Error& error):
    return CorruptBatch(error.message.decode("utf-8", "replace"), <int16_t>error.code)


@cython.no_gc  # its parts lead nowhere; the collector would look at each of millions
@cython.freelist(256)
cdef class Record:
    """One record. `key` and `value` may be None; header keys are str, header values may be None."""

    cdef readonly int64_t offset
    cdef readonly int64_t timestamp
    cdef readonly object key
    cdef readonly object value
    cdef readonly tuple headers

    def __init__(self, int64_t offset, int64_t timestamp, key, value, headers=()):
        self.offset = offset
        self.timestamp = timestamp
        self.key = key
        self.value = value
        self.headers = tuple(headers)

    def __eq__(self, other):
        if not isinstance(other, Record):
            return NotImplemented
        cdef Record that = other
        return (
            self.offset == that.offset
            and self.timestamp == that.timestamp
            and self.key == that.key
            and self.value == that.value
            and self.headers == that.headers
        )

    def __hash__(self):
        return hash((self.offset, self.timestamp, self.key, self.value, self.headers))

    def __repr__(self):
        return (
            f"Record(offset={self.offset}, timestamp={self.timestamp}, key={self.key!r}, "
            f"value={self.value!r}, headers={self.headers!r})"
        )


cdef class Memory:
    """Bytes of somebody else's, who lives as long as this: read-only, through the buffer protocol."""

    cdef const void* _data
    cdef Py_ssize_t _size
    cdef object _owner

    def __getbuffer__(self, Py_buffer* view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("these bytes are read-only")
        PyBuffer_FillInfo(view, self, <void*>self._data, self._size, 1, flags)

    def __len__(self):
        return self._size


cdef char _NOTHING = 0


cdef Memory _memory(const void* data, size_t size, object owner):
    cdef Memory memory = Memory.__new__(Memory)
    memory._data = &_NOTHING if data == NULL else data  # an empty buffer points somewhere, too
    memory._size = <Py_ssize_t>size
    memory._owner = owner
    return memory


cdef inline object _bytes_at(const BinaryColumn& column, size_t i, const vector[ByteView]& buffers):
    cdef const BinaryView* view
    if column.is_null(i):
        return None
    view = &column.views()[i]
    return PyBytes_FromStringAndSize(<const char*>view.data(buffers), view.length)


cdef list _byte_strings(const BinaryColumn& column, const vector[ByteView]& buffers):
    cdef size_t i
    if column.all_null():
        return [None] * column.size()
    return [_bytes_at(column, i, buffers) for i in range(column.size())]


cdef extern from "Python.h" nogil:
    int Py_IsInitialized()


cdef void _let_go(void* owner) noexcept nogil:
    # On whatever thread the last of its arrays goes; there may be no interpreter any more.
    if Py_IsInitialized():
        with gil:
            Py_DECREF(<object>owner)


cdef object _to_numpy(const RawArray[int64_t]& column, object owner):
    # Imported where it is used: it takes a tenth of a second that a broker need not spend.
    try:
        import numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "columns as arrays need numpy: pip install barnabas[numpy]", name=error.name
        ) from error

    return numpy.frombuffer(
        _memory(column.data(), column.size() * sizeof(int64_t), owner), dtype=numpy.int64
    )


cdef class Columns:
    """Records side by side: one array, or list, for each of their parts. Lists are made once.

    The arrays are read-only and share the memory of the decoded records, which they keep alive.
    """

    @staticmethod
    cdef Columns over(const RecordColumns* columns, object owner):
        cdef Columns made = Columns.__new__(Columns)
        made._columns = columns
        made._owner = owner
        return made

    def __init__(self):
        raise TypeError("columns come from batches")

    def __len__(self):
        return self._columns.offsets.size()

    @property
    def offsets(self):
        """The offsets as a numpy array of int64."""
        return _to_numpy(self._columns.offsets, self)

    @property
    def timestamps(self):
        """The timestamps, ms since the epoch, as a numpy array of int64."""
        return _to_numpy(self._columns.timestamps, self)

    @property
    def keys(self):
        """The keys as a list of bytes or None."""
        if self._keys is None:
            self._keys = _byte_strings(self._columns.keys, self._columns.buffers)
        return self._keys

    @property
    def values(self):
        """The values as a list of bytes or None."""
        if self._values is None:
            self._values = _byte_strings(self._columns.values, self._columns.buffers)
        return self._values

    @property
    def headers(self):
        """The headers as a list of tuples of (str, bytes or None)."""
        if self._header_list is None:
            self._header_list = self._all_headers()
        return self._header_list

    cdef list _all_headers(self):
        if self._columns.header_ends.empty():
            return [()] * len(self)
        cdef size_t i
        cdef int64_t begin = 0
        out = []
        for i in range(self._columns.header_ends.size()):
            out.append(self._headers(begin, self._columns.header_ends[i]))
            begin = self._columns.header_ends[i]
        return out

    def records(self):
        """The records as a list."""
        cdef const RecordColumns* columns = self._columns
        cdef bint has_headers = not columns.header_ends.empty()
        cdef bint has_keys = not columns.keys.all_null()
        cdef size_t i
        cdef int64_t begin = 0
        cdef Record record
        out = []
        for i in range(columns.offsets.size()):
            record = Record.__new__(Record)
            record.offset = columns.offsets[i]
            record.timestamp = columns.timestamps[i]
            record.key = _bytes_at(columns.keys, i, columns.buffers) if has_keys else None
            record.value = _bytes_at(columns.values, i, columns.buffers)
            record.headers = ()
            if has_headers and columns.header_ends[i] != begin:
                record.headers = self._headers(begin, columns.header_ends[i])
                begin = columns.header_ends[i]
            out.append(record)
        return out

    cdef tuple _headers(self, int64_t begin, int64_t end):
        cdef const RecordColumns* columns = self._columns
        cdef const BinaryView* key
        cdef size_t i
        out = []
        for i in range(<size_t>begin, <size_t>end):
            key = &columns.header_keys.views()[i]
            # Not every client keeps to UTF-8; encoding with the same handler gives the bytes back.
            name = PyUnicode_DecodeUTF8(
                <const char*>key.data(columns.buffers), key.length, "surrogateescape"
            )
            out.append((name, _bytes_at(columns.header_values, i, columns.buffers)))
        return tuple(out)

    def lend_arrow(self, int32_t partition, take):
        """What `take` makes of the address of an array of Arrow's C data interface, which it is to
        take over: the records as a struct array, for `barnabas.arrow`. Their memory is shared.
        """
        cdef ArrowArray array
        array.release = NULL
        Py_INCREF(self)
        try:
            export_arrow(self._columns[0], partition, <void*>self, _let_go, &array)
            return take(<size_t>&array)
        finally:
            if array.release != NULL:
                array.release(&array)
