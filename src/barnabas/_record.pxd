# Batches and records of csrc/record, as builders take them.

from libc.stdint cimport uint8_t

from barnabas._columns cimport ByteView, optional


cdef extern from "record/batch.h" namespace "barnabas::record" nogil:
    cdef enum class Codec(uint8_t):
        kNone


cdef extern from "record/codec.h" namespace "barnabas::record" nogil:
    const int kDefaultLevel


cdef extern from "record/record.h" namespace "barnabas::record" nogil:
    cdef cppclass HeaderView:
        HeaderView()
        ByteView key
        optional[ByteView] value

    cdef cppclass HeaderSpan "std::span<const barnabas::record::HeaderView>":
        HeaderSpan()
        HeaderSpan(const HeaderView*, size_t)
