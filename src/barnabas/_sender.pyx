# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: language = c++
"""The producer in the broker's own process, as far as every record goes through it.

Records go from Python objects, or from columns, into batches in the native core, and into the log,
without a socket or a frame. What may wait for a disk or a thread releases the GIL.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int16_t, int32_t, int64_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport shared_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from barnabas._column_input cimport (
    ColumnInput,
    HeaderColumn,
    HeadersInput,
    push_headers,
    read_bytes,
)
from barnabas._columns cimport ByteView, Error, ErrorCode, Result, Status, optional
from barnabas._engine cimport Engine, TransactionalProducer, engine_of, kafka_error
from barnabas._record cimport Codec, kDefaultLevel

import asyncio
import atexit
import time

from kio.schema.errors import ErrorCode as ErrorCodes

from barnabas.errors import BrokerClosed, KafkaError


cdef extern from "bindings/sender_callbacks.h" namespace "barnabas::bindings":
    Function python_call(object)
    void delete_elsewhere(Producer*, object)


cdef extern from "bindings/python_gate.h" namespace "barnabas::bindings":
    cdef cppclass PythonGate:
        @staticmethod
        PythonGate& of_module()
        void close()


@atexit.register
def _close_gate():
    """Native threads call Python no more."""
    PythonGate.of_module().close()


# How long a thread waits before it looks whether Python has a signal for it.
cdef int64_t SIGNAL_INTERVAL_NS = 50_000_000
cdef int64_t NS_PER_S = 1_000_000_000


cdef bint _wait(Outcome* outcome, timeout) except -1:
    """Whether it is done after at most `timeout` seconds (None: for ever)."""
    if outcome.done():
        return True
    cdef int64_t left = 0
    cdef int64_t part
    cdef cbool done
    cdef bint endless = timeout is None
    deadline = 0 if endless else time.monotonic_ns() + int(timeout * NS_PER_S)
    while True:
        if not endless:
            left = deadline - time.monotonic_ns()
            if left <= 0:
                return False
        part = SIGNAL_INTERVAL_NS if endless else min(left, SIGNAL_INTERVAL_NS)
        with nogil:
            done = outcome.wait(part)
        if done:
            return True
        PyErr_CheckSignals()


cdef class RecordMetadata:
    """Where a record went: topic, partition, offset, and its timestamp in ms."""

    cdef readonly str topic
    cdef readonly int32_t partition
    cdef readonly int64_t offset
    cdef readonly int64_t timestamp

    def __repr__(self):
        return (
            f"RecordMetadata(topic={self.topic!r}, partition={self.partition}, "
            f"offset={self.offset}, timestamp={self.timestamp})"
        )


cdef class _Topic:
    """A topic that a producer has sent to."""

    cdef str name
    cdef TopicLanes* lanes  # of the producer


cdef class Delivery:
    """The future of one record that was sent: `await` it, or ask for its `result()`.

    Asking hurries: a record that somebody waits for does not linger.
    """

    cdef shared_ptr[Outcome] _outcome
    cdef int32_t _index
    cdef int32_t _partition
    cdef int64_t _timestamp
    cdef _Topic _topic
    cdef NativeProducer _producer

    def __init__(self):
        raise TypeError("deliveries come from Producer.send()")

    def done(self):
        """Whether the record is in the log, as durable as its topic wants it, or was refused."""
        return self._outcome.get().done()

    def result(self, timeout=None):
        """The RecordMetadata, once there is one, in seconds. Raises KafkaError when the record was
        refused, TimeoutError.
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._metadata()

    def exception(self, timeout=None):
        """Why the record was refused, or None. Raises TimeoutError."""
        cdef Outcome* outcome = self._outcome.get()
        if not outcome.done():
            self._producer._drain(self._topic, self._partition)
            if not _wait(outcome, timeout):
                raise TimeoutError(f"not delivered after {timeout} s")
        if outcome.error() == ErrorCode.kNone:
            return None
        return kafka_error(outcome.error(), outcome.message())

    def add_done_callback(self, callback):
        """Calls `callback(delivery)` once it is done: at once, or later on a native thread."""
        self._outcome.get().when_done(python_call(lambda: callback(self)))

    def __await__(self):
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def settle():
            if future.done():  # cancelled
                return
            error = self.exception()
            if error is None:
                future.set_result(self._metadata())
            else:
                future.set_exception(error)

        if self._outcome.get().done():
            settle()
        else:
            self.add_done_callback(lambda _: loop.call_soon_threadsafe(settle))
            self._producer._hurry(self)
        return (yield from future)

    cdef RecordMetadata _metadata(self):
        cdef Outcome* outcome = self._outcome.get()
        cdef RecordMetadata made = RecordMetadata.__new__(RecordMetadata)
        made.topic = self._topic.name
        made.partition = self._partition
        made.offset = outcome.base_offset() + self._index
        made.timestamp = self._timestamp
        if outcome.log_append_time_ms() >= 0:
            made.timestamp = outcome.log_append_time_ms()
        return made

    def __repr__(self):
        state = "done" if self.done() else "pending"
        return f"<barnabas.Delivery to {self._topic.name}-{self._partition}, {state}>"


@cython.no_gc_clear  # the core outlives the producer, in a cycle of garbage too
cdef class NativeProducer:
    """The part of `barnabas.embedded.producer.Producer` that every record goes through."""

    cdef Producer* _producer
    cdef object _core  # keeps the engine
    cdef dict _topics  # name -> _Topic
    cdef bint _is_closed
    cdef bint _is_transactional

    def __init__(
        self, core, *, int codec, level, size_t batch_size, int64_t linger_ns, bint transactional
    ):
        cdef ProducerOptions options
        options.codec = <Codec>codec
        options.level = kDefaultLevel if level is None else level
        options.batch_bytes = batch_size
        options.linger_ns = linger_ns
        options.transactional = transactional
        self._core = core
        self._topics = {}
        self._is_transactional = transactional
        self._producer = new Producer(engine_of(core)[0], options)

    def __dealloc__(self):
        cdef Producer* producer = self._producer
        if producer != NULL and producer.is_own_thread():
            delete_elsewhere(producer, self._core)
            return
        with nogil:  # its thread may want the GIL to come to an end
            del producer

    # -- for the subclass

    def _admit(self, str topic):
        """Raises for a topic that is not written to from outside."""
        raise NotImplementedError

    def _missing_topic(self, str topic):
        """Makes sure that a topic is there that was not; raises if it cannot."""
        raise NotImplementedError

    def _join(self, str topic, int partition):
        """Adds a partition to the transaction; raises if there is none."""
        raise NotImplementedError

    # -- sending

    def send(self, str topic not None, value, key=None, headers=(), timestamp=None, partition=None):
        """Sends one record and returns its Delivery, a future.

        `value` and `key` are bytes, str (sent as UTF-8) or None; `headers` are (str, bytes or None)
        pairs, or a mapping; `timestamp` is in ms since the epoch, now by default. Without a
        `partition` the key decides, as with Kafka's Java client; records without a key go to one
        partition until its batch is full, then to the next.

        A full batch is written by the thread that fills it: then the call takes as long as the
        write. Raises KafkaError UNKNOWN_TOPIC_OR_PARTITION, TypeError for what is no record,
        BrokerClosed; every other error is the Delivery's.
        """
        cdef _Topic handle = self._topics.get(topic)
        cdef OutgoingRecord record
        cdef HeaderColumn read
        cdef Place place
        cdef int32_t chosen
        cdef Producer* producer = self._producer
        if handle is None or self._is_closed:
            handle = self._open(topic)
        read_bytes(value, record.value, "value")
        read_bytes(key, record.key, "key")
        record.timestamp_ms = producer.now_ms() if timestamp is None else timestamp
        if headers:
            kept = push_headers(headers, read)
            record.headers = read.at(0)
        if partition is None:
            chosen = handle.lanes.choose(record.key)
        else:
            chosen = self._check_partition(handle, partition)
        if self._is_transactional and not handle.lanes[0][chosen].joined():
            self._join(topic, chosen)
        place = producer.add(handle.lanes[0], chosen, record)
        while place.added == Added.kNo:
            self._drain(handle, chosen)
            place = producer.add(handle.lanes[0], chosen, record)
        if place.added == Added.kFull:
            self._drain(handle, chosen)
        cdef Delivery delivery = Delivery.__new__(Delivery)
        delivery._outcome = place.outcome
        delivery._index = place.index
        delivery._partition = chosen
        delivery._timestamp = record.timestamp_ms
        delivery._topic = handle
        delivery._producer = self
        return delivery

    def _send_columns(self, str topic, ColumnInput values, ColumnInput keys, HeadersInput headers,
                      timestamps, timestamp, partition):
        """(spans, Unfinished, error or None): see Producer.send_many. A span is (partition, base
        offset, count).
        """
        cdef _Topic handle = self._open(topic)
        cdef OutgoingColumns columns
        cdef const int64_t[::1] times
        cdef int32_t chosen = -1
        cdef Producer* producer = self._producer
        cdef SentColumns sent
        if partition is not None:
            chosen = self._check_partition(handle, partition)
        if self._is_transactional:
            for index in [chosen] if chosen >= 0 else range(handle.lanes.count()):
                if not handle.lanes[0][<int32_t>index].joined():
                    self._join(topic, index)
        columns.values = &values._column
        columns.keys = &keys._column
        if headers is not None:
            columns.headers = &headers._column
        columns.timestamps_ms = NULL
        columns.timestamp_ms = producer.now_ms() if timestamp is None else timestamp
        if timestamps is not None:
            times = timestamps
            if times.shape[0] > 0:
                columns.timestamps_ms = &times[0]
        with nogil:
            sent = producer.send_many(handle.lanes[0], chosen, columns)
        error = None
        if sent.error != ErrorCode.kNone:
            error = kafka_error(sent.error, sent.message)
        spans = [(span.partition, span.base_offset, span.count) for span in sent.spans]
        return spans, _unfinished(sent.unfinished), error

    def flush(self, timeout=None):
        """Writes what was sent, and waits until all of it is done, `timeout` seconds at most.
        Raises TimeoutError.
        """
        cdef vector[shared_ptr[Outcome]] unfinished
        cdef Producer* producer = self._producer
        with nogil:
            unfinished = producer.drain_all()
        _unfinished(unfinished).wait(timeout)

    # -- transactions

    def _begin(self, str topic, int32_t partition, int64_t producer_id, int16_t epoch):
        """See Engine::begin_transaction."""
        cdef TransactionalProducer who
        who.id = producer_id
        who.epoch = epoch
        cdef _Topic handle = self._topics[topic]
        cdef optional[Result[uint64_t]] guard
        guard.emplace(self._producer.begin_transaction(handle.lanes[0], partition, who))
        if not guard.value().ok():
            raise kafka_error(guard.value().error().code, guard.value().error().message)
        return guard.value().value()

    def _joined(self, str topic, int32_t partition, int64_t producer_id, int16_t epoch,
                uint64_t guard):
        """The coordinator knows of the partition."""
        cdef TransactionalProducer who
        who.id = producer_id
        who.epoch = epoch
        cdef _Topic handle = self._topics[topic]
        handle.lanes[0][partition].join(who, guard)

    def _transaction_error(self):
        """Why the transaction cannot be committed, or None."""
        cdef optional[Error] error = self._producer.transaction_error()
        if not error.has_value():
            return None
        return kafka_error(error.value().code, error.value().message)

    def _leave(self):
        """The transaction is over."""
        self._producer.leave_transaction()

    # -- life

    def _close(self):
        """Writes what was sent; afterwards nothing is taken any more."""
        cdef Producer* producer = self._producer
        self._is_closed = True
        with nogil:
            producer.close()

    # -- parts

    cdef _Topic _open(self, str name):
        """The topic, new partitions included."""
        cdef string text = name.encode()
        cdef _Topic handle
        if self._is_closed:
            raise BrokerClosed("the producer is closed")
        cdef TopicLanes* lanes = self._find(text)
        if lanes == NULL:
            self._missing_topic(name)
            lanes = self._find(text)
            if lanes == NULL:
                raise KafkaError(
                    ErrorCodes.unknown_topic_or_partition, f"there is no topic {name}"
                )
        handle = self._topics.get(name)
        if handle is None:
            self._admit(name)
            handle = _Topic.__new__(_Topic)
            handle.name = name
            handle.lanes = lanes
            self._topics[name] = handle
        return handle

    cdef TopicLanes* _find(self, const string& name):
        cdef optional[Result[TopicLanesPointer]] found
        found.emplace(self._producer.topic(name))
        return found.value().value() if found.value().ok() else NULL

    cdef int32_t _check_partition(self, _Topic handle, partition) except -1:
        cdef int32_t count = handle.lanes.count()
        if not 0 <= partition < count:
            handle.lanes.refresh()
            count = handle.lanes.count()
        if not 0 <= partition < count:
            raise KafkaError(
                ErrorCodes.unknown_topic_or_partition,
                f"{handle.name} has partitions 0 to {count - 1}, not {partition}",
            )
        return partition

    cdef int _drain(self, _Topic handle, int32_t partition) except -1:
        cdef Producer* producer = self._producer
        cdef TopicLanes* lanes = handle.lanes
        with nogil:
            producer.drain(lanes[0], partition)
        return 0

    cdef int _hurry(self, Delivery delivery) except -1:
        self._producer.hurry(
            delivery._topic.lanes[0], delivery._partition, delivery._outcome
        )
        return 0


cdef class Unfinished:
    """Batches that are in the log, and not yet as durable as their topics want them."""

    cdef vector[shared_ptr[Outcome]] _outcomes

    def done(self):
        """Whether all are."""
        cdef size_t i
        for i in range(self._outcomes.size()):
            if not self._outcomes[i].get().done():
                return False
        return True

    def wait(self, timeout):
        """Waits for all, `timeout` seconds at most (None: for ever). Raises TimeoutError, and
        KafkaError when one cannot be made durable.
        """
        cdef size_t i
        cdef Outcome* outcome
        deadline = None if timeout is None else time.monotonic() + timeout
        for i in range(self._outcomes.size()):
            outcome = self._outcomes[i].get()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not _wait(outcome, left):
                raise TimeoutError(f"not all was done after {timeout} s")
            if outcome.error() != ErrorCode.kNone:
                raise kafka_error(outcome.error(), outcome.message())


cdef Unfinished _unfinished(const vector[shared_ptr[Outcome]]& outcomes):
    cdef Unfinished made = Unfinished()
    made._outcomes = outcomes
    return made
