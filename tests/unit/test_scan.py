"""barnabas.scan: a topic as a table, from files and from a cluster."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import barnabas

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def broker() -> Iterator[barnabas.Broker]:
    """A topic of two partitions, 1,000 records each, a record a minute."""
    with barnabas.Broker() as broker:
        broker.create_topic("t", partitions=2, config={"internal.segment.bytes": 4096})
        producer = broker.producer(batch_size=500)
        stamps = [int((START + timedelta(minutes=i)).timestamp() * 1000) for i in range(1000)]
        for partition in range(2):
            values = [b"%d" % number for number in range(1000)]
            keys = [b"odd" if number % 2 else None for number in range(1000)]
            sent = producer.send_many("t", values, keys, timestamps=stamps, partition=partition)
            sent.result(20)
        yield broker


@pytest.fixture(params=["files", "cluster"])
def source(request: pytest.FixtureRequest, broker: barnabas.Broker) -> str:
    return str(broker.data_dir) if request.param == "files" else broker.bootstrap_servers


def rows(reader: pa.RecordBatchReader) -> list[tuple[int, int, bytes]]:
    table = reader.read_all()
    columns = [table.column(name).to_pylist() for name in ("partition", "offset", "value")]
    return list(zip(*columns, strict=True))


def expected(first: int, last: int, partitions: tuple[int, ...] = (0, 1)) -> list[Any]:
    return [(p, number, b"%d" % number) for p in partitions for number in range(first, last)]


def test_everything(source: str) -> None:
    assert rows(barnabas.scan(source, "t")) == expected(0, 1000)


def test_bounds(source: str) -> None:
    assert rows(barnabas.scan(source, "t", start=990)) == expected(990, 1000)
    assert rows(barnabas.scan(source, "t", end=3)) == expected(0, 3)
    assert rows(barnabas.scan(source, "t", start=17, end=42)) == expected(17, 42)
    assert rows(barnabas.scan(source, "t", start={1: 998}, partitions=[1])) == expected(
        998, 1000, (1,)
    )
    hour = START + timedelta(hours=1)
    found = rows(barnabas.scan(source, "t", start=hour, end=hour + timedelta(minutes=5)))
    assert found == expected(60, 65)
    assert rows(barnabas.scan(source, "t", start=START + timedelta(days=30))) == []
    assert rows(barnabas.scan(source, "t", start=2000)) == []


def test_duckdb_queries_a_topic(source: str) -> None:
    reader = barnabas.scan(source, "t")
    query = """
        SELECT partition, count(*), count(key), max("offset"), max(timestamp), min(value::VARCHAR)
        FROM reader GROUP BY partition ORDER BY partition
    """
    assert reader is not None  # DuckDB finds it by its name
    relation = duckdb.sql(query)
    assert relation is not None
    found = relation.fetchall()
    last = START + timedelta(minutes=999)
    assert [row[:4] for row in found] == [(0, 1000, 500, 999), (1, 1000, 500, 999)]
    assert {row[4].astimezone(UTC) for row in found} == {last}
    assert {row[5] for row in found} == {"0"}


def test_only_what_is_asked_for_is_read(broker: barnabas.Broker) -> None:
    """A damaged record in the first segment is nothing to a scan of the last ones."""
    segments = sorted((broker.data_dir / "t-0").glob("*.log"))
    assert len(segments) > 3
    original = segments[0].read_bytes()
    damaged = bytearray(original)
    damaged[100] ^= 0xFF
    segments[0].write_bytes(damaged)
    try:
        assert rows(barnabas.scan(broker.data_dir, "t", start=900)) == expected(900, 1000)
        with pytest.raises(barnabas.CorruptBatch, match="CRC"):
            rows(barnabas.scan(broker.data_dir, "t"))
    finally:
        segments[0].write_bytes(original)


def test_what_is_not_there_is_said(source: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="topic nothing"):
        rows(barnabas.scan(source, "nothing"))
    with pytest.raises(FileNotFoundError):
        barnabas.scan(tmp_path / "nowhere", "t")
    with pytest.raises(ValueError, match="no time zone"):
        barnabas.scan(source, "t", start=datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="a bound is an offset"):
        rows(barnabas.scan(source, "t", start="yesterday"))  # type: ignore[arg-type]
