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
    HeaderColumn,
    OutgoingColumns,
    RecordsInput,
    push_headers,
    read_bytes,
)
from barnabas._columns cimport ByteView, Error, ErrorCode, Result, Status, optional
from barnabas._engine cimport (
    Engine,
    ProcessMark,
    TransactionalProducer,
    engine_of,
    kafka_error,
)
from barnabas._record cimport Codec, kDefaultLevel

import asyncio
import operator
import time
from functools import partial

import barnabas.quick_kio  # before kio
from kio.schema.errors import ErrorCode as ErrorCodes

from barnabas.arguments import (
    INT64_MAX,
    check_integer,
    check_timeout,
    deadline_after,
    time_in_ms,
    wrong_type,
)
from barnabas.errors import BrokerClosed, KafkaError


cdef extern from "bindings/sender_callbacks.h" namespace "barnabas::bindings":
    Function python_call(object)


cdef extern from "bindings/python_gate.h" namespace "barnabas::bindings":
    cdef cppclass PythonGate:
        @staticmethod
        PythonGate& of_module()
        void close()


def close_gate():
    """From now on native threads call Python no more: callbacks that are still to come are lost."""
    PythonGate.of_module().close()


def is_telling():
    """Whether this is a native thread, in a callback."""
    return Teller.is_this_thread()


include "_sender_waiting.pxi"


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


cdef int64_t _timestamp(given) except -1:
    cdef int64_t timestamp
    try:
        timestamp = operator.index(given)
    except TypeError:
        timestamp = time_in_ms("timestamp", given)
    except OverflowError:
        raise ValueError(f"timestamp {given} is not within 0 and {INT64_MAX}") from None
    if timestamp < 0:
        raise ValueError(f"timestamp {timestamp} is below zero")
    return timestamp


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
        """The RecordMetadata, once there is one. Raises KafkaError when the record was refused,
        TimeoutError after `timeout` seconds.

        Without a timeout this thread writes the batch, if nobody does yet; with one another thread
        does, so that a disk that hangs holds up that one, and Ctrl-C ends the wait.
        """
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._metadata()

    def exception(self, timeout=None):
        """Why the record was refused, or None. As `result`."""
        cdef Outcome* outcome = self._outcome.get()
        if timeout is not None:
            timeout = check_timeout(timeout)
        if not outcome.done():
            self._producer._check_ours()
            if timeout is None:
                self._producer._drain(self._topic, self._partition)
            else:
                self._producer._hurry(self)
            if not _wait(outcome, timeout):
                raise TimeoutError(f"not delivered after {timeout} s")
        if outcome.error() == ErrorCode.kNone:
            return None
        return kafka_error(outcome.error(), outcome.message())

    def add_done_callback(self, callback):
        """Calls `callback(delivery)` once it is done: at once, or later on a thread that the
        callbacks of the producer share. There all may be called that can be called elsewhere.
        """
        if not callable(callback):
            raise wrong_type("callback", callback, "something to be called with the delivery")
        if not self.done():
            self._producer._check_ours()
        self._outcome.get().when_done(python_call(lambda: callback(self)))

    def __await__(self):
        if not self.done():
            self._producer._check_ours()
            self._producer._hurry(self)
            yield from _until_done(self._outcome)
        return self.result()

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


# A collector that cleared _core would let the engine go before what hangs in it.
@cython.no_gc_clear
cdef class NativeProducer:
    """The part of `barnabas.embedded.producer.Producer` that every record goes through."""

    cdef Producer* _producer
    cdef object _core  # keeps the engine
    cdef dict _topics  # name -> _Topic
    cdef bint _is_closed
    cdef bint _is_transactional
    cdef ProcessMark _made_in

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
        if not self._made_in.is_here():
            return  # what it has begun, and its thread, are the parent's: a leak does no harm
        with nogil:  # it may wait for a disk
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
        pairs, or a mapping; `timestamp` is in ms since the epoch, or a datetime with a time zone,
        or numpy's datetime64; now by default. Without a `partition` the key decides, as with
        Kafka's Java client; records without a key go to one partition until its batch is full,
        then to the next.

        A full batch is written by the thread that fills it: then the call takes as long as the
        write. Raises KafkaError UNKNOWN_TOPIC_OR_PARTITION, and INVALID_TXN_STATE outside of a
        transaction that the producer needs; TypeError and ValueError for what is no record;
        BrokerClosed. Every other error is the Delivery's.
        """
        cdef _Topic handle = self._topics.get(topic)
        cdef OutgoingRecord record
        cdef HeaderColumn read
        cdef Place place
        cdef int32_t chosen
        cdef Producer* producer = self._producer
        if (
            handle is None
            or handle.lanes.is_stale()
            or self._is_closed
            or not self._made_in.is_here()
        ):
            handle = self._open(topic)
        read_bytes(value, record.value, "value")
        read_bytes(key, record.key, "key")
        record.timestamp_ms = producer.now_ms() if timestamp is None else _timestamp(timestamp)
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
        elif place.added == Added.kOutside:
            raise KafkaError(ErrorCodes.invalid_txn_state, "the transaction has ended meanwhile")
        elif place.added == Added.kClosed:
            raise BrokerClosed("the producer is closed")
        cdef Delivery delivery = Delivery.__new__(Delivery)
        delivery._outcome = place.outcome
        delivery._index = place.index
        delivery._partition = chosen
        delivery._timestamp = record.timestamp_ms
        delivery._topic = handle
        delivery._producer = self
        return delivery

    def _send_columns(self, str topic, RecordsInput records not None, timestamp, partition):
        """(spans, Unfinished, error or None): see Producer.send_many. A span is (partition, base
        offset, count).
        """
        records.check_one_time("timestamp", timestamp)
        cdef _Topic handle = self._open(topic)
        cdef OutgoingColumns columns
        cdef int32_t chosen = -1
        cdef Producer* producer = self._producer
        cdef SentColumns sent
        if partition is not None:
            chosen = self._check_partition(handle, partition)
        if self._is_transactional:
            for index in [chosen] if chosen >= 0 else range(handle.lanes.count()):
                if not handle.lanes[0][<int32_t>index].joined():
                    self._join(topic, index)
        if records.has_negative_timestamps():
            raise ValueError("a timestamp is below zero")
        columns = records.columns(producer.now_ms() if timestamp is None else _timestamp(timestamp))
        with nogil:
            sent = producer.send_many(handle.lanes[0], chosen, columns)
        error = None
        if sent.is_closed:
            error = BrokerClosed("the producer is closed")
        elif sent.error != ErrorCode.kNone:
            error = kafka_error(sent.error, sent.message)
        spans = [(span.partition, span.base_offset, span.count) for span in sent.spans]
        return spans, _unfinished(sent.unfinished), error

    def flush(self, timeout=None):
        """Writes what was sent, and waits until all of it is done and callbacks have been called
        (in a callback: but for these), `timeout` seconds at most: see Delivery.result. Raises
        TimeoutError, KafkaError for what cannot be made durable, BrokerClosed in a forked child.
        """
        cdef vector[shared_ptr[Outcome]] unfinished
        cdef Producer* producer = self._producer
        self._check_ours()
        deadline = deadline_after(timeout)
        if deadline is None:
            with nogil:
                unfinished = producer.drain_all()
        else:
            with nogil:
                unfinished = producer.hurry_all()
        _unfinished(unfinished).wait(timeout)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._tell(left):
            raise TimeoutError(f"not all callbacks have been called after {timeout} s")

    # -- transactions

    def _begin(self, str topic, int32_t partition, int64_t producer_id, int16_t epoch):
        """See Engine::begin_transaction."""
        cdef TransactionalProducer who
        who.id = producer_id
        who.epoch = epoch
        cdef _Topic handle = self._topics[topic]
        cdef TopicLanes* lanes = handle.lanes
        cdef Producer* producer = self._producer
        cdef optional[Result[uint64_t]] guard
        with nogil:  # it may wait for a batch on its way to the log
            guard.emplace(producer.begin_transaction(lanes[0], partition, who))
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
        cdef TopicLanes* lanes = handle.lanes
        with nogil:  # as it does
            lanes[0][partition].join(who, guard)

    def _has_joined(self, str topic, int32_t partition):
        """Whether the transaction has the partition."""
        cdef _Topic handle = self._topics[topic]
        return handle.lanes[0][partition].joined()

    def _shut(self, *, bint discards):
        """The transaction is about to end: nothing is taken any more, and what is not on its way to
        the log yet is refused with `discards`.
        """
        cdef Producer* producer = self._producer
        with nogil:
            producer.shut_transaction(discards)

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

    def _is_ours(self):
        """Whether this process made it, and did not get a copy in a fork."""
        return self._made_in.is_here()

    def _check_open(self):
        """Raises BrokerClosed once it is closed, and in a forked child."""
        self._check_ours()
        if self._is_closed:
            raise BrokerClosed("the producer is closed")

    def _close(self):
        """Takes no more, writes what was sent, and waits for callbacks. REQUIRES: it is ours."""
        cdef Producer* producer = self._producer
        self._is_closed = True
        with nogil:
            producer.close()
        self._tell()

    def _tell(self, timeout=None):
        """Whether the callbacks of all that is done have been called after at most `timeout`
        seconds (None: for ever). In a callback nothing is waited for.
        """
        cdef Teller* teller = &self._producer.teller()
        cdef uint64_t given = teller.given()
        cdef int64_t part
        cdef cbool told = Teller.is_this_thread() or teller.wait(given, 0)
        if told:
            return True
        for part in _slices(timeout):
            with nogil:
                told = teller.wait(given, part)
            if told:
                return True
        return False

    # -- parts

    cdef _Topic _open(self, str name):
        """The topic, new partitions included."""
        cdef string text = name.encode()
        cdef _Topic handle
        self._check_open()
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

    cdef int _check_ours(self) except -1:
        if not self._made_in.is_here():
            raise BrokerClosed("the producer is of the process that this one was forked from")
        return 0

    cdef TopicLanes* _find(self, const string& name):
        cdef optional[Result[TopicLanesPointer]] found
        found.emplace(self._producer.topic(name))
        return found.value().value() if found.value().ok() else NULL

    cdef int32_t _check_partition(self, _Topic handle, partition) except -1:
        cdef int32_t count = handle.lanes.count()
        if type(partition) is not int:
            partition = check_integer("partition", partition, "an int or None")
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
