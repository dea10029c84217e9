# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: language = c++
"""The consumer in the broker's own process, as far as every record comes through it."""

cimport cython
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy
from libcpp cimport bool as cbool
from libcpp.memory cimport shared_ptr, unique_ptr
from libcpp.string cimport string
from libcpp.utility cimport move
from libcpp.vector cimport vector

from barnabas._columns cimport Columns, RecordColumns, Result, optional
from barnabas._engine cimport (
    Engine,
    Fetched,
    ProcessMark,
    ReadySignal,
    TopicShape,
    Uuid,
    WatchedPartition,
    WatchedSpan,
    engine_of,
    kafka_error,
)

from barnabas.errors import BrokerClosed


cdef extern from "embedded/fetch_pool.h" namespace "barnabas::embedded" nogil:
    cdef cppclass FetchedColumns:
        Fetched fetched
        RecordColumns columns
        int64_t next_offset

    cdef cppclass FetchPool:
        @staticmethod
        shared_ptr[FetchPool] create()


cdef extern from "embedded/fetcher.h" namespace "barnabas::embedded" nogil:
    cdef cppclass FetchOptions:
        FetchOptions()
        size_t max_bytes
        cbool read_committed
        cbool check_crcs

    Result[shared_ptr[FetchedColumns]] fetch_columns(
        Engine&, FetchPool&, const string&, int32_t, int64_t, const FetchOptions&, const Uuid&
    )


cdef class _FetchedMemory:
    """Keeps what was fetched."""

    cdef shared_ptr[FetchedColumns] fetched


# A collector that cleared _core would let the engine go before what hangs in it.
@cython.no_gc_clear
cdef class NativeReader:
    """The part of `barnabas.embedded.consumer.Consumer` that every record comes through."""

    cdef Engine* _engine
    cdef object _core
    cdef unique_ptr[ReadySignal] _signal
    cdef shared_ptr[FetchPool] _pool
    cdef FetchOptions _options
    cdef ProcessMark _made_in

    def __init__(self, core, *, size_t max_bytes, bint read_committed, bint check_crcs):
        self._core = core
        self._engine = engine_of(core)
        self._pool = FetchPool.create()
        self._options.max_bytes = max_bytes
        self._options.read_committed = read_committed
        self._options.check_crcs = check_crcs
        cdef optional[Result[unique_ptr[ReadySignal]]] made
        made.emplace(self._engine.make_ready_signal(read_committed))
        if not made.value().ok():
            raise kafka_error(made.value().error().code, made.value().error().message)
        self._signal = move(made.value().value())

    def __dealloc__(self):
        if not self._made_in.is_here():
            self._signal.release()  # locks of what it hangs in may be held for ever

    cdef int _check_ours(self) except -1:
        """Also where nothing is written: an eventfd is the parent's to clear, too."""
        if not self._made_in.is_here():
            raise BrokerClosed("the consumer is of the process that this one was forked from")
        return 0

    cdef int _check_open(self) except -1:
        self._check_ours()
        if self._signal.get() == NULL:
            raise BrokerClosed("the consumer is closed")
        return 0

    def fetch(self, str topic, int32_t partition, int64_t offset, bytes topic_id=None):
        """(columns or None at the end, offset to go on from, end offset, log start offset): the end
        is the high watermark, or the last stable offset with read_committed. Raises KafkaError:
        UNKNOWN_TOPIC_ID when the topic has another id than `topic_id`.
        """
        cdef string name = topic.encode()
        cdef Uuid wanted  # zero
        if topic_id is not None:
            assert len(topic_id) == sizeof(Uuid)
            memcpy(&wanted, <const char*>topic_id, sizeof(Uuid))
        cdef optional[Result[shared_ptr[FetchedColumns]]] result
        self._check_ours()
        with nogil:
            result.emplace(
                fetch_columns(
                    self._engine[0],
                    self._pool.get()[0],
                    name,
                    partition,
                    offset,
                    self._options,
                    wanted,
                )
            )
        if not result.value().ok():
            raise kafka_error(result.value().error().code, result.value().error().message)
        cdef _FetchedMemory memory = _FetchedMemory()
        memory.fetched = move(result.value().value())
        cdef FetchedColumns* fetched = memory.fetched.get()
        columns = None
        if not fetched.columns.offsets.empty():
            columns = Columns.over(&fetched.columns, memory)
        end = fetched.fetched.high_watermark
        if self._options.read_committed:
            end = fetched.fetched.last_stable_offset
        return columns, fetched.next_offset, end, fetched.fetched.log_start_offset

    def topic_shape(self, str topic):
        """(how many partitions a topic has, its id); (0, None) when it is not there. Any thread."""
        cdef optional[Result[TopicShape]] found
        self._check_ours()
        found.emplace(self._engine.topic_shape(<string>topic.encode()))
        if not found.value().ok():
            return 0, None
        cdef TopicShape* shape = &found.value().value()
        return shape.partition_count, (<const char*>&shape.topic_id)[: sizeof(Uuid)]

    # -- waiting

    def fileno(self):
        """An eventfd: readable from `notify`, or news of what is watched, to `clear`."""
        self._check_open()
        return self._signal.get().fd()

    def watch(self, positions):
        """Watches partitions, (topic, partition, offset to be read next), in the place of others."""
        cdef vector[WatchedPartition] watched
        cdef WatchedPartition one
        self._check_open()
        for topic, partition, offset in positions:
            one.topic = topic.encode()
            one.partition = partition
            one.offset = offset
            watched.push_back(one)
        self._signal.get().watch(WatchedSpan(watched.data(), watched.size()))

    def notify(self):
        """Wakes whoever waits. Any thread. In a forked child nobody does."""
        if self._made_in.is_here() and self._signal.get() != NULL:
            self._signal.get().notify()

    def clear(self):
        """From here on `fileno` waits again."""
        self._check_open()
        self._signal.get().clear()

    def _let_go(self):
        """Closes `fileno`: nobody waits any more, nor will."""
        if self._made_in.is_here():
            self._signal.reset()
