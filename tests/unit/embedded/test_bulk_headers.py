"""Producer.send_many's headers: of every record, each record's own, and Arrow's."""

from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import barnabas

PAIRS = (("trace", b"1"), ("none", None), ("trace", b"\xff"))
EACH = [PAIRS, (), (("b", b"x" * 20),)]
HEADER = pa.struct([("key", pa.string()), ("value", pa.binary())])


def read(broker: barnabas.Broker, topic: str) -> list[Any]:
    batches = broker.consumer([topic], auto_offset_reset="earliest", timeout=0)
    return [headers for batch in batches for headers in batch.headers]


def arrow(kind: pa.DataType) -> pa.Array:
    return pa.array([[{"key": k, "value": v} for k, v in pairs] for pairs in EACH], kind)


OF_ALL: dict[str, Any] = {
    "pairs": PAIRS,
    "list of pairs": list(PAIRS),
    "iterator": iter(PAIRS),
}


@pytest.mark.parametrize("headers", OF_ALL.values(), ids=OF_ALL)
def test_the_same_of_every_record(broker: barnabas.Broker, topic: str, headers: Any) -> None:
    broker.producer().send_many(topic, [b"a", b"b", b"c"], headers=headers).result(5)
    assert read(broker, topic) == [PAIRS] * 3


def test_a_mapping_is_of_every_record(broker: barnabas.Broker, topic: str) -> None:
    broker.producer().send_many(topic, ["a", "b"], headers={"é": "ü", "n": None}).result(5)
    assert read(broker, topic) == [(("é", "ü".encode()), ("n", None))] * 2


OF_EACH: dict[str, Any] = {
    "tuples": EACH,
    "lists": [list(pairs) for pairs in EACH],
    "iterator": iter(EACH),
    "None for none": [PAIRS, None, EACH[2]],
    "mappings among them": [PAIRS, {}, dict(EACH[2])],
    "arrow lists": arrow(pa.list_(HEADER)),
    "arrow large lists": arrow(pa.large_list(HEADER)),
    "arrow slice": pa.concat_arrays([arrow(pa.list_(HEADER))] * 3).slice(3, 3),
    "arrow null": pa.array(
        [[{"key": k, "value": v} for k, v in PAIRS], None, [{"key": "b", "value": b"x" * 20}]],
        pa.list_(HEADER),
    ),
    "arrow chunks": pa.chunked_array([arrow(pa.list_(HEADER))[:2], arrow(pa.list_(HEADER))[2:]]),
    "polars": pl.Series(arrow(pa.large_list(HEADER))),
}


@pytest.mark.parametrize("headers", OF_EACH.values(), ids=OF_EACH)
def test_each_record_has_its_own(broker: barnabas.Broker, topic: str, headers: Any) -> None:
    broker.producer().send_many(topic, [b"a", b"b", b"c"], headers=headers).result(5)
    assert read(broker, topic) == EACH


@pytest.mark.parametrize("binary", ["view", "plain"])
def test_headers_that_were_read_can_be_sent_again(
    broker: barnabas.Broker, topic: str, binary: str
) -> None:
    producer = broker.producer()
    producer.send_many(topic, [b"a", b"b", b"c"], headers=EACH).result(5)
    (batch,) = broker.consumer([topic], auto_offset_reset="earliest", timeout=0)
    table = batch.to_arrow(binary=binary)
    producer.send_many(topic, table).result(5)
    producer.send_many(topic, table.slice(1)).result(5)
    producer.send_many(topic, pa.Table.from_batches([table, table])).result(5)
    assert read(broker, topic) == [*EACH, *EACH, *EACH[1:], *EACH, *EACH]


def test_without_headers_there_are_none(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer()
    producer.send_many(topic, [b"a"], headers=[]).result(5)
    producer.send_many(topic, [b"b"], headers={}).result(5)
    (batch,) = broker.consumer([topic], auto_offset_reset="earliest", timeout=0)
    producer.send_many(topic, batch.to_arrow()).result(5)
    assert read(broker, topic) == [()] * 4


def test_headers_count_for_the_size_of_a_batch(broker: barnabas.Broker, topic: str) -> None:
    headers = {"big": b"x" * 50_000}
    sent = broker.producer(batch_size=120_000).send_many(topic, [b"v"] * 50, headers=headers)
    assert sent.result(5) == [(0, 0, 50)]
    assert read(broker, topic) == [(("big", b"x" * 50_000),)] * 50


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "too few": ([PAIRS], ValueError, "2 values, and headers of 1"),
    "a name of bytes": (
        [[(b"n", b"v")]] * 2,
        TypeError,
        "each of headers must be a pair of a str and",
    ),
    "a value of int": ({"n": 1}, TypeError, "a header's value must be bytes, str or None, not 1"),
    "a pair of one": ([("a",)], TypeError, r"each of headers must be a pair .*, not \('a',\) \(tu"),
    "no sequence": (5, TypeError, r"headers must be pairs of .*, not 5 \(int\)"),
    "no sequence of a record": ([5, 5], TypeError, r"headers must be pairs of .*, not 5 \(int\)"),
    "arrow strings": (pa.array(["a", "b"]), TypeError, "lists of structs of a name and a value"),
    "arrow without a name": (
        pa.array([[{"key": None, "value": b"v"}], []], pa.list_(HEADER)),
        ValueError,
        "a header has no name",
    ),
    "arrow offsets fall": (
        pa.Array.from_buffers(
            pa.list_(HEADER),
            2,
            [None, pa.array([1, 0, 1], pa.int32()).buffers()[1]],
            children=[pa.array([{"key": "k", "value": b"v"}], HEADER)],
        ),
        ValueError,
        "below the one before it",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_are_no_headers_is_refused_before_anything_is_written(
    broker: barnabas.Broker, topic: str, case: tuple[Any, type[Exception], str]
) -> None:
    headers, error, text = case
    with pytest.raises(error, match=text):
        broker.producer().send_many(topic, [b"a", b"b"], headers=headers)
    assert read(broker, topic) == []


def test_what_was_read_is_sent_as_pandas_has_it(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer()
    sent = producer.send_many(topic, [b"a", None, b"c"], headers=EACH, timestamps=[5, 6, 7])
    sent.result(5)
    for binary in ("view", "plain"):
        frame = barnabas.scan(broker.data_dir, topic, binary=binary).read_all().to_pandas()[:3]
        columns = {"headers": frame["headers"], "timestamps": frame["timestamp"]}
        producer.send_many(topic, frame["value"], frame["key"], **columns).result(5)
    batches = list(broker.consumer([topic], auto_offset_reset="earliest", timeout=0))
    records = [record for batch in batches for record in batch]
    assert [(each.timestamp, each.value) for each in records] == [
        (5, b"a"),
        (6, None),
        (7, b"c"),
    ] * 3
    assert [each.headers for each in records] == EACH * 3


def test_pandas_columns_of_pairs_and_of_none(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer()
    producer.send_many(topic, [b"a", b"b", b"c"], headers=pd.Series(EACH)).result(5)
    producer.send_many(topic, [b"a", b"b"], headers=pd.Series([[], None])).result(5)
    assert read(broker, topic) == [*EACH, (), ()]
    with pytest.raises(TypeError):
        producer.send_many(topic, [b"a"], headers=pd.Series([[{"key": 5, "value": b""}]]))
    for wrong in (pd.Series([pd.NaT]), pd.Series(["x"]), pd.Series([None])):
        with pytest.raises(TypeError):
            producer.send_many(topic, [b"a"], timestamps=wrong)


@pytest.mark.parametrize("kind", [pa.list_(HEADER), pa.large_list(HEADER)], ids=str)
def test_no_headers_of_two_values_are_refused(
    broker: barnabas.Broker, topic: str, kind: pa.DataType
) -> None:
    producer = broker.producer()
    for wrong in (pa.array([], kind), pa.chunked_array([], kind), pl.Series(pa.array([], kind))):
        with pytest.raises(ValueError, match="2 values, and headers of 0"):
            producer.send_many(topic, [b"a", b"b"], headers=wrong)
    producer.send_many(topic, [], headers=pa.array([], kind)).result(5)
    producer.send_many(topic, [b"a", b"b"], headers=[]).result(5)
    assert read(broker, topic) == [(), ()]


def test_a_text_is_no_pair(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer()
    with pytest.raises(TypeError, match=r"each of headers must be a pair of .*, not 'ab'"):
        producer.send(topic, b"v", headers=["ab"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"each of headers must be a pair of .*, not 'ab'"):
        producer.send_many(topic, [b"v"], headers=[["ab"]])
    producer.flush()
    assert read(broker, topic) == []
