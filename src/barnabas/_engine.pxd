# The data plane, for the extension modules that work with it in this process.

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t
from libcpp cimport bool as cbool
from libcpp.memory cimport unique_ptr
from libcpp.string cimport string

from barnabas._columns cimport ErrorCode, Result


cdef extern from "bindings/engine_capsule.h" namespace "barnabas::bindings" nogil:
    const char* kEngineCapsule


cdef extern from "base/uuid.h" namespace "barnabas" nogil:
    cdef cppclass Uuid:
        pass  # 16 bytes


cdef extern from "base/process_mark.h" namespace "barnabas" nogil:
    cdef cppclass ProcessMark:
        ProcessMark()
        cbool is_here()


cdef extern from "dataplane/engine.h" namespace "barnabas::dataplane" nogil:
    cdef cppclass TransactionalProducer:
        int64_t id
        int16_t epoch

    cdef cppclass Fetched:
        int64_t high_watermark
        int64_t last_stable_offset
        int64_t log_start_offset

    cdef cppclass WatchedPartition:
        WatchedPartition()
        string topic
        int32_t partition
        int64_t offset

    cdef cppclass WatchedSpan "std::span<const barnabas::dataplane::WatchedPartition>":
        WatchedSpan(const WatchedPartition*, size_t)

    cdef cppclass ReadySignal:
        int fd()
        void watch(WatchedSpan)
        void notify()
        void clear()

    cdef cppclass TopicShape:
        Uuid topic_id
        int32_t partition_count

    cdef cppclass Engine:
        Result[TopicShape] topic_shape(const string&)
        Result[unique_ptr[ReadySignal]] make_ready_signal(cbool)


cdef inline Engine* engine_of(core) except NULL:
    """Of a `_core.Core`, which has to be kept."""
    return <Engine*>PyCapsule_GetPointer(core._engine(), kEngineCapsule)


cdef inline object kafka_error(ErrorCode code, const string& message):
    """The exception for an error of the data plane."""
    from kio.schema.errors import ErrorCode as KafkaErrorCode

    from barnabas.errors import KafkaError

    return KafkaError(KafkaErrorCode(<int16_t>code), message.decode("utf-8", "replace"))
