# What other extension modules share of `_columns`.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from "<optional>" namespace "std" nogil:
    # Cython's own does not know emplace.
    cdef cppclass optional[T]:
        optional()
        optional(T&)
        cbool has_value()
        T& value()
        void reset()
        void emplace[U](U)


cdef extern from "base/bytes.h" namespace "barnabas" nogil:
    cdef cppclass ByteView:
        ByteView()
        ByteView(const uint8_t*, size_t)
        const uint8_t* data()
        size_t size()


cdef extern from "base/raw_array.h" namespace "barnabas" nogil:
    cdef cppclass RawArray[T]:
        const T* data()
        size_t size()
        cbool empty()
        const T& operator[](size_t)


cdef extern from "base/kafka_error.h" namespace "barnabas" nogil:
    cdef enum class ErrorCode(int16_t):
        kNone


cdef extern from "base/result.h" namespace "barnabas" nogil:
    cdef cppclass Error:
        string message
        ErrorCode code

    cdef cppclass Result[T]:
        cbool ok()
        T& value()
        const Error& error()

    cdef cppclass Status:
        cbool ok()
        const Error& error()


cdef extern from "record/binary_column.h" namespace "barnabas::record" nogil:
    cdef cppclass BinaryView:
        int32_t length
        const uint8_t* data(const vector[ByteView]&)

    cdef cppclass BinaryColumn:
        size_t size()
        cbool all_null()
        size_t null_count()
        cbool is_null(size_t)
        const RawArray[BinaryView]& views()
        const vector[uint8_t]& validity()


cdef extern from "record/columns.h" namespace "barnabas::record" nogil:
    cdef cppclass RecordColumns:
        RecordColumns()
        vector[ByteView] buffers
        RawArray[int64_t] offsets
        RawArray[int64_t] timestamps
        BinaryColumn keys
        BinaryColumn values
        RawArray[int64_t] header_ends
        BinaryColumn header_keys
        BinaryColumn header_values


cdef extern from "record/arrow_array.h" namespace "barnabas::record" nogil:
    cdef cppclass ArrowArray:
        ArrowArray()
        void (*release)(ArrowArray*) noexcept

    void export_arrow(
        const RecordColumns&, int32_t, void*, void (*)(void*) noexcept nogil, ArrowArray*
    ) except +


cdef class Columns:
    cdef const RecordColumns* _columns  # of the owner
    cdef object _owner
    cdef list _keys  # once asked for, as the others
    cdef list _values
    cdef list _header_list

    @staticmethod
    cdef Columns over(const RecordColumns* columns, object owner)

    cdef list _all_headers(self)
    cdef tuple _headers(self, int64_t begin, int64_t end)


cdef object corrupt(const Error& error)
