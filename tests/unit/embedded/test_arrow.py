"""Records as Arrow: what the columns hold, whose memory they share, and who can use them."""

import gc
import sys
import threading
from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pytest

import barnabas
from barnabas.embedded.batch import ConsumedBatch

LONG = b"longer than a view holds"


@pytest.fixture(scope="module")
def batch() -> Iterator[ConsumedBatch]:
    with barnabas.Broker() as broker:
        broker.create_topic("t")
        producer = broker.producer()
        producer.send("t", LONG, key=b"k", headers={"h": LONG, "n": None}, timestamp=5)
        producer.send("t", None, timestamp=6)
        producer.send("t", b"short", headers=[("again", b"1")], timestamp=7)
        producer.flush()
        (batch,) = broker.consumer(["t"], auto_offset_reset="earliest", timeout=0)
        yield batch


@pytest.mark.parametrize("binary", ["view", "plain"])
def test_every_column(batch: ConsumedBatch, binary: str) -> None:
    table = batch.to_arrow(binary=binary)
    table.validate(full=True)
    assert table.schema.metadata == {b"topic": b"t"}
    assert table.column("partition").to_pylist() == [0, 0, 0]
    assert table.column("offset").to_pylist() == [0, 1, 2]
    assert table.column("timestamp").cast(pa.int64()).to_pylist() == [5, 6, 7]
    assert table.column("key").to_pylist() == [b"k", None, None]
    assert table.column("value").to_pylist() == [LONG, None, b"short"]
    assert table.column("headers").to_pylist() == [
        [{"key": b"h", "value": LONG}, {"key": b"n", "value": None}],
        [],
        [{"key": b"again", "value": b"1"}],
    ]
    kind = pa.binary_view() if binary == "view" else pa.binary()
    assert table.schema.field("value").type == kind


def test_views_share_the_memory_of_the_records(batch: ConsumedBatch) -> None:
    before = pa.total_allocated_bytes()
    table = batch.to_arrow()
    data = table.column("value").buffers()[2]
    assert LONG in data.to_pybytes()
    assert data.address == batch.to_arrow().column("value").buffers()[2].address
    assert pa.total_allocated_bytes() - before < 4096


def test_arrow_keeps_what_it_needs(batch: ConsumedBatch) -> None:
    values = batch.to_arrow().column("value")
    del batch
    gc.collect()
    assert values.to_pylist() == [LONG, None, b"short"]


def test_polars_takes_it(batch: ConsumedBatch) -> None:
    frame = pl.from_arrow(batch.to_arrow())
    assert isinstance(frame, pl.DataFrame)
    assert frame["value"].to_list() == [LONG, None, b"short"]


def test_pandas_takes_it(batch: ConsumedBatch) -> None:
    frame = batch.to_arrow(binary="plain").to_pandas()
    assert frame["value"].tolist() == [LONG, None, b"short"]


def test_records_of_one_kind_on_a_partition_of_their_own() -> None:
    with barnabas.Broker() as broker:
        broker.create_topic("t", partitions=3)
        values = [b"%03d" % number for number in range(500)]
        broker.producer().send_many("t", values, partition=2).result()
        (batch,) = broker.consumer(["t"], auto_offset_reset="earliest", timeout=0)
        table = batch.to_arrow()
        table.validate(full=True)
        assert table.column("partition").to_pylist() == [2] * 500
        assert table.column("offset").to_pylist() == list(range(500))
        assert table.column("key").null_count == 500
        assert table.column("value").to_pylist() == values
        assert table.column("headers").to_pylist() == [[]] * 500


def _references(batch: ConsumedBatch) -> int:
    # Of a function's own: what a test asserts of is held by pytest, too.
    return sys.getrefcount(batch.columns)


def test_the_last_of_it_may_go_on_another_thread(batch: ConsumedBatch) -> None:
    before = _references(batch)
    held = [batch.to_arrow(), batch.to_arrow().column("value")]
    assert _references(batch) == before + 2
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert _references(batch) == before


def test_what_was_not_taken_is_let_go(batch: ConsumedBatch) -> None:
    before = _references(batch)
    with pytest.raises(ZeroDivisionError):
        batch.columns.lend_arrow(0, lambda _: 1 / 0)
    assert _references(batch) == before


def test_a_kind_that_is_none_is_named(batch: ConsumedBatch) -> None:
    with pytest.raises(ValueError, match="'utf8' is not one of view, plain"):
        batch.to_arrow(binary="utf8")
