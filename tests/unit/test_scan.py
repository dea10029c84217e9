"""barnabas.scan: a topic as a table, from files and from a cluster."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import barnabas
from barnabas.testing.faults import Fault

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
    both = {0: 998, 1: 998}
    assert rows(barnabas.scan(source, "t", start=both, partitions=[0])) == expected(998, 1000, (0,))


@pytest.mark.parametrize("before_ms", [1, 10**12])
def test_a_time_before_1970_is_before_all_records(source: str, before_ms: int) -> None:
    time = datetime(1970, 1, 1, tzinfo=UTC) - timedelta(milliseconds=before_ms)
    assert rows(barnabas.scan(source, "t", start=time, end=3)) == expected(0, 3)
    assert rows(barnabas.scan(source, "t", end=time)) == []


def test_numpys_ints_are_bounds(source: str) -> None:
    start: Any = np.int64(5)
    end: Any = {0: np.int32(7), 1: 6}
    found = barnabas.scan(source, "t", start=start, end=end)
    assert rows(found) == [*expected(5, 7, (0,)), *expected(5, 6, (1,))]


@pytest.mark.parametrize("binary", ["plain", "view"])
def test_bounds_within_what_is_read_at_once(source: str, binary: str) -> None:
    found = barnabas.scan(source, "t", start=17, end=42, binary=binary)
    assert rows(found) == expected(17, 42)
    time = START + timedelta(minutes=60)
    found = barnabas.scan(source, "t", start=time, end=65, partitions=[1], binary=binary)
    assert rows(found) == expected(60, 65, (1,))


@pytest.mark.parametrize("binary", ["plain", "view"])
def test_records_that_come_late_are_left_out(tmp_path: Path, binary: str) -> None:
    with barnabas.Broker(tmp_path) as broker:
        broker.create_topic("t")
        headers = [[("h", b"%d" % stamp)] for stamp in range(6)]
        values = [b"%d" % i for i in range(6)]
        producer = broker.producer()
        producer.send_many("t", values, headers=headers, timestamps=[1, 9, 3, 8, 2, 7]).result(20)
        time = datetime.fromtimestamp(0.005, UTC)
        table = barnabas.scan(tmp_path, "t", start=time, binary=binary).read_all()
    assert table.column("offset").to_pylist() == [1, 3, 5]
    assert table.column("value").to_pylist() == [b"1", b"3", b"5"]
    assert table.column("headers").to_pylist() == [
        [{"key": b"h", "value": b"%d" % stamp}] for stamp in (1, 3, 5)
    ]


def test_files_are_scanned_while_their_broker_takes_them_away(tmp_path: Path) -> None:
    config: dict[str, Any] = {"log.retention.check.interval.ms": 20, "log.cleaner.backoff.ms": 20}
    config |= {"log.initial.task.delay.ms": 0}
    topic_config: dict[str, Any] = {
        "internal.segment.bytes": 4096,
        "cleanup.policy": "compact,delete",
        "retention.bytes": 40_000,
        "min.cleanable.dirty.ratio": 0.01,
        "file.delete.delay.ms": 0,
    }
    with barnabas.Broker(tmp_path, config=config) as broker:
        broker.create_topic("t", config=topic_config)
        producer, number, scans = broker.producer(batch_size=500), 0, 0
        while scans < 60:
            numbers = range(number, number + 500)
            keys = [b"%d" % (i % 300) for i in numbers]
            producer.send_many("t", [b"%d" % i for i in numbers], keys).result(20)
            number += 500
            found = rows(barnabas.scan(tmp_path, "t"))
            assert [offset for _, offset, _ in found] == sorted({o for _, o, _ in found})
            assert all(value == b"%d" % offset for _, offset, value in found)
            assert found[-1][1] >= number - 500, "the active segment is not taken away"
            scans += 1


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


@pytest.fixture
def between_damage(broker: barnabas.Broker) -> Iterator[barnabas.Broker]:
    """The first and the last segment of t-0 cannot be read, up to about 100 and from about 900."""
    segments = sorted((broker.data_dir / "t-0").glob("*.log"))
    assert len(segments) > 3
    originals = {segment: segment.read_bytes() for segment in (segments[0], segments[-1])}
    for segment, original in originals.items():
        damaged = bytearray(original)
        damaged[100] ^= 0xFF
        segment.write_bytes(damaged)
    try:
        yield broker
    finally:
        for segment, original in originals.items():
            segment.write_bytes(original)


def test_only_what_is_asked_for_is_read(between_damage: barnabas.Broker) -> None:
    data_dir = between_damage.data_dir
    begin, end = START + timedelta(minutes=400), START + timedelta(minutes=500)
    for bounds in ((400, 500), (begin, end), (400, end), (begin, 500)):
        found = barnabas.scan(data_dir, "t", start=bounds[0], end=bounds[1], partitions=[0])
        assert rows(found) == expected(400, 500, (0,))
    for start, last in ((None, 500), (400, None)):
        with pytest.raises(barnabas.CorruptBatch, match="CRC"):
            rows(barnabas.scan(data_dir, "t", start=start, end=last, partitions=[0]))


def test_what_is_not_there_is_said(source: str, tmp_path: Path) -> None:
    """At once, not when it is read."""
    with pytest.raises(FileNotFoundError, match="topic nothing"):
        barnabas.scan(source, "nothing")
    for partitions in ([7], [0, 7]):
        with pytest.raises(FileNotFoundError, match=r"no partition 7 of topic t$"):
            barnabas.scan(source, "t", partitions=partitions)
    nowhere: list[dict[str, Any]] = [
        {"start": {9: 5}},
        {"end": {0: 5, 9: 5}},
        {"start": {9: 5}, "partitions": [0]},
    ]
    for bounds in nowhere:
        with pytest.raises(FileNotFoundError, match=r"no partition 9 of topic t$"):
            barnabas.scan(source, "t", **bounds)
    with pytest.raises(FileNotFoundError, match="none of the partitions"):
        barnabas.scan(source, "t", partitions=[])
    with pytest.raises(FileNotFoundError):
        barnabas.scan(tmp_path / "nowhere", "t")
    with pytest.raises(ValueError, match="a bound 2026-01-01 00:00:00 has no time zone"):
        barnabas.scan(source, "t", start=datetime(2026, 1, 1))
    for bound in ("yesterday", {0: "yesterday"}, {"0": 5}, 1.5, True, {0: False}):
        with pytest.raises(ValueError, match="a bound is an offset"):
            barnabas.scan(source, "t", start=bound)  # type: ignore[arg-type]


def test_a_cluster_that_is_not_there_is_an_error_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    from barnabas.query import cluster

    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 0.5)
    begin = time.monotonic()
    with pytest.raises(ConnectionError, match=r"^127\.0\.0\.1:1: no broker .*: Connect.* refused$"):
        barnabas.scan("127.0.0.1:1", "t")
    assert time.monotonic() - begin < 10


def test_a_cluster_that_is_about_to_start_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    brokers: list[barnabas.Broker] = []
    late = threading.Timer(0.5, lambda: brokers.append(barnabas.Broker(port=port)))
    late.start()
    try:
        with pytest.raises(FileNotFoundError, match="has no topic t"):
            barnabas.scan(f"127.0.0.1:{port}", "t")
    finally:
        late.join()
        for broker in brokers:
            broker.close()


def test_what_may_have_been_meant_is_said(broker: barnabas.Broker) -> None:
    for source, topic, hint in (
        (
            broker.data_dir / "t-0",
            "t",
            f"partition itself, of the data directory {broker.data_dir}",
        ),
        (broker.data_dir, "T", "has no partition of topic T: did you mean t?"),
    ):
        with pytest.raises(FileNotFoundError) as refused:
            barnabas.scan(source, topic)
        assert hint in str(refused.value)


@pytest.mark.parametrize(
    ("missing", "source", "hint"),
    [
        ("pyarrow", ".", "pip install 'barnabas[arrow]'"),
        ("confluent_kafka", "127.0.0.1:1", "pip install 'barnabas[cli]'"),
    ],
)
def test_what_is_not_installed_is_said(missing: str, source: str, hint: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"import barnabas; barnabas.scan({source!r}, 't')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert hint in done.stderr.splitlines()[-1]


def test_times_are_those_of_the_records(tmp_path: Path) -> None:
    """A producer may send them in any order, and start and end fall between two milliseconds."""
    stamps = [1000, 5000, 2000, 6000, 3000, 7000, 2500]

    def at(ms: float) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)

    with barnabas.Broker(tmp_path / "data") as broker:
        broker.create_topic("t")
        broker.producer().send_many("t", [b"x"] * 7, timestamps=stamps).result(20)
        for source in (str(broker.data_dir), broker.bootstrap_servers):

            def offsets(source: str = source, **bounds: Any) -> list[int]:
                return [offset for _, offset, _ in rows(barnabas.scan(source, "t", **bounds))]

            assert offsets(start=at(5000)) == [1, 3, 5]
            assert offsets(start=at(5000.5)) == [3, 5]
            assert offsets(start=np.datetime64(5_000_500_000, "ns")) == [3, 5]
            assert offsets(end=at(5000)) == [0]
            assert offsets(end=at(5000.5)) == [0, 1, 2]
            assert offsets(start=at(2000), end=at(6000)) == [1, 2]


def test_a_scan_of_a_cluster_ends_behind_what_is_not_to_be_seen(broker: barnabas.Broker) -> None:
    producer = broker.producer(transactional_id="x")
    with producer.transaction():
        producer.send("tail", b"kept", partition=0)
    aborted = producer.transaction()
    producer.send("tail", b"aborted", partition=0)
    aborted.abort()
    open_ = producer.transaction()
    producer.send("tail", b"open", partition=0).result(20)
    try:
        assert rows(barnabas.scan(broker.bootstrap_servers, "tail")) == [(0, 0, b"kept")]
    finally:
        open_.abort()


def test_a_broker_that_goes_away_is_an_error() -> None:
    with barnabas.Broker() as broker:
        broker.producer().send("t", b"x").result(20)
        fault = broker.faults.drop("Fetch")
        closing = threading.Thread(target=wait_and_close, args=(broker, fault))
        closing.start()
        begin = time.monotonic()
        with pytest.raises(ConnectionError, match=r"127\.0\.0\.1.* down"):
            barnabas.scan(broker.bootstrap_servers, "t").read_all()
        assert time.monotonic() - begin < 20
        closing.join()


def wait_and_close(broker: barnabas.Broker, fault: Fault) -> None:
    while fault.struck == 0:
        time.sleep(0.01)
    broker.close()


def test_a_broker_that_goes_silent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from barnabas.query import cluster

    monkeypatch.setattr(cluster, "TIMEOUT_S", 2.0)
    with barnabas.Broker() as broker:
        broker.producer().send("t", b"x").result(20)
        with broker.faults.drop("Fetch"), pytest.raises(ConnectionError, match="no records for"):
            barnabas.scan(broker.bootstrap_servers, "t").read_all()


def test_all_log_directories_are_asked_for(tmp_path: Path) -> None:
    directories = [tmp_path / "one", tmp_path / "two"]
    config = {"log.dirs": ",".join(map(str, directories))}
    with barnabas.Broker(config=config) as broker:
        broker.create_topic("t", partitions=3)
        for partition in range(3):
            broker.producer().send("t", b"%d" % partition, partition=partition).result(20)
        for source in (directories[0], [directories[0]]):
            with pytest.raises(FileNotFoundError, match=r"log\.dirs"):
                barnabas.scan(source, "t")
        expected_rows = [(partition, 0, b"%d" % partition) for partition in range(3)]
        assert rows(barnabas.scan(directories, "t")) == expected_rows
        here = [n for n in range(3) if (directories[0] / f"t-{n}").exists()]
        assert 0 < len(here) < 3
        found = rows(barnabas.scan(directories[0], "t", partitions=here))
        assert [row[0] for row in found] == here
    assert rows(barnabas.scan(directories, "t")) == expected_rows
