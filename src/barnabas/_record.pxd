# Batches and records of csrc/record, as builders take them.

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t
from libcpp cimport bool as cbool

from barnabas._columns cimport ByteView, optional


cdef extern from "record/batch.h" namespace "barnabas::record" nogil:
    cdef enum class Codec(uint8_t):
        kNone

    cdef enum class TimestampType(uint8_t):
        kCreateTime
        kLogAppendTime


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


cdef extern from "record/builder.h" namespace "barnabas::record" nogil:
    cdef cppclass BatchOptions:
        BatchOptions()
        Codec codec
        int level
        TimestampType timestamp_type
        int64_t producer_id
        int16_t producer_epoch
        int32_t base_sequence
        cbool transactional
        cbool control
        int64_t base_offset
        int32_t leader_epoch
