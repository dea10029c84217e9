"""Batches of 16 KiB between bytes and Python: encoding, records, numpy columns."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from barnabas._records import CODEC_NAMES, Batch, encode_batch, iter_batches

from .records import RecordPair, records_of

CODECS = pytest.mark.parametrize("codec", CODEC_NAMES)
SIZES = pytest.mark.parametrize("value_bytes", [100, 1000], ids="{}_B".format)


def first_batch(data: bytes) -> Batch:
    return next(iter_batches(data))


def encoded(records: list[RecordPair], codec: str = "none") -> bytes:
    return encode_batch(records, codec=CODEC_NAMES.index(codec))


@CODECS
@SIZES
def test_encode(benchmark: BenchmarkFixture, codec: str, value_bytes: int) -> None:
    data = benchmark(encoded, records_of(value_bytes), codec)
    assert first_batch(data).codec_name == codec


@CODECS
@SIZES
def test_decode_to_records(benchmark: BenchmarkFixture, codec: str, value_bytes: int) -> None:
    records = records_of(value_bytes)
    data = encoded(records, codec)
    assert len(benchmark(lambda: first_batch(data).records())) == len(records)


@SIZES
def test_decode_to_values(benchmark: BenchmarkFixture, value_bytes: int) -> None:
    records = records_of(value_bytes)
    data = encoded(records)
    assert benchmark(lambda: first_batch(data).values) == [value for _, value in records]


@SIZES
def test_decode_to_columns(benchmark: BenchmarkFixture, value_bytes: int) -> None:
    """Offsets and timestamps as numpy arrays."""
    records = records_of(value_bytes)
    data = encoded(records)

    def columns() -> int:
        batch = first_batch(data)
        return len(batch.offsets) + len(batch.timestamps)

    assert benchmark(columns) == 2 * len(records)


def test_crc(benchmark: BenchmarkFixture) -> None:
    data = encoded(records_of(100))
    assert benchmark(lambda: first_batch(data).crc_valid())
