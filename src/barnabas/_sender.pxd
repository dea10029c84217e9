# The native producer, csrc/embedded.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport shared_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from barnabas._column_input cimport OutgoingColumns
from barnabas._columns cimport ByteView, Error, ErrorCode, Result, Status, optional
from barnabas._engine cimport Engine, TransactionalProducer
from barnabas._record cimport Codec, HeaderSpan


cdef extern from "<functional>" namespace "std" nogil:
    cdef cppclass Function "std::function<void()>":
        pass


cdef extern from "embedded/teller.h" namespace "barnabas::embedded" nogil:
    cdef cppclass Teller:
        @staticmethod
        cbool is_this_thread()
        uint64_t given()
        cbool wait(uint64_t, int64_t)


cdef extern from "embedded/outcome.h" namespace "barnabas::embedded" nogil:
    cdef cppclass Outcome:
        cbool done()
        cbool wait(int64_t)
        void when_done(Function)
        ErrorCode error()
        const string& message()
        int64_t base_offset()
        int64_t log_append_time_ms()


cdef extern from "embedded/outgoing.h" namespace "barnabas::embedded" nogil:
    cdef cppclass OutgoingRecord:
        OutgoingRecord()
        int64_t timestamp_ms
        optional[ByteView] key
        optional[ByteView] value
        HeaderSpan headers


cdef extern from "embedded/lane.h" namespace "barnabas::embedded" nogil:
    cdef enum class Added "barnabas::embedded::Lane::Added"(uint8_t):
        kNo
        kFirst
        kMore
        kFull
        kOutside
        kClosed

    cdef cppclass Place "barnabas::embedded::Lane::Place":
        Place()
        Added added
        shared_ptr[Outcome] outcome
        int32_t index

    cdef cppclass Lane:
        cbool joined()
        void join(const TransactionalProducer&, uint64_t)


cdef extern from "embedded/topic_lanes.h" namespace "barnabas::embedded" nogil:
    cdef cppclass TopicLanes:
        int32_t count()
        cbool is_stale()
        Lane& operator[](int32_t)
        int32_t choose(const optional[ByteView]&)
        Status refresh()


ctypedef TopicLanes* TopicLanesPointer


cdef extern from "embedded/producer.h" namespace "barnabas::embedded" nogil:
    cdef cppclass ProducerOptions:
        ProducerOptions()
        Codec codec
        int level
        size_t batch_bytes
        int64_t linger_ns
        cbool transactional

    cdef cppclass SentSpan:
        int32_t partition
        int64_t base_offset
        int64_t count

    cdef cppclass SentColumns:
        SentColumns()
        vector[SentSpan] spans
        vector[shared_ptr[Outcome]] unfinished
        ErrorCode error
        string message
        cbool is_closed

    cdef cppclass Producer:
        Producer(Engine&, const ProducerOptions&)
        Result[TopicLanesPointer] topic(const string&)
        int64_t now_ms()
        Place add(TopicLanes&, int32_t, const OutgoingRecord&)
        void drain(TopicLanes&, int32_t)
        void hurry(TopicLanes&, int32_t, shared_ptr[Outcome])
        SentColumns send_many(TopicLanes&, int32_t, const OutgoingColumns&)
        vector[shared_ptr[Outcome]] drain_all()
        vector[shared_ptr[Outcome]] hurry_all()
        Teller& teller()
        Result[uint64_t] begin_transaction(TopicLanes&, int32_t, const TransactionalProducer&)
        optional[Error] transaction_error()
        void shut_transaction(cbool)
        void leave_transaction()
        void close()
