"""barnabas.VirtualClock: what would take days happens when a test says so; the clients are real."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    ConsumerGroupState,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription

import barnabas
from barnabas.testing import faults

DAY_MS = 24 * 3_600_000


@pytest.fixture
def clock() -> barnabas.VirtualClock:
    return barnabas.VirtualClock()


@pytest.fixture
def broker(clock: barnabas.VirtualClock) -> Iterator[barnabas.Broker]:
    with barnabas.Broker(clock=clock, config={"offsets.topic.num.partitions": 3}) as broker:
        yield broker


def make_producer(broker: barnabas.Broker, **config: str | int) -> Producer:
    return Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0, **config})


def make_consumer(broker: barnabas.Broker, **config: str | int) -> Consumer:
    defaults: dict[str, str | int] = {
        "bootstrap.servers": broker.bootstrap_servers,
        "group.id": "g",
        "auto.offset.reset": "earliest",
        "log_level": 0,
    }
    return Consumer({**defaults, **config})


def produce(broker: barnabas.Broker, topic: str, *records: tuple[str, str | None]) -> None:
    producer = make_producer(broker)
    for key, value in records:
        producer.produce(topic, key=key, value=value)
        assert producer.flush(20) == 0  # a batch each


def watermarks(broker: barnabas.Broker, topic: str) -> tuple[int, int]:
    consumer = make_consumer(broker)
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
        return low, high
    finally:
        consumer.close()


def read_all(broker: barnabas.Broker, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    _, high = watermarks(broker, topic)
    consumer = make_consumer(broker)
    consumer.assign([TopicPartition(topic, 0, 0)])
    records = []
    try:
        while consumer.position([TopicPartition(topic, 0)])[0].offset < high:
            for message in consumer.consume(100, 0.1):
                records.append((message.key(), message.value()))
        return records
    finally:
        consumer.close()


def test_retention_is_a_matter_of_a_call(
    broker: barnabas.Broker, clock: barnabas.VirtualClock
) -> None:
    broker.create_topic("t", config={"retention.ms": 7 * DAY_MS})
    produce(broker, "t", ("a", "1"), ("b", "2"))
    clock.advance(days=6, hours=23)
    assert watermarks(broker, "t") == (0, 2)
    clock.advance(hours=2)
    assert watermarks(broker, "t") == (2, 2)


def test_compaction_and_the_end_of_tombstones(
    broker: barnabas.Broker, clock: barnabas.VirtualClock
) -> None:
    config: dict[str, str | int | float | bool] = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": 0.01,
        "segment.ms": 60_000,
        "delete.retention.ms": DAY_MS,
        "message.timestamp.type": "LogAppendTime",
    }
    broker.create_topic("t", config=config)
    produce(broker, "t", ("a", "1"), ("a", "2"), ("b", "1"), ("b", None))
    assert len(read_all(broker, "t")) == 4
    clock.advance(minutes=5)
    assert read_all(broker, "t") == [(b"a", b"2"), (b"b", None)]
    produce(broker, "t", ("a", "3"), ("c", "1"))
    clock.advance(days=1, minutes=5)
    assert read_all(broker, "t") == [(b"a", b"3"), (b"c", b"1")]


def test_records_are_stamped_by_the_clock(
    broker: barnabas.Broker, clock: barnabas.VirtualClock
) -> None:
    broker.create_topic("t", config={"message.timestamp.type": "LogAppendTime"})
    produce(broker, "t", ("a", "1"))
    stamped = [clock.time_ms]
    clock.advance(days=6)
    stamped.append(clock.time_ms)
    produce(broker, "t", ("a", "1"))
    broker.create_topic("own")
    broker.producer().send("own", b"value").result()
    consumer = make_consumer(broker)
    consumer.assign([TopicPartition("t", 0, 0)])
    assert [m.timestamp()[1] for m in consumer.consume(2, 20)] == stamped
    consumer.assign([TopicPartition("own", 0, 0)])
    assert [m.timestamp()[1] for m in consumer.consume(1, 20)] == stamped[1:]
    consumer.close()


def test_a_member_that_was_away_for_longer_than_its_session_has_to_join_again(
    broker: barnabas.Broker, clock: barnabas.VirtualClock
) -> None:
    broker.create_topic("t")
    produce(broker, "t", ("a", "1"))
    consumer = make_consumer(broker, **{"session.timeout.ms": 45_000})
    consumer.subscribe(["t"])
    message = consumer.poll(20)
    assert message is not None
    consumer.commit(message=message, asynchronous=False)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})

    def state() -> Enum:
        group: ConsumerGroupDescription = admin.describe_consumer_groups(["g"])["g"].result(20)
        return group.state

    clock.advance(seconds=30)
    assert state() is ConsumerGroupState.STABLE
    clock.advance(seconds=46)
    assert state() is ConsumerGroupState.EMPTY
    produce(broker, "t", ("a", "2"))
    values: list[bytes | None] = []
    deadline = time.monotonic() + 20
    while state() is not ConsumerGroupState.STABLE or not values:  # its heartbeat will tell it
        assert time.monotonic() < deadline
        if message := consumer.poll(0.2):
            values.append(message.value())
    assert values[0] == b"2"
    consumer.close()


def open_transaction(broker: barnabas.Broker) -> Producer:
    """Has written a record to the topic "t", which it makes, and has a minute to commit it."""
    broker.create_topic("t")
    settings: dict[str, str | int] = {"transactional.id": "x", "transaction.timeout.ms": 60_000}
    producer = make_producer(broker, **settings)
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("t", "never")
    assert producer.flush(20) == 0
    return producer


def test_a_transaction_that_takes_too_long_is_aborted(
    broker: barnabas.Broker, clock: barnabas.VirtualClock
) -> None:
    producer = open_transaction(broker)
    assert broker.services.core.partition_info("t", 0).last_stable_offset == 0
    clock.advance(seconds=59)
    assert broker.services.core.partition_info("t", 0).last_stable_offset == 0
    clock.advance(seconds=2)
    assert broker.services.core.partition_info("t", 0).last_stable_offset == 2
    with pytest.raises(KafkaException):
        producer.commit_transaction(20)
    produce(broker, "t", ("k", "v"))
    consumer = make_consumer(broker)
    consumer.assign([TopicPartition("t", 0, 0)])
    assert [m.value() for m in consumer.consume(1, 20)] == [b"v"]
    consumer.close()


def test_an_advance_waits_for_what_a_slow_disk_has_still_to_write(
    broker: barnabas.Broker, clock: barnabas.VirtualClock
) -> None:
    open_transaction(broker)
    with faults.delay("write", "*.log", seconds=0.05) as slow:
        clock.advance(seconds=61)
        assert broker.services.core.partition_info("t", 0).last_stable_offset == 2
    assert slow.struck >= 2  # the transaction's state, and its marker


def test_offsets_of_an_empty_group_expire(
    broker: barnabas.Broker, clock: barnabas.VirtualClock
) -> None:
    broker.create_topic("t")
    place = TopicPartition("t", 0, 5)
    consumer = make_consumer(broker)
    consumer.commit(offsets=[place], asynchronous=False)
    clock.advance(days=6)
    assert consumer.committed([place], 20)[0].offset == 5
    clock.advance(days=2)
    assert consumer.committed([place], 20)[0].offset == OFFSET_INVALID
    consumer.close()


def test_a_waiting_fetch_is_answered(broker: barnabas.Broker, clock: barnabas.VirtualClock) -> None:
    broker.create_topic("t")
    asyncio.run(wait_for_nothing(broker, clock))


async def wait_for_nothing(broker: barnabas.Broker, clock: barnabas.VirtualClock) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers, fetch_max_wait_ms=30_000
    )
    await consumer.start()
    try:
        consumer.subscribe(["t"])
        stats = broker.services.core.stats
        assert await consumer.getmany(timeout_ms=500) == {}
        assert stats()["requests_parked"] == 1
        before = stats()["requests_total"]
        clock.advance(seconds=31)
        deadline = time.monotonic() + 20
        while stats()["requests_total"] == before:  # it asks again
            assert time.monotonic() < deadline
            await consumer.getmany(timeout_ms=50)
    finally:
        await consumer.stop()


def test_what_a_timer_sets_off_is_due_within_the_same_advance(
    broker: barnabas.Broker, clock: barnabas.VirtualClock
) -> None:
    """A member that is gone, then the rebalance of those that it leaves behind in vain."""
    broker.create_topic("t", partitions=2)
    consumers = [make_consumer(broker, **{"session.timeout.ms": 10_000}) for _ in range(2)]
    for consumer in consumers:
        consumer.subscribe(["t"])
    deadline = time.monotonic() + 20
    while not all(consumer.assignment() for consumer in consumers):
        assert time.monotonic() < deadline
        for consumer in consumers:
            consumer.poll(0.05)
    consumers[0].commit(offsets=[TopicPartition("t", 0, 0)], asynchronous=False)
    clock.advance(hours=1)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    group = admin.describe_consumer_groups(["g"])["g"].result(20)
    assert group.state is ConsumerGroupState.EMPTY
    for consumer in consumers:
        consumer.close()


def test_several_brokers_go_by_one_clock(clock: barnabas.VirtualClock) -> None:
    with barnabas.Broker(clock=clock) as one, barnabas.Broker(clock=clock) as other:
        for broker in (one, other):
            broker.create_topic("t", config={"retention.ms": DAY_MS})
            produce(broker, "t", ("a", "1"))
        clock.advance(days=2)
        assert watermarks(one, "t") == watermarks(other, "t") == (1, 1)
        one.close()
        clock.advance(days=2)  # concerns the other only


def test_a_long_advance_is_quick(broker: barnabas.Broker, clock: barnabas.VirtualClock) -> None:
    broker.create_topic("t")
    produce(broker, "t", ("a", "1"))
    began = time.monotonic()
    clock.advance(days=3650)
    assert time.monotonic() - began < 5


def test_the_time_is_what_the_test_says(clock: barnabas.VirtualClock) -> None:
    start = datetime(2024, 2, 29, 12, tzinfo=UTC)
    clock = barnabas.VirtualClock(start)
    assert clock.now() == start
    clock.advance(timedelta(hours=1), minutes=30)
    assert clock.now() == start + timedelta(minutes=90)
    assert clock.time_ms == int(start.timestamp()) * 1000 + 90 * 60_000


def test_a_time_that_makes_no_sense_is_refused(clock: barnabas.VirtualClock) -> None:
    before = clock.time_ms
    for move in (clock.advance, clock.step):
        with pytest.raises(ValueError, match="within the years"):
            move(days=200_000)
    with pytest.raises(ValueError, match="within the years"):
        clock.step(days=-200_000)
    for start in (datetime(2300, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, tzinfo=UTC)):
        with pytest.raises(ValueError, match="within the years 1970 to 2261"):
            barnabas.VirtualClock(start)
    epoch = barnabas.VirtualClock(datetime(1970, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="within the years 1970 to 2261"):
        epoch.step(seconds=-1)
    assert epoch.time_ms == 0
    assert clock.now().year < 2200
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(hours=-1)
    with pytest.raises(TypeError):
        clock.advance(fortnights=1)
    with pytest.raises(ValueError, match="no time zone"):
        barnabas.VirtualClock(datetime(2024, 1, 1))
    assert clock.time_ms == before
