"""barnabas.Log: what an append, a read and a look-up cost from Python."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from barnabas._records import encode_batch
from barnabas.log import Log

from .records import records_of

FILLED_BATCHES = 1000
START_MS = 1_700_000_000_000
SIZES = pytest.mark.parametrize("value_bytes", [100, 1000], ids="{}_B".format)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    path = tmp_path / "bench-0"
    with Log(path) as opened:
        yield opened
    shutil.rmtree(path)  # a benchmark fills it, and pytest would keep it


@pytest.fixture
def filled(log: Log) -> Log:
    """Batches of 16 KiB, a second apart."""
    records = records_of(1000)
    for number in range(FILLED_BATCHES):
        log.append_batch(encode_batch(records, timestamp_ms=START_MS + 1000 * number))
    return log


@SIZES
def test_append_records(benchmark: BenchmarkFixture, log: Log, value_bytes: int) -> None:
    """A batch of 16 KiB, encoded and appended."""
    benchmark(log.append, records_of(value_bytes), timestamp_ms=START_MS)


def test_append_one_record(benchmark: BenchmarkFixture, log: Log) -> None:
    benchmark(log.append, records_of(100)[:1], timestamp_ms=START_MS)


@SIZES
def test_append_batch(benchmark: BenchmarkFixture, log: Log, value_bytes: int) -> None:
    """A batch of 16 KiB that is encoded already."""
    benchmark(log.append_batch, encode_batch(records_of(value_bytes), timestamp_ms=START_MS))


def test_read_a_mebibyte(benchmark: BenchmarkFixture, filled: Log) -> None:
    assert len(benchmark(filled.read, filled.end_offset // 2)) > 60


def test_read_every_record(benchmark: BenchmarkFixture, log: Log) -> None:
    """64 batches of 16 KiB, with their CRC."""
    for _ in range(64):
        log.append(records_of(100))
    assert benchmark(lambda: sum(1 for _ in log)) == log.end_offset


def test_offset_for_timestamp(benchmark: BenchmarkFixture, filled: Log) -> None:
    middle = FILLED_BATCHES // 2
    offset = benchmark(filled.offset_for_timestamp, START_MS + 1000 * middle)
    assert offset == middle * len(records_of(1000))
