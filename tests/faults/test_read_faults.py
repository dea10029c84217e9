"""A disk that cannot be read where it is asked for old records, and who sees it."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import barnabas
from barnabas.testing import faults
from faults.rows import Row
from faults.test_compaction import await_true
from faults.test_file_faults import STORAGE_ERROR
from unit.wire import WireClient

RECORDS = 40
TIMEOUT_S = 30
SMALL_SEGMENTS = {"internal.segment.bytes": "500", "index.interval.bytes": "100"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[barnabas.Broker]:
    """With two topics of several segments each; only `old` has two partitions."""
    with barnabas.Broker(tmp_path) as running:
        for topic, partitions in (("old", 2), ("other", 1)):
            running.create_topic(topic, partitions=partitions, config=SMALL_SEGMENTS)
            for partition in range(partitions):
                fill(running, topic, partition)
        yield running


def fill(broker: barnabas.Broker, topic: str, partition: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0})
    for number in range(RECORDS):
        producer.produce(topic, b"%d" % number, partition=partition)
        assert producer.flush(TIMEOUT_S) == 0  # a batch each


def bases(broker: barnabas.Broker, partition: str) -> list[int]:
    return sorted(int(path.stem) for path in (broker.data_dir / partition).glob("*.log"))


def fetch(
    client: WireClient, wanted: dict[tuple[str, int], int], *, read_committed: bool = False
) -> dict[tuple[str, int], Any]:
    """One request for an offset of each partition; the error and whether records came."""
    topics: dict[str, list[dict[str, int]]] = {}
    for (topic, index), offset in wanted.items():
        one = {
            "partition": index,
            "current_leader_epoch": -1,
            "fetch_offset": offset,
            "last_fetched_epoch": -1,
            "log_start_offset": -1,
            "partition_max_bytes": 1_000_000,
        }
        topics.setdefault(topic, []).append(one)
    answer = client.ask(
        "Fetch",
        12,
        replica_id=-1,
        max_wait=100,
        min_bytes=1,
        max_bytes=10_000_000,
        isolation_level=int(read_committed),
        session_id=0,
        session_epoch=-1,
        topics=[{"topic": topic, "partitions": asked} for topic, asked in topics.items()],
    )
    return {
        (topic.topic, partition.partition_index): (
            int(partition.error_code),
            partition.records is not None and len(partition.records) > 0,
        )
        for topic in answer.responses
        for partition in topic.partitions
    }


def read_all(broker: barnabas.Broker, topic: str, partition: int, offset: int = 0) -> list[int]:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "g",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, partition, offset)])
    found: list[int] = []
    while len(found) < RECORDS - offset:
        message = consumer.poll(TIMEOUT_S)
        assert message is not None
        assert message.error() is None
        found.append(int(message.value() or b"-1"))
    consumer.close()
    return found


def test_a_segment_that_cannot_be_read_costs_its_records_alone(
    broker: barnabas.Broker, core_log: list[str], count: Callable[..., None]
) -> None:
    segments = bases(broker, "old-0")
    assert len(segments) > 4
    bad, offset = segments[1], segments[1] + 2
    file = broker.data_dir / "old-0" / f"{bad:020d}.log"
    ok = (0, True)
    with WireClient(broker.bootstrap_servers) as client, WireClient(broker.bootstrap_servers) as b:
        with faults.fail("read", str(file), error=errno.EIO) as fault:
            assert fetch(client, {("old", 0): offset, ("old", 1): offset, ("other", 0): 0}) == {
                ("old", 0): (STORAGE_ERROR, False),
                ("old", 1): ok,
                ("other", 0): ok,
            }
            struck = fault.struck
            assert struck > 0
            # The segments before and behind it, on the same connection and on another.
            for sound in (segments[0], *segments[2:]):
                assert fetch(client, {("old", 0): sound}) == {("old", 0): ok}
            assert fetch(b, {("old", 0): offset}) == {("old", 0): (STORAGE_ERROR, False)}
            assert fetch(b, {("other", 0): 0}) == {("other", 0): ok}
            assert fault.struck > struck
            assert read_all(broker, "old", 0, segments[2]) == [*range(segments[2], RECORDS)]
        assert fetch(client, {("old", 0): offset}) == {("old", 0): ok}
    assert read_all(broker, "old", 0) == [*range(RECORDS)]
    what = f"{file} at byte "
    await_true(lambda: any(what in line and "Input/output error" in line for line in core_log))
    count(Row.FAILED_READ, fault.struck)


def test_a_segment_that_fails_while_it_is_sent_costs_that_connection_alone(
    broker: barnabas.Broker, count: Callable[..., None]
) -> None:
    segments = bases(broker, "old-0")
    file = broker.data_dir / "old-0" / f"{segments[1]:020d}.log"
    ok = (0, True)
    with (
        WireClient(broker.bootstrap_servers) as client,
        WireClient(broker.bootstrap_servers) as other,
        faults.fail("send", str(file), error=errno.EIO, times=1) as fault,
    ):
        with pytest.raises(ConnectionError):
            fetch(client, {("old", 0): segments[1], ("other", 0): 0})
        assert fault.struck == 1
        assert fetch(other, {("old", 0): segments[1], ("other", 0): 0}) == {
            ("old", 0): ok,
            ("other", 0): ok,
        }
    count(Row.FAILED_READ, fault.struck)


def test_a_consumer_goes_on_when_the_disk_can_be_read_again(
    broker: barnabas.Broker, count: Callable[..., None]
) -> None:
    segments = bases(broker, "old-0")
    file = broker.data_dir / "old-0" / f"{segments[1]:020d}.log"
    with faults.fail("read", str(file), error=errno.EIO, times=3) as fault:
        assert read_all(broker, "old", 0) == [*range(RECORDS)]
    assert fault.struck == 3
    count(Row.FAILED_READ, fault.struck)


def test_a_transaction_index_that_cannot_be_read_is_named(
    tmp_path: Path, core_log: list[str], count: Callable[..., None]
) -> None:
    with barnabas.Broker(tmp_path) as broker:
        broker.create_topic("txn", config=SMALL_SEGMENTS)
        servers = {"bootstrap.servers": broker.bootstrap_servers}
        producer = Producer({**servers, "transactional.id": "x"})
        producer.init_transactions(TIMEOUT_S)
        for _ in range(5):
            producer.begin_transaction()
            producer.produce("txn", bytes(200))
            assert producer.flush(TIMEOUT_S) == 0
            producer.abort_transaction(TIMEOUT_S)
    index = min((tmp_path / "txn-0").glob("*.txnindex"))
    asked = {("txn", 0): 0}
    with (
        barnabas.Broker(tmp_path) as broker,
        WireClient(broker.bootstrap_servers) as client,
        faults.fail("open", str(index), error=errno.EIO) as fault,
    ):
        assert fetch(client, asked) == {("txn", 0): (0, True)}
        failed = {("txn", 0): (STORAGE_ERROR, False)}
        assert fetch(client, asked, read_committed=True) == failed
        assert fault.struck > 0
    await_true(lambda: any(str(index) in line and "Input/output" in line for line in core_log))
    count(Row.FAILED_READ, fault.struck)
