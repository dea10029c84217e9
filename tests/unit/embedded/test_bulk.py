"""Producer.send_many: every kind of column that it takes, and what it refuses."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import confluent_kafka
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.errors import KafkaError

WORDS = ["", "a", "twelve bytes", "thirteen byte", "a rather longer text" * 5]
AS_BYTES = [word.encode() for word in WORDS]


def read(broker: barnabas.Broker, topic: str) -> tuple[list[bytes | None], list[bytes | None]]:
    """Values and keys."""
    values: list[bytes | None] = []
    keys: list[bytes | None] = []
    for batch in broker.consumer([topic], auto_offset_reset="earliest", timeout=0):
        values += batch.values
        keys += batch.keys
    return values, keys


def offsets_and_data(offset_type: type) -> tuple[Any, bytes]:
    ends: Any = np.cumsum([0, *map(len, AS_BYTES)]).astype(offset_type)
    return ends, b"".join(AS_BYTES)


COLUMNS: dict[str, Any] = {
    "list of bytes": AS_BYTES,
    "list of str": WORDS,
    "iterator": iter(AS_BYTES),
    "numpy object": np.array(AS_BYTES, dtype=object),
    "numpy U": np.array(WORDS),
    "numpy S": np.array(AS_BYTES, dtype="S100"),
    "numpy S, every second": np.array([w for word in AS_BYTES for w in (word, b"no")])[::2],
    "numpy offsets of int32": offsets_and_data(np.int32),
    "numpy offsets of int64": offsets_and_data(np.int64),
    "arrow binary": pa.array(AS_BYTES, pa.binary()),
    "arrow string": pa.array(WORDS, pa.string()),
    "arrow large binary": pa.array(AS_BYTES, pa.large_binary()),
    "arrow large string": pa.array(WORDS, pa.large_string()),
    "arrow binary view": pa.array(AS_BYTES, pa.binary_view()),
    "arrow string view": pa.array(WORDS, pa.string_view()),
    "arrow slice": pa.array(["x" * 20, *WORDS, "y"], pa.string()).slice(1, 5),
    "arrow view slice": pa.array(["x" * 20, *WORDS, "y"], pa.string_view()).slice(1, 5),
    "pandas of bytes": pd.Series(AS_BYTES),
    "pandas of str": pd.Series(WORDS),
    "polars binary": pl.Series(AS_BYTES),
    "polars string": pl.Series(WORDS),
    "arrow dictionary": pa.array([*WORDS, "z"]).dictionary_encode().slice(0, 5),
    "arrow chunks of dictionaries": pa.chunked_array(
        [pa.array(part, pa.large_binary()).dictionary_encode() for part in (WORDS[:2], WORDS[2:])]
    ),
    "pandas categories": pd.Series(WORDS, dtype="category"),
    "polars categories": pl.Series(WORDS, dtype=pl.Categorical),
    "arrow chunks": pa.chunked_array([pa.array(WORDS[:2]), pa.array(WORDS[2:])]),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())
def test_every_kind_of_column(broker: barnabas.Broker, topic: str, column: Any) -> None:
    sent = broker.producer().send_many(topic, column)
    assert sent.result(5) == [(0, 0, 5)]
    assert len(sent) == 5
    assert read(broker, topic)[0] == AS_BYTES


NULLS = [b"first", None, b"third, which is longer", None]
NULLABLE: dict[str, Any] = {
    "list": NULLS,
    "binary": pa.array(NULLS, pa.binary()),
    "large binary": pa.array(NULLS, pa.large_binary()),
    "view": pa.array(NULLS, pa.binary_view()),
    "slice": pa.array([b"x", *NULLS], pa.binary()).slice(1),
    "pandas": pd.Series(NULLS),
    "polars": pl.Series(NULLS),
    "view slice": pa.array([b"x", None, *NULLS], pa.binary_view()).slice(2),
}


@pytest.mark.parametrize("column", NULLABLE.values(), ids=NULLABLE.keys())
def test_nulls_are_tombstones(broker: barnabas.Broker, topic: str, column: Any) -> None:
    broker.producer().send_many(topic, column, keys=column).result(5)
    assert read(broker, topic) == (NULLS, NULLS)


def test_fixed_widths(broker: barnabas.Broker, topic: str) -> None:
    rows = np.arange(12, dtype=np.uint8).reshape(3, 4)
    producer = broker.producer()
    producer.send_many(topic, rows)
    producer.send_many(topic, rows.view("V4").reshape(-1))
    producer.send_many(topic, pa.array([bytes(row) for row in rows], pa.binary(4)))
    producer.send_many(topic, pa.array([b"abcd", None], pa.binary(4)).slice(1))
    assert read(broker, topic)[0] == [bytes(row) for row in rows] * 3 + [None]


def test_a_record_batch_has_values_keys_and_timestamps(broker: barnabas.Broker, topic: str) -> None:
    table = pa.table(
        {
            "key": ["a", "b", None],
            "timestamp": pa.array([1, 2, 3], pa.timestamp("s", tz="UTC")),
            "value": ["x", None, "z"],
        }
    )
    producer = broker.producer()
    producer.send_many(topic, table).result(5)
    producer.send_many(topic, table.to_batches()[0]).result(5)
    assert read(broker, topic) == ([b"x", None, b"z"] * 2, [b"a", b"b", None] * 2)
    (batch,) = broker.consumer([topic], auto_offset_reset="earliest", timeout=0)
    assert batch.timestamps.tolist() == [1000, 2000, 3000] * 2


def test_what_was_read_can_be_sent_again(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer()
    producer.send_many(topic, WORDS, keys=[*NULLS, b"k"], timestamps=[5, 6, 7, 8, 9])
    for binary in ("view", "plain"):
        (batch,) = broker.consumer([topic], auto_offset_reset="earliest", timeout=0)
        broker.create_topic(f"{topic}-{binary}")
        producer.send_many(f"{topic}-{binary}", batch.to_arrow(binary=binary)).result(5)
        (again,) = broker.consumer([f"{topic}-{binary}"], auto_offset_reset="earliest", timeout=0)
        assert again.values == batch.values
        assert again.keys == batch.keys
        assert again.timestamps.tolist() == [5, 6, 7, 8, 9]


WITHOUT_NUMPY = """
import sys


class NoNumpy:
    def find_spec(self, name, *args):
        if name.partition(".")[0] == "numpy":
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, NoNumpy())
import pyarrow as pa
import barnabas

with barnabas.Broker() as broker:
    broker.create_topic("in")
    broker.create_topic("out")
    producer = broker.producer()
    for number in range(3):
        producer.send("in", b"v", key="k", headers={"h": b"x"}, timestamp=number)
    producer.flush()
    batch = broker.consumer(["in"], auto_offset_reset="earliest").poll(20)
    sent = producer.send_many("out", batch.to_arrow()).result(20)
    chunks = pa.chunked_array([pa.array([7]), pa.array([0, 8, 9])[1:]])
    producer.send_many("out", [b"a", b"b", b"c"], timestamps=chunks).result(20)
    times = []
    for batch in broker.consumer(["out"], auto_offset_reset="earliest", timeout=0):
        times += batch.to_arrow()["timestamp"].cast(pa.int64()).to_pylist()
    print(sent, times)
"""


def test_arrow_needs_no_numpy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMPY],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "[(0, 0, 3)] [0, 1, 2, 7, 8, 9]\n", done.stderr


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NANOSECONDS = np.array([1_999_999, 2_000_000, 86_400_000_000_001], "datetime64[ns]")


@pytest.mark.parametrize(
    "times",
    [
        NANOSECONDS,
        NANOSECONDS.astype("datetime64[us]"),
        [EPOCH + timedelta(microseconds=us) for us in (1_999, 2_000, 86_400_000_000)],
        pa.array(NANOSECONDS),
        pa.array(NANOSECONDS.astype("datetime64[us]")),
        pa.chunked_array([pa.array(NANOSECONDS)]),
        pa.array(NANOSECONDS).cast(pa.timestamp("ns", tz="Asia/Kathmandu")),
    ],
    ids=lambda times: str(getattr(times, "dtype", getattr(times, "type", ""))),
)
def test_times_are_rounded_down_to_the_ms(broker: barnabas.Broker, topic: str, times: Any) -> None:
    broker.producer().send_many(topic, [b"v"] * 3, timestamps=times).result(5)
    (batch,) = broker.consumer([topic], auto_offset_reset="earliest", timeout=0)
    assert batch.timestamps.tolist() == [1, 2, 86_400_000]


def test_times_before_the_epoch_are_refused(broker: barnabas.Broker, topic: str) -> None:
    just_before = np.array([-1], "datetime64[ns]")
    for times in (just_before, pa.array(just_before)):
        with pytest.raises(ValueError, match="below zero"):
            broker.producer().send_many(topic, [b"v"], timestamps=times)


@pytest.mark.parametrize("name", ["keys", "header", "Timestamp"])
def test_a_column_that_no_record_has_is_refused(
    broker: barnabas.Broker, topic: str, name: str
) -> None:
    table = pa.table({"value": ["a"], name: [None]})
    with broker.producer() as producer, pytest.raises(ValueError, match=f"no {name}: .* key"):
        producer.send_many(topic, table)
    assert broker.consumer([topic], auto_offset_reset="earliest").poll(0.1) is None


def test_timestamps_of_arrow_that_are_none_are_refused(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer()
    for bad in (pa.array([1, None]), pa.array([1.0, 2.0]), pa.array(["1", "2"])):
        with pytest.raises(TypeError, match="timestamps are integers"):
            producer.send_many(topic, [b"a", b"b"], timestamps=bad)


def test_what_was_sent_in_bulk_can_be_awaited(broker: barnabas.Broker) -> None:
    broker.create_topic("durable", partitions=3, config={"flush.messages": 1})
    producer = broker.producer(batch_size=500)

    async def send() -> list[tuple[int, int, int]]:
        spans: list[tuple[int, int, int]] = []
        for _ in range(10):
            delivery = producer.send_many("durable", [b"v" * 100] * 100)
            assert await asyncio.wait_for(delivery, 20) == delivery.spans
            assert delivery.done()
            spans += delivery.spans
        refused = producer.send_many("durable", [b"x" * 2_000_000])
        with pytest.raises(KafkaError):
            await refused
        return spans

    assert sum(count for _, _, count in asyncio.run(send())) == 1000


def test_offsets_that_change_meanwhile_are_not_read(broker: barnabas.Broker) -> None:
    """In a process of its own: what is read out of bounds may end it."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", CHANGING],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "whole\n", done.stderr


CHANGING = """
import threading
import numpy as np
import barnabas

with barnabas.Broker() as broker:
    broker.create_topic("t", config={"max.message.bytes": 10_000_000})
    producer = broker.producer()
    ends = np.arange(100_001, dtype=np.int64)
    good = ends.copy()
    over = threading.Event()

    def change():
        while not over.wait(0.001):
            ends[50_000:] = 1 << 60
            ends[:] = good

    thread = threading.Thread(target=change)
    thread.start()
    sent = 0
    try:
        while sent < 2_000_000:
            try:
                sent += len(producer.send_many("t", (ends, b"v" * 100_000)))
            except ValueError:
                pass  # it was seen in time
    finally:
        over.set()
        thread.join()
    count = 0
    for batch in broker.consumer(["t"], auto_offset_reset="earliest", timeout=0):
        assert set(batch.values) <= {b"v"}, "a value from elsewhere"
        count += len(batch.values)
    print("whole" if count == sent else f"{count} of {sent}")
"""


def test_keys_decide_and_records_without_fill_batches_in_turn(broker: barnabas.Broker) -> None:
    broker.create_topic("spread", partitions=4)
    producer = broker.producer(batch_size=1000)
    keys = [b"%d" % (number % 50) for number in range(1000)]
    producer.send_many("spread", [b"v"] * 1000, keys=keys).result(5)
    one_by_one = {key: producer.send("spread", b"v", key=key).result(5).partition for key in keys}
    for batch in broker.consumer(["spread"], auto_offset_reset="earliest", timeout=0):
        assert {one_by_one[key or b""] for key in batch.keys} == {batch.partition}
    spans = producer.send_many("spread", [b"v" * 50] * 1000).result(5)
    assert {partition for partition, _, _ in spans} == {0, 1, 2, 3}
    assert sum(count for _, _, count in spans) == 1000
    (span,) = producer.send_many("spread", [b"v"] * 10, partition=2).result(5)
    assert span[0] == 2


def test_single_records_and_many_keep_their_order(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer(linger_ms=60_000)
    for number in range(3):
        producer.send(topic, b"single %d" % number)
        producer.send_many(topic, [b"many %d" % number] * 2)
    producer.flush()
    assert read(broker, topic)[0] == [
        value
        for number in range(3)
        for value in (b"single %d" % number, b"many %d" % number, b"many %d" % number)
    ]


def test_a_batch_that_is_refused_tells_what_was_written(
    broker: barnabas.Broker, topic: str
) -> None:
    sent = broker.producer(batch_size=0).send_many(topic, [b"a", b"x" * 2_000_000, b"b"])
    with pytest.raises(KafkaError) as refused:
        sent.result(5)
    assert refused.value.code is ErrorCode.message_too_large
    assert sent.spans == [(0, 0, 1)]
    assert read(broker, topic)[0] == [b"a"]


def test_a_compacted_topic_wants_keys(broker: barnabas.Broker) -> None:
    broker.create_topic("compacted", config={"cleanup.policy": "compact"})
    sent = broker.producer().send_many("compacted", [b"a"])
    with pytest.raises(KafkaError) as refused:
        sent.result(5)
    assert refused.value.code is ErrorCode.invalid_record


@pytest.mark.parametrize("codec", ["none", "lz4"])
def test_timestamps_that_the_topic_does_not_take(broker: barnabas.Broker, codec: str) -> None:
    topic = f"recent-{codec}"
    limits = {"message.timestamp.before.max.ms": "3600000"}
    broker.create_topic(topic, config=limits)
    producer = broker.producer(compression_type=codec)
    now_ms = int(time.time() * 1000)
    for wrong_ms in (now_ms - 7_200_000, now_ms + 7_200_000):
        sent = producer.send_many(topic, [b"a", b"b"], timestamps=[now_ms, wrong_ms])
        with pytest.raises(KafkaError) as refused:
            sent.result(5)
        assert refused.value.code is ErrorCode.invalid_timestamp
    producer.send_many(topic, [b"a", b"b"], timestamps=[now_ms, now_ms - 1000]).result(5)
    assert read(broker, topic)[0] == [b"a", b"b"]


def test_a_topic_that_stamps_and_compresses_does_both(broker: barnabas.Broker) -> None:
    config = {"message.timestamp.type": "LogAppendTime", "compression.type": "zstd"}
    broker.create_topic("stamped", config=config)
    before_ms = int(time.time() * 1000)
    broker.producer().send_many("stamped", [b"v" * 1000] * 100, timestamp=5).result(5)
    (batch,) = broker.consumer(["stamped"], auto_offset_reset="earliest", timeout=0)
    assert batch.timestamps.min() >= before_ms
    assert batch.values == [b"v" * 1000] * 100
    (segment,) = (broker.data_dir / "stamped-0").glob("*.log")
    assert segment.stat().st_size < 1000


def test_network_clients_read_what_was_sent_in_bulk(broker: barnabas.Broker, topic: str) -> None:
    """They check the CRC, and every record."""
    values = [b"%d" % number * (number % 40) for number in range(3000)]
    broker.producer().send_many(topic, values, keys=[b"k"] * 3000, headers={"h": b"v"}).result(5)
    config = {"bootstrap.servers": broker.bootstrap_servers, "group.id": "g", "check.crcs": True}
    consumer = confluent_kafka.Consumer(config)
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    messages: list[confluent_kafka.Message] = []
    while len(messages) < 3000:
        got = consumer.consume(3000, 10)
        assert got
        messages += got
    consumer.close()
    assert [message.value() for message in messages] == values
    assert {tuple(message.headers() or ()) for message in messages} == {(("h", b"v"),)}


def test_batches_keep_their_records_while_others_are_read(
    broker: barnabas.Broker, topic: str
) -> None:
    """The memory of a batch is used again, but not before nobody looks at it any more."""
    values = [b"%d" % number * 20 for number in range(20_000)]
    broker.producer().send_many(topic, values).result(5)
    consumer = broker.consumer(
        [topic], auto_offset_reset="earliest", timeout=0, fetch_bytes=100_000
    )
    batches, columns = [], []
    for number, batch in enumerate(consumer):
        if number % 2:  # the others go
            batches.append(batch)
            columns.append((batch.to_arrow().column("value"), batch.offsets))
    consumer.close()
    assert len(batches) > 5
    for batch, (column, offsets) in zip(batches, columns, strict=True):
        assert column.to_pylist() == batch.values
        assert batch.values == values[offsets[0] : offsets[-1] + 1]


REFUSED: dict[str, tuple[Any, dict[str, Any], type[Exception], str]] = {
    "one bytes": (
        b"abc",
        {},
        TypeError,
        r"values must be a sequence of bytes, str or None, not b'abc' \(b",
    ),
    "one str": ("abc", {}, TypeError, r"values must be a sequence of .*, not 'abc' \(str\)"),
    "nothing": (None, {}, TypeError, "values must be a sequence of bytes, str or None, not None"),
    "one number": (5, {}, TypeError, r"values must be a sequence of .*, not 5 \(int\)"),
    "numbers": ([1, 2], {}, TypeError, r"values\[0\] must be bytes, str or None, not 1 \(int\)"),
    "a number among str": (["a", "b", 3], {}, TypeError, r"values\[2\] must be .*, not 3 \(int\)"),
    "a number as a key": ([b""], {"keys": [1.5]}, TypeError, r"keys\[0\] must be .*, not 1\.5 \(f"),
    "no UTF-8": ([b"", "\ud800"], {}, ValueError, r"values\[1\] '\\ud800' is no text: surrogates"),
    "one header": ([b""], {"headers": 5}, TypeError, r"headers must be pairs of .*, not 5 \(int\)"),
    "a time, and times": (
        [b"a"],
        {"timestamp": 1, "timestamps": [1]},
        TypeError,
        "timestamp is one for all, and each record has its own: give one of them",
    ),
    "a time, and times of a table": (
        pa.table({"value": ["a"], "timestamp": [1]}),
        {"timestamp": 1},
        TypeError,
        "timestamp is one for all",
    ),
    "NaT": (
        [b"a", b"b"],
        {"timestamps": np.array(["2026-01-01", "NaT"], "datetime64[ms]")},
        ValueError,
        r"a timestamp is NaT, no point in time: timestamps\[1\]",
    ),
    "numpy U of two dimensions": (np.array([["a"]]), {}, TypeError, "in 2 dimensions: S, U, V, "),
    "numpy int": (np.array([1]), {}, TypeError, "int64"),
    "arrow int": (pa.array([1]), {}, TypeError, "Arrow's type int64"),
    "offsets beyond": ((np.array([0, 9], np.int32), b"abc"), {}, ValueError, "beyond the end"),
    "offsets fall": ((np.array([0, 3, 1], np.int32), b"abc"), {}, ValueError, "below the one"),
    "offsets below zero": ((np.array([-5, 3], np.int32), b"abc"), {}, ValueError, "below"),
    "offsets of int16": ((np.array([0, 1], np.int16), b"abc"), {}, TypeError, "int32 or int64"),
    "too few keys": ([b"a", b"b"], {"keys": [b"k"]}, ValueError, "2 values, and 1 keys"),
    "too few timestamps": ([b"a", b"b"], {"timestamps": [1]}, ValueError, "1 timestamps"),
    "times without a zone": (
        [b"a"],
        {"timestamps": [datetime(2026, 1, 1)]},
        ValueError,
        "each timestamp 2026-01-01 00:00:00 has no time zone",
    ),
    "timestamps of text": ([b"a"], {"timestamps": ["x"]}, TypeError, "timestamps are integers"),
    "two value columns": (
        pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["value", "value"]),
        {},
        ValueError,
        "2 columns value",
    ),
    "no value column": (pa.table({"v": ["a"]}), {}, ValueError, "no column value among v"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_sent_is_refused_before_anything_is(
    broker: barnabas.Broker, topic: str, case: tuple[Any, dict[str, Any], type[Exception], str]
) -> None:
    values, options, error, text = case
    with pytest.raises(error, match=text):
        broker.producer().send_many(topic, values, **options)
    assert read(broker, topic) == ([], [])


EMPTY: list[Any] = [
    [],
    np.array([], "S5"),
    pa.array([], pa.binary()),
    pa.chunked_array([], "string"),
]


@pytest.mark.parametrize("empty", EMPTY, ids=lambda empty: type(empty).__name__)
def test_nothing_is_nothing(broker: barnabas.Broker, topic: str, empty: Any) -> None:
    assert broker.producer().send_many(topic, empty).result(5) == []
