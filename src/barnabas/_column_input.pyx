# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: language = c++
"""Columns of byte strings as their owners have them, read in place by the native producer."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint8_t
from libcpp.utility cimport move
from libcpp.vector cimport vector

from barnabas._columns cimport BinaryView, ByteView, optional


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
        raise TypeError(f"a {what} is bytes, str or None, not {type(data).__name__}")
    return 0


cdef class ColumnInput:
    """Byte strings for send_many, read in place; keeps alive what they lie in."""

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
        """bytes, str or None."""
        cdef ColumnInput made = ColumnInput()
        cdef tuple held = tuple(objects)  # whatever becomes of a list meanwhile
        cdef vector[ByteView] parts
        cdef optional[ByteView] part
        made._kept.append(held)
        parts.reserve(len(held))
        for item in held:
            read_bytes(item, part, what)
            parts.push_back(part.value() if part.has_value() else ByteView())
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
