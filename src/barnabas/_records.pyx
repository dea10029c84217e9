# cython: language_level=3, boundscheck=False, wraparound=False
# distutils: language = c++
"""Record batches (magic 2) to Python objects and numpy columns, and back.

Pure functions over bytes: no file, no socket. The codecs and every bounds check are those of
csrc/record. Layout of a batch, big-endian, offsets in bytes:

     0 base_offset int64            27 base_timestamp int64 (ms)
     8 batch_length int32           35 max_timestamp int64 (ms)
    12 partition_leader_epoch int32 43 producer_id int64
    16 magic int8 (2)               51 producer_epoch int16
    17 crc uint32, of 21 to the end 53 base_sequence int32
    21 attributes int16             57 record_count int32
    23 last_offset_delta int32      61 records, compressed as one block

attributes: bits 0-2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon.

Layout of a record, varints zig-zag: length, attributes int8, timestamp delta, offset delta, key
length (-1: null) and bytes, value length and bytes, header count, and per header key length and
bytes, value length and bytes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint32_t
from libcpp cimport bool as cbool
from libcpp.vector cimport vector

from barnabas._columns cimport ByteView, Columns, RecordColumns, Result, Status, corrupt, optional
from barnabas._record cimport (
    BatchOptions,
    Codec,
    HeaderSpan,
    HeaderView,
    TimestampType,
    kDefaultLevel,
)

from barnabas._columns import CorruptBatch, Record


cdef extern from "base/bytes.h" namespace "barnabas" nogil:
    T load_be[T](const uint8_t*)


cdef extern from "base/crc32c.h" namespace "barnabas" nogil:
    uint32_t crc32c(ByteView)


cdef extern from "record/batch.h" namespace "barnabas::record" nogil:
    cdef cppclass BatchView:
        BatchView()
        BatchView(ByteView)
        size_t size_bytes()
        ByteView bytes()
        int64_t base_offset()
        int32_t batch_length()
        int32_t leader_epoch()
        int8_t magic()
        uint32_t crc()
        int16_t attributes()
        int32_t last_offset_delta()
        int64_t base_timestamp()
        int64_t max_timestamp()
        int64_t producer_id()
        int16_t producer_epoch()
        int32_t base_sequence()
        int32_t record_count()
        int64_t last_offset()
        uint8_t codec_id()
        cbool is_transactional()
        cbool is_control()
        cbool has_delete_horizon()
        ByteView crc_payload()

    const int8_t kMagic
    const size_t kBatchOverhead
    const size_t kBatchHeaderSize


cdef extern from "record/columns.h" namespace "barnabas::record" nogil:
    cdef cppclass DecodeOptions:
        DecodeOptions()
        size_t expansion_limit
        int64_t from_offset

    Status append_columns(RecordColumns&, const BatchView&, int32_t, const DecodeOptions&)


cdef extern from "record/builder.h" namespace "barnabas::record" nogil:
    cdef cppclass BatchBuilder:
        BatchBuilder(BatchOptions)
        void append_at(int32_t, int64_t, optional[ByteView], optional[ByteView], HeaderSpan)
        int32_t record_count()
        Result[vector[uint8_t]] build()


CODEC_NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
DEFAULT_EXPANSION_LIMIT_BYTES = 256 << 20
# Of a batch before compression, at most, unless one record alone is larger.
BATCH_SIZE = 128 << 10

# Below this, giving the GIL up costs more than it lets others do.
cdef size_t NOGIL_THRESHOLD_BYTES = 64 << 10


cdef class _Decoded:
    """The decoded records of one batch, and the memory that they lie in."""

    cdef RecordColumns columns
    cdef const uint8_t[::1] source


cdef class Batch:
    """One record batch: its header as attributes, its records decoded when asked for.

    Shares the memory it was read from, and keeps it alive.
    """

    cdef const uint8_t[::1] _source
    cdef BatchView _view  # of the source's memory
    cdef size_t _limit
    cdef Columns _columns  # None until the records are asked for

    cdef Columns _decode(self):
        """Fills _columns once."""
        if self._columns is not None:
            return self._columns
        cdef _Decoded decoded = _Decoded()
        decoded.source = self._source
        decoded.columns.buffers.push_back(self._view.bytes())
        cdef DecodeOptions options = DecodeOptions()
        options.expansion_limit = self._limit
        cdef Status status
        if self._view.size_bytes() < NOGIL_THRESHOLD_BYTES:
            status = append_columns(decoded.columns, self._view, 0, options)
        else:
            with nogil:
                status = append_columns(decoded.columns, self._view, 0, options)
        if not status.ok():
            raise corrupt(status.error())
        self._columns = Columns.over(&decoded.columns, decoded)
        return self._columns

    @property
    def base_offset(self): return self._view.base_offset()
    @property
    def last_offset(self): return self._view.last_offset()
    @property
    def next_offset(self): return self._view.last_offset() + 1
    @property
    def leader_epoch(self): return self._view.leader_epoch()
    @property
    def magic(self): return self._view.magic()
    @property
    def crc(self): return self._view.crc()
    @property
    def attributes(self): return self._view.attributes()
    @property
    def codec(self): return self._view.codec_id()
    @property
    def codec_name(self):
        cdef uint8_t codec = self._view.codec_id()
        return CODEC_NAMES[codec] if codec < 5 else f"unknown ({codec})"
    @property
    def timestamp_type(self): return (self._view.attributes() >> 3) & 1
    @property
    def is_transactional(self): return self._view.is_transactional()
    @property
    def is_control(self): return self._view.is_control()
    @property
    def has_delete_horizon(self): return self._view.has_delete_horizon()
    @property
    def base_timestamp(self): return self._view.base_timestamp()
    @property
    def max_timestamp(self): return self._view.max_timestamp()
    @property
    def producer_id(self): return self._view.producer_id()
    @property
    def producer_epoch(self): return self._view.producer_epoch()
    @property
    def base_sequence(self): return self._view.base_sequence()
    @property
    def record_count(self): return self._view.record_count()
    @property
    def size_bytes(self): return self._view.size_bytes()

    @property
    def data(self):
        """The batch's own bytes, copied."""
        return PyBytes_FromStringAndSize(
            <const char*>self._view.bytes().data(), self._view.size_bytes()
        )

    def crc_valid(self):
        """Whether the bytes are those that were checksummed."""
        return crc32c(self._view.crc_payload()) == self._view.crc()

    @property
    def columns(self):
        """All records, decoded."""
        return self._decode()

    def records(self):
        """The records as a list."""
        return self._decode().records()

    @property
    def keys(self):
        """The keys as a list of bytes or None."""
        return self._decode().keys

    @property
    def values(self):
        """The values as a list of bytes or None."""
        return self._decode().values

    @property
    def offsets(self):
        """The offsets as a numpy array of int64."""
        return self._decode().offsets

    @property
    def timestamps(self):
        """The timestamps, ms since the epoch, as a numpy array of int64."""
        return self._decode().timestamps

    def __len__(self):
        return max(0, self._view.record_count())

    def __repr__(self):
        return (
            f"Batch(base_offset={self.base_offset}, last_offset={self.last_offset}, "
            f"record_count={self.record_count}, size_bytes={self.size_bytes})"
        )


def decode_records(data, *, int64_t from_offset, bint check_crcs=True):
    """(Columns, offset to go on from): the records of all whole batches in `data` from an offset
    on, control records left out. The Columns keep `data` alive.

    Raises CorruptBatch as iter_batches does, and for a CRC that is wrong.
    """
    cdef _Decoded decoded = _Decoded()
    cdef DecodeOptions options = DecodeOptions()
    cdef Batch batch
    cdef Status status
    cdef int64_t next_offset = from_offset
    decoded.source = data
    options.expansion_limit = DEFAULT_EXPANSION_LIMIT_BYTES
    options.from_offset = from_offset
    if decoded.source.shape[0] > 0:
        decoded.columns.buffers.push_back(
            ByteView(&decoded.source[0], <size_t>decoded.source.shape[0])
        )
    for item in iter_batches(decoded.source):
        batch = item
        next_offset = batch._view.last_offset() + 1
        if check_crcs and not batch.crc_valid():
            raise CorruptBatch(f"the CRC of the batch at offset {batch.base_offset} is wrong")
        if batch._view.is_control():
            continue
        with nogil:
            status = append_columns(decoded.columns, batch._view, 0, options)
        if not status.ok():
            raise corrupt(status.error())
    return Columns.over(&decoded.columns, decoded), next_offset


cdef class _BatchIterator:
    cdef const uint8_t[::1] _source
    cdef size_t _position
    cdef size_t _limit

    def __iter__(self):
        return self

    def __next__(self):
        cdef size_t left = <size_t>self._source.shape[0] - self._position
        if left < kBatchOverhead:
            raise StopIteration
        cdef const uint8_t* start = &self._source[self._position]
        cdef int64_t length = load_be[int32_t](start + 8)
        cdef int8_t magic = 2
        if left > 16:
            magic = <int8_t>start[16]
        if magic != kMagic:
            raise CorruptBatch(
                f"the batch at byte {self._position} has magic {magic}, only 2 is supported"
            )
        if length < <int64_t>(kBatchHeaderSize - kBatchOverhead):
            raise CorruptBatch(f"the batch at byte {self._position} has length {length}")
        if <size_t>length + kBatchOverhead > left:
            raise StopIteration
        cdef Batch batch = Batch.__new__(Batch)
        batch._source = self._source
        batch._view = BatchView(ByteView(start, <size_t>length + kBatchOverhead))
        batch._limit = self._limit
        self._position += batch._view.size_bytes()
        return batch


def iter_batches(data, *, size_t limit_bytes=DEFAULT_EXPANSION_LIMIT_BYTES):
    """Iterates over the batches in `data` (anything with the buffer protocol).

    A batch that is cut off at the end stops it, as a fetch may end in the middle of one. Bytes that
    are no batch raise CorruptBatch. The CRC is looked at by Batch.crc_valid() only. `limit_bytes`
    is the most that the records of one compressed batch may expand to.
    """
    cdef _BatchIterator iterator = _BatchIterator.__new__(_BatchIterator)
    iterator._source = data
    iterator._position = 0
    iterator._limit = limit_bytes
    return iterator


cdef optional[ByteView] _byte_view(bytes data):
    if data is None:
        return optional[ByteView]()
    return optional[ByteView](
        ByteView(<const uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    )


cdef int _append(BatchBuilder* builder, int64_t delta, int64_t timestamp, key, value,
                 headers) except -1:
    if delta < 0 or delta > 0x7FFFFFFF:
        raise ValueError("offsets must ascend from base_offset, by less than 2^31")
    cdef vector[HeaderView] views = vector[HeaderView]()
    cdef HeaderView view = HeaderView()
    names = [name.encode("utf-8", "surrogateescape") for name, _ in headers]
    cdef size_t i = 0
    for _, header_value in headers:
        view.key = _byte_view(names[i]).value()
        view.value = _byte_view(header_value)
        views.push_back(view)
        i += 1
    builder.append_at(<int32_t>delta, timestamp, _byte_view(key), _byte_view(value),
                      HeaderSpan(views.data(), views.size()))
    return 0


cdef int _append_all(BatchBuilder* builder, records, int64_t base_offset,
                     int64_t timestamp_ms) except -1:
    cdef int64_t next_delta = 0
    cdef int64_t delta
    for item in records:
        if isinstance(item, Record):
            delta = <int64_t>item.offset - base_offset
            if delta < next_delta:
                raise ValueError("offsets must ascend from base_offset, by less than 2^31")
            _append(builder, delta, item.timestamp, item.key, item.value, item.headers)
        elif isinstance(item, (bytes, str)):
            raise TypeError(f"a record is (key, value, ...), not {type(item).__name__}")
        else:
            key, value, *more = item
            delta = next_delta
            _append(builder, delta, more[0] if more else timestamp_ms, key, value,
                    more[1] if len(more) > 1 else ())
        next_delta = delta + 1
    return 0


def encode_batch(
    records,
    *,
    int64_t timestamp_ms=0,
    int codec=0,
    level=None,
    int64_t base_offset=0,
    int32_t leader_epoch=-1,
    int64_t producer_id=-1,
    int16_t producer_epoch=-1,
    int32_t base_sequence=-1,
    bint transactional=False,
    bint control=False,
    bint log_append_time=False,
):
    """Encodes one batch.

    `records` is an iterable of (key, value), (key, value, timestamp), (key, value, timestamp,
    headers), which take the offsets from base_offset on and `timestamp_ms` where they name none; or
    of Record, which keep their offsets. Raises ValueError for an empty one.
    """
    if not 0 <= codec < 5:
        raise ValueError(f"codec {codec} is not one of 0 to 4")
    cdef BatchOptions options
    options = BatchOptions()
    options.codec = <Codec>codec
    options.level = kDefaultLevel if level is None else level
    options.timestamp_type = (
        TimestampType.kLogAppendTime if log_append_time else TimestampType.kCreateTime
    )
    options.producer_id = producer_id
    options.producer_epoch = producer_epoch
    options.base_sequence = base_sequence
    options.transactional = transactional
    options.control = control
    options.base_offset = base_offset
    options.leader_epoch = leader_epoch
    cdef BatchBuilder* builder = new BatchBuilder(options)
    try:
        _append_all(builder, records, base_offset, timestamp_ms)
        if builder.record_count() == 0:
            raise ValueError("a batch needs a record")
        return _build(builder)
    finally:
        del builder


cdef bytes _build(BatchBuilder* builder):
    cdef optional[Result[vector[uint8_t]]] result
    result.emplace(builder.build())
    if not result.value().ok():
        raise ValueError(result.value().error().message.decode("utf-8", "replace"))
    cdef vector[uint8_t]* batch = &result.value().value()
    return PyBytes_FromStringAndSize(<const char*>batch.data(), batch.size())
