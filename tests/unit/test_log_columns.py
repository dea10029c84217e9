"""Log.append_many: columns of records into batches of a bare log."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from barnabas._core import CoreError
from barnabas._records import Record
from barnabas.log import Log

TOO_LARGE = 10
MANY = 10_000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log(tmp_path / "orders-0") as log:
        yield log


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_columns_are_read_back(log: Log, codec: str) -> None:
    log.append([(None, b"before")], timestamp_ms=1)
    appended = log.append_many(
        np.array([b"one", b"two", b"three"]),
        ["a", None, b"c"],
        headers=[[("h", b"1")], None, {"h": None}],
        timestamps=np.array([5, 6, 7]),
        codec=codec,
    )
    assert appended == range(1, 4)
    assert list(log)[1:] == [
        Record(1, 5, b"a", b"one", (("h", b"1"),)),
        Record(2, 6, None, b"two"),
        Record(3, 7, b"c", b"three", (("h", None),)),
    ]
    assert [batch.codec_name for batch in log.batches()] == ["none", codec]


def test_a_record_batch_is_all_columns_at_once(log: Log) -> None:
    log.append_many(pa.record_batch({"value": [b"v", None], "key": ["k", "l"]}), timestamp_ms=9)
    assert list(log) == [Record(0, 9, b"k", b"v"), Record(1, 9, b"l", None)]


def test_many_go_into_batches_of_a_size(log: Log) -> None:
    values = [b"%099d" % i for i in range(MANY)]
    assert log.append_many(values, batch_size=64 << 10) == range(MANY)
    assert [record.value for record in log] == values
    sizes = [batch.size_bytes for batch in log.batches()]
    assert all(60_000 < size <= 64 << 10 for size in sizes[:-1])


def test_a_batch_is_no_larger_than_the_log_takes(tmp_path: Path) -> None:
    with Log(tmp_path / "orders-0", config={"max.message.bytes": 1000}) as log:
        log.append_many([bytes(100)] * 50)
        assert log.end_offset == 50
        assert all(batch.size_bytes <= 1000 for batch in log.batches())
        with pytest.raises(CoreError, match="configured value of 1000") as caught:
            log.append_many([b"small", bytes(2000), b"never"])
        assert caught.value.code == TOO_LARGE
        assert log.end_offset == 51, "what was in the batch before is in the log"


@pytest.mark.parametrize("empty", [[], np.array([], dtype="S5"), pa.array([], pa.binary())])
def test_nothing_is_no_offsets(log: Log, empty: Any) -> None:
    log.append([(None, b"before")])
    assert log.append_many(empty) == range(1, 1)
    assert log.end_offset == 1


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"values": [1]}, TypeError, r"values\[0\] must be bytes, str or None, not 1 \(int\)"),
        ({"values": b"one"}, TypeError, "values must be a sequence of bytes"),
        ({"values": ["a"], "keys": []}, ValueError, "1 values, and 0 keys"),
        ({"values": ["a"], "timestamps": np.array([1, 2])}, ValueError, "2 timestamps"),
        ({"values": ["a"], "headers": [None, None]}, ValueError, "headers of 2"),
        ({"values": ["a"], "codec": "brotli"}, ValueError, "brotli"),
        ({"values": ["a"], "batch_size": -1}, ValueError, "below zero"),
    ],
)
def test_what_are_no_columns_is_refused_before_anything_is_written(
    log: Log, arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        log.append_many(**arguments)
    assert log.end_offset == 0


def test_a_closed_log_and_one_to_be_read_take_none(tmp_path: Path) -> None:
    path = tmp_path / "orders-0"
    with Log(path) as log:
        log.append_many(["a"])
    with pytest.raises(ValueError, match="closed"):
        log.append_many(["b"])
    with Log(path, read_only=True) as reader, pytest.raises(ValueError, match="read-only"):
        reader.append_many(["b"])


def test_readers_in_other_threads_see_whole_batches_in_order(log: Log) -> None:
    failures: list[str] = []
    written = threading.Event()

    def read() -> None:
        seen = 0
        while seen < MANY:
            is_last = written.is_set()
            for record in log.records(seen):
                if record.value != b"%d" % seen or record.offset != seen:
                    failures.append(f"{record} at {seen}")
                seen += 1
            if is_last and seen < MANY:
                failures.append(f"the log ends at {seen}")
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    values = [b"%d" % i for i in range(MANY)]
    for begin in range(0, MANY, 100):
        log.append_many(values[begin : begin + 100], batch_size=500)
    written.set()
    for reader in readers:
        reader.join()
    assert failures == []
