"""What clients in this process refuse before anything happens, and what only looks odd."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import barnabas
from barnabas.errors import ConfigError


def read(broker: barnabas.Broker, topic: str) -> list[bytes | None]:
    with broker.consumer([topic], auto_offset_reset="earliest", timeout=0) as consumer:
        return [value for batch in consumer for value in batch.values]


def test_partitions_and_timestamps_are_checked(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer()
    for wrong in (0.0, "0"):
        with pytest.raises(TypeError):
            producer.send(topic, b"v", partition=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            producer.send_many(topic, [b"v"], partition=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            producer.send(topic, b"v", timestamp=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timestamp -5 is below zero"):
        producer.send(topic, b"v", timestamp=-5)
    with pytest.raises(ValueError, match="timestamp -5 is below zero"):
        producer.send_many(topic, [b"v"], timestamp=-5)
    with pytest.raises(ValueError, match="a timestamp is below zero"):
        producer.send_many(topic, [b"v"] * 3, timestamps=[0, 5, -1])
    producer.send(topic, b"fine", partition=np.int32(0), timestamp=np.int64(0)).result()  # type: ignore[arg-type]
    producer.flush()
    assert read(broker, topic) == [b"fine"]


@pytest.mark.parametrize(
    "timestamps",
    [
        np.array([2**61], "M8[s]"),
        np.array([-(2**61)], "M8[s]"),
        np.array([10**9], "M8[Y]"),
        np.array(["NaT"], "M8[s]"),
        np.array([2**63], np.uint64),
        np.array([2**64 - 1], np.uint64),
        pa.array([2**61], pa.timestamp("s")),
        pa.array([2**63], pa.uint64()),
    ],
)
def test_a_time_that_no_record_can_have_is_refused(
    broker: barnabas.Broker, topic: str, timestamps: object
) -> None:
    with pytest.raises(ValueError, match="a timestamp is") as raised:
        broker.producer().send_many(topic, [b"v"], timestamps=timestamps)
    assert type(raised.value) is ValueError
    assert read(broker, topic) == []


@pytest.mark.parametrize("linger_ms", [float("inf"), float("nan"), 1e14, -1])
def test_a_linger_time_without_end_is_refused(broker: barnabas.Broker, linger_ms: float) -> None:
    with pytest.raises(ConfigError, match="linger_ms"):
        broker.producer(linger_ms=linger_ms)


def test_an_offset_below_zero_is_not_committed(broker: barnabas.Broker, topic: str) -> None:
    consumer = broker.consumer([topic], group=topic)
    with pytest.raises(ValueError, match="below zero"):
        consumer.commit({(topic, 0): -1})
    consumer.close()


def test_what_is_masked_is_null(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer()
    mask = [False, True, False] * 4
    for kind in ("S1", "V1", object):
        values = np.array([b"a", b"b", b"c"] * 4).astype(kind)
        producer.send_many(topic, np.ma.masked_array(values, mask))
    assert read(broker, topic) == [b"a", None, b"c"] * 12
    rows = np.zeros((3, 2), np.uint8)
    with pytest.raises(TypeError, match="masked"):
        producer.send_many(topic, np.ma.masked_array(rows, rows == 0))
    with pytest.raises(TypeError, match="masked"):
        producer.send_many(topic, [b"v"] * 2, timestamps=np.ma.masked_array([1, 2], [False, True]))


@pytest.mark.filterwarnings("ignore:Resolving the schema of a LazyFrame")
def test_a_table_of_whatever_arrow_can_read_is_sent(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer()
    table = pa.table({"key": ["k", None], "value": [b"a", b"b"]})
    for frame in (table, pl.DataFrame(table), table.to_pandas(), table.to_reader()):
        producer.send_many(topic, frame)
    assert read(broker, topic) == [b"a", b"b"] * 4
    scanned = barnabas.scan(broker.data_dir, topic).read_all()
    producer.send_many(topic, scanned.to_pandas())
    producer.send_many(topic, pl.DataFrame(scanned))
    assert read(broker, topic) == [b"a", b"b"] * 12
    with pytest.raises(TypeError, match=r"a LazyFrame is no column, .*: collect\(\) makes one"):
        producer.send_many(topic, pl.LazyFrame(table))
    with pytest.raises(ValueError, match="there is no column value among column"):
        producer.send_many(topic, pd.DataFrame({"column": [b"c"]}))


def test_what_a_list_of_timestamps_needs_is_said() -> None:
    program = (
        "import sys; sys.modules['numpy'] = None\n"
        "import barnabas\n"
        "with barnabas.Broker() as broker:\n"
        "    broker.producer().send_many('t', [b'v'], timestamps=[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    hint = "numpy is needed for timestamps in a list: pip install 'barnabas[numpy]'"
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {hint}"


def test_no_timestamps_of_no_records(broker: barnabas.Broker, topic: str) -> None:
    assert broker.producer().send_many(topic, [], timestamps=[]).result() == []


def test_a_deleted_topic_is_made_again_where_that_is_allowed(broker: barnabas.Broker) -> None:
    producer = broker.producer()
    producer.send("again", b"before").result()
    broker.delete_topic("again")
    assert producer.send("again", b"after").result().offset == 0
    assert read(broker, "again") == [b"after"]
