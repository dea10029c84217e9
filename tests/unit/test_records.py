"""Decoding and encoding of record batches in Python."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barnabas._records import Batch, CorruptBatch, Record, encode_batch, iter_batches

NOW_MS = 1_700_000_000_000
CODECS = pytest.mark.parametrize("codec", range(5))


def one_batch(data: bytes) -> Batch:
    (batch,) = iter_batches(data)
    return batch


@CODECS
def test_records_come_back_as_they_were_encoded(codec: int) -> None:
    data = encode_batch(
        [
            (b"k", b"v", NOW_MS, [("h", b"1"), ("h", None)]),
            (None, b"", NOW_MS - 5),
            (b"", None),
        ],
        codec=codec,
        timestamp_ms=7,
        base_offset=100,
    )
    batch = one_batch(data)
    assert batch.records() == [
        Record(100, NOW_MS, b"k", b"v", (("h", b"1"), ("h", None))),
        Record(101, NOW_MS - 5, None, b""),
        Record(102, 7, b"", None),
    ]
    assert batch.crc_valid()
    assert batch.codec == codec


def test_the_header_shows_as_attributes() -> None:
    data = encode_batch(
        [(b"k", b"v")] * 3,
        timestamp_ms=NOW_MS,
        base_offset=10,
        leader_epoch=2,
        producer_id=5,
        producer_epoch=1,
        base_sequence=8,
        transactional=True,
    )
    batch = one_batch(data)
    assert (batch.base_offset, batch.last_offset, batch.next_offset) == (10, 12, 13)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (5, 1, 8)
    assert (batch.leader_epoch, batch.magic, batch.codec_name) == (2, 2, "none")
    assert (batch.base_timestamp, batch.max_timestamp) == (NOW_MS, NOW_MS)
    assert batch.is_transactional
    assert not batch.is_control
    assert not batch.has_delete_horizon
    assert batch.record_count == len(batch) == 3
    assert batch.size_bytes == len(data)
    assert batch.data == data


def test_columns_are_numpy_arrays_and_lists() -> None:
    batch = one_batch(encode_batch([(b"a", b"x", 5), (None, b"y", 9)], base_offset=3))
    assert batch.offsets.dtype == np.int64
    assert batch.offsets.tolist() == [3, 4]
    assert batch.timestamps.tolist() == [5, 9]
    assert batch.keys == [b"a", None]
    assert batch.values == [b"x", b"y"]


def test_log_append_time_is_that_of_the_batch() -> None:
    batch = one_batch(encode_batch([(b"a", b"x", 5), (None, b"y", 9)], log_append_time=True))
    assert batch.timestamp_type == 1
    assert batch.timestamps.tolist() == [9, 9]


def test_records_keep_their_offsets_with_gaps() -> None:
    records = [Record(5, 1, b"a", b"b"), Record(9, 2, None, None)]
    batch = one_batch(encode_batch(records, base_offset=4))
    assert batch.records() == records
    with pytest.raises(ValueError, match="ascend"):
        encode_batch(records[::-1], base_offset=4)


def test_a_cut_off_batch_ends_the_iteration() -> None:
    first, second = encode_batch([(b"a", b"1")]), encode_batch([(b"b", b"2")], base_offset=1)
    for cut in range(len(second)):
        assert len(list(iter_batches(first + second[:cut]))) == 1
    assert [batch.base_offset for batch in iter_batches(first + second)] == [0, 1]
    assert list(iter_batches(b"")) == []


def test_bytes_that_are_no_batch_are_refused() -> None:
    data = bytearray(encode_batch([(b"a", b"1")]))
    data[16] = 1
    with pytest.raises(CorruptBatch, match="magic 1"):
        list(iter_batches(bytes(data)))
    data[16] = 2
    data[8:12] = (-1).to_bytes(4, "big", signed=True)
    with pytest.raises(CorruptBatch, match="length -1"):
        list(iter_batches(data))


@CODECS
def test_records_that_do_not_parse_are_refused(codec: int) -> None:
    data = bytearray(encode_batch([(b"a", b"1" * 100)], codec=codec))
    data[60] = 2  # record count
    batch = one_batch(bytes(data))
    assert not batch.crc_valid()
    with pytest.raises(CorruptBatch) as caught:
        batch.records()
    assert caught.value.code == 87
    assert isinstance(caught.value, ValueError)


def test_a_bomb_is_refused_at_the_limit() -> None:
    data = encode_batch([(None, bytes(1 << 20))], codec=4)
    (batch,) = iter_batches(data, limit_bytes=1 << 19)
    with pytest.raises(CorruptBatch) as caught:
        batch.records()
    assert caught.value.code == 10


def test_a_batch_outlives_the_bytes_it_was_read_from() -> None:
    batches = list(iter_batches(bytearray(encode_batch([(b"a", b"1")]))))
    gc.collect()
    assert batches[0].records()[0].value == b"1"


def test_an_empty_batch_cannot_be_encoded() -> None:
    with pytest.raises(ValueError, match="needs a record"):
        encode_batch([])
    with pytest.raises(ValueError, match="codec 5"):
        encode_batch([(b"a", b"b")], codec=5)
    with pytest.raises(TypeError):
        encode_batch([("text", b"b")])  # type: ignore[list-item]


nullable = st.none() | st.binary(max_size=200)
headers = st.lists(st.tuples(st.text(max_size=5), nullable), max_size=3).map(tuple)
record_tuples = st.tuples(nullable, nullable, st.integers(-(2**40), 2**41), headers)


@given(st.lists(record_tuples, min_size=1, max_size=50), st.integers(0, 4))
def test_any_records_round_trip(
    records: list[tuple[bytes | None, bytes | None, int, tuple[tuple[str, bytes | None], ...]]],
    codec: int,
) -> None:
    batch = one_batch(encode_batch(records, codec=codec))
    assert [(r.key, r.value, r.timestamp, r.headers) for r in batch.records()] == records
    assert batch.max_timestamp == max(r[2] for r in records)


@given(st.binary(max_size=300), st.integers(0, 80))
def test_random_bytes_never_do_more_than_raise(noise: bytes, position: int) -> None:
    data = bytearray(encode_batch([(b"key", b"value" * 10, 5, [("h", b"v")])] * 3))
    data[position : position + len(noise)] = noise
    try:
        for batch in iter_batches(bytes(data)):
            batch.records()
    except CorruptBatch:
        pass
