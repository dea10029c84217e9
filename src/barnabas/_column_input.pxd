# What `_sender` takes of `_column_input`.

from libc.stdint cimport int32_t, int64_t, uint8_t
from libcpp cimport bool as cbool
from libcpp.vector cimport vector

from barnabas._columns cimport BinaryView, ByteView, Result, optional
from barnabas._record cimport BatchOptions, HeaderSpan, HeaderView


cdef extern from "embedded/byte_column.h" namespace "barnabas::embedded" nogil:
    cdef cppclass ByteColumn:
        ByteColumn()
        size_t size()
        const char* check()
        void set_validity(const uint8_t*, size_t)

        @staticmethod
        ByteColumn nulls(size_t)
        @staticmethod
        ByteColumn of_parts(vector[ByteView])
        @staticmethod
        ByteColumn of_fixed(const uint8_t*, size_t, size_t, cbool)
        @staticmethod
        ByteColumn of_offsets(const void*, cbool, ByteView, size_t, size_t, const uint8_t*)
        @staticmethod
        ByteColumn of_views(const BinaryView*, vector[ByteView], size_t, size_t, const uint8_t*)


cdef extern from "embedded/header_column.h" namespace "barnabas::embedded" nogil:
    cdef cppclass HeaderColumn:
        HeaderColumn()
        HeaderSpan at(size_t)
        size_t size()
        void push(const HeaderView&)
        void end_record()
        const char* push_lists(
            const void*, cbool, size_t, size_t, const uint8_t*, const ByteColumn&, const ByteColumn&
        )


cdef extern from "embedded/outgoing.h" namespace "barnabas::embedded" nogil:
    cdef cppclass OutgoingColumns:
        OutgoingColumns()
        const ByteColumn* values
        const ByteColumn* keys
        const HeaderColumn* headers
        const int64_t* timestamps_ms
        int64_t timestamp_ms


cdef extern from "embedded/column_batches.h" namespace "barnabas::embedded" nogil:
    cdef cppclass ColumnBatches:
        ColumnBatches(const OutgoingColumns&, const BatchOptions&, size_t)
        cbool done()
        Result[vector[uint8_t]] next()


cdef class ColumnInput:
    cdef ByteColumn _column
    cdef list _kept

    cdef ByteView _keep(self, data)
    cdef ColumnInput _checked(self)
    cdef const uint8_t* _bitmap(self, validity, size_t bits) except? NULL


cdef class HeadersInput:
    cdef HeaderColumn _column
    cdef list _kept
    cdef bint _is_each

    cdef int _push(self, pairs) except -1


cdef class RecordsInput:
    cdef ColumnInput _values
    cdef ColumnInput _keys
    cdef HeadersInput _headers
    cdef const int64_t[::1] _timestamps

    cdef bint has_negative_timestamps(self) noexcept
    cdef OutgoingColumns columns(self, int64_t timestamp_ms)


cdef list push_headers(headers, HeaderColumn& out)
cdef int read_bytes(object data, optional[ByteView]& out, str what) except -1
