"""A broker whose wall clock is set forth or back by an hour: what it promises to keep."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

import barnabas
from clients.test_virtual_clock import make_consumer, make_producer, produce, read_all, watermarks
from faults.rows import Row

HOUR_MS = 3_600_000
TRANSACTION_TIMEOUT_MS = 600_000
STEPS = [timedelta(hours=1), timedelta(hours=-1)]


@pytest.fixture
def clock() -> barnabas.VirtualClock:
    return barnabas.VirtualClock()


@pytest.fixture
def broker(clock: barnabas.VirtualClock) -> Iterator[barnabas.Broker]:
    config = {
        "offsets.topic.num.partitions": 1,
        "offsets.retention.minutes": 120,
        # Clients go by the real time: to a clock that was set back their records are of the future.
        "log.message.timestamp.after.max.ms": 3 * HOUR_MS,
    }
    with barnabas.Broker(clock=clock, config=config) as broker:
        yield broker


def stamps(broker: barnabas.Broker, topic: str) -> list[int]:
    _, high = watermarks(broker, topic)
    consumer = make_consumer(broker)
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = [message.timestamp()[1] for message in consumer.consume(high, 20)]
    consumer.close()
    assert len(found) == high
    return found


def segments(broker: barnabas.Broker, topic: str) -> int:
    return len(list((broker.data_dir / f"{topic}-0").glob("*.log")))


@pytest.mark.parametrize("step", STEPS, ids=["forth", "back"])
def test_members_sessions_and_waiting_fetches_do_not_notice(
    broker: barnabas.Broker,
    clock: barnabas.VirtualClock,
    step: timedelta,
    count: Callable[..., None],
) -> None:
    broker.create_topic("t")
    revoked: list[object] = []
    consumer = make_consumer(
        broker,
        **{
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
            "fetch.wait.max.ms": 2000,
            "fetch.min.bytes": 1,
        },
    )
    assigned: list[object] = []
    consumer.subscribe(
        ["t"],
        on_assign=lambda _, partitions: assigned.append(partitions),
        on_revoke=lambda _, partitions: revoked.append(partitions),
    )
    while not assigned:
        consumer.poll(0.1)
    produce(broker, "t", ("a", "1"))
    message = consumer.poll(20)
    assert message is not None
    # A fetch is waiting now. It is answered in its time, and by what comes.
    clock.step(step)
    begin = time.monotonic()
    assert consumer.poll(0.5) is None
    assert time.monotonic() - begin >= 0.4
    produce(broker, "t", ("a", "2"))
    begin = time.monotonic()
    message = consumer.poll(20)
    assert message is not None
    assert message.value() == b"2"
    assert time.monotonic() - begin < 2
    consumer.commit(message=message, asynchronous=False)  # refused if it were a member no more
    assert revoked == []
    consumer.close()
    count(Row.CLOCK)


@pytest.mark.parametrize("step", STEPS, ids=["forth", "back"])
def test_a_transaction_has_its_time_whatever_the_clock_does(
    broker: barnabas.Broker,
    clock: barnabas.VirtualClock,
    step: timedelta,
    count: Callable[..., None],
) -> None:
    broker.create_topic("t")
    settings: dict[str, str | int] = {
        "transactional.id": "x",
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
    }
    producer = make_producer(broker, **settings)
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("t", b"1")
    producer.flush(20)
    clock.step(step)
    producer.produce("t", b"2")
    producer.commit_transaction(20)
    producer.begin_transaction()
    producer.produce("t", b"3")
    producer.flush(20)
    clock.step(-step)
    assert watermarks(broker, "t")[1] == 3  # with a marker; what follows it is undecided
    # Who goes away is aborted in time all the same.
    clock.advance(milliseconds=TRANSACTION_TIMEOUT_MS + 60_000)
    consumer = make_consumer(broker, **{"isolation.level": "read_committed"})
    consumer.assign([TopicPartition("t", 0, 0)])
    assert [message.value() for message in consumer.consume(2, 20)] == [b"1", b"2"]
    low, high = consumer.get_watermark_offsets(TopicPartition("t", 0), timeout=20)
    assert (low, high) == (0, 5)
    consumer.close()
    count(Row.CLOCK, 2)


def test_an_hour_deletes_nothing_that_has_two(
    broker: barnabas.Broker, clock: barnabas.VirtualClock, count: Callable[..., None]
) -> None:
    config = {"retention.ms": 2 * HOUR_MS, "segment.ms": 10 * HOUR_MS}
    broker.create_topic("t", config=config)
    produce(broker, "t", *((str(n), "v") for n in range(10)))
    for _ in range(5):
        clock.step(hours=1)
        assert watermarks(broker, "t") == (0, 10)
        clock.step(hours=-1)
        assert watermarks(broker, "t") == (0, 10)
    clock.step(hours=-1)
    produce(broker, "t", ("later", "v"))
    clock.step(hours=1)
    assert watermarks(broker, "t") == (0, 11)
    count(Row.CLOCK, 12)


def test_a_jump_beyond_the_retention_deletes_as_kafka_would(
    broker: barnabas.Broker, clock: barnabas.VirtualClock
) -> None:
    """Retention compares records with the wall clock, whatever has become of that."""
    broker.create_topic("t", config={"retention.ms": 2 * HOUR_MS})
    produce(broker, "t", ("a", "v"))
    clock.step(hours=3)
    assert watermarks(broker, "t") == (1, 1)


def test_append_times_go_with_the_clock(
    broker: barnabas.Broker, clock: barnabas.VirtualClock, count: Callable[..., None]
) -> None:
    """LogAppendTime is the wall clock's, which may go back; a look-up by time finds the first
    record that is late enough, as ever.
    """
    broker.create_topic("t", config={"message.timestamp.type": "LogAppendTime"})
    start = clock.time_ms
    produce(broker, "t", ("a", "1"))
    clock.step(hours=1)
    produce(broker, "t", ("a", "2"))
    clock.step(hours=-2)
    produce(broker, "t", ("a", "3"))
    clock.step(hours=1)
    assert stamps(broker, "t") == [start, start + HOUR_MS, start - HOUR_MS]
    consumer = make_consumer(broker)
    for asked, expected in ((start - HOUR_MS, 0), (start, 0), (start + 1, 1)):
        (found,) = consumer.offsets_for_times([TopicPartition("t", 0, asked)], timeout=20)
        assert found.offset == expected
    consumer.close()
    count(Row.CLOCK, 3)


def test_segments_are_rolled_by_age_and_not_by_a_step_back(
    broker: barnabas.Broker, clock: barnabas.VirtualClock, count: Callable[..., None]
) -> None:
    config: dict[str, str | int | float | bool] = {
        "segment.ms": 2 * HOUR_MS,
        "retention.ms": -1,
        "message.timestamp.type": "LogAppendTime",
    }
    broker.create_topic("t", config=config)
    produce(broker, "t", ("a", "1"))
    for hours in (1, -1, -1, 1):
        clock.step(hours=hours)
        produce(broker, "t", ("a", "v"))
    assert segments(broker, "t") == 1
    clock.step(hours=3)
    produce(broker, "t", ("a", "v"))
    assert segments(broker, "t") == 2
    clock.step(hours=-3)
    for _ in range(5):
        produce(broker, "t", ("a", "v"))
    assert segments(broker, "t") == 2
    assert len(read_all(broker, "t")) == 11
    count(Row.CLOCK, 6)


@pytest.mark.parametrize("step", STEPS, ids=["forth", "back"])
def test_committed_offsets_and_idempotent_producers_stay(
    broker: barnabas.Broker,
    clock: barnabas.VirtualClock,
    step: timedelta,
    count: Callable[..., None],
) -> None:
    broker.create_topic("t")
    producer = make_producer(broker, **{"enable.idempotence": "true"})
    errors: list[object] = []

    def send() -> None:
        producer.produce("t", b"v", on_delivery=lambda error, _: errors.append(error))
        assert producer.flush(20) == 0

    send()
    consumer: Consumer = make_consumer(broker, **{"group.id": "gone"})
    consumer.commit(offsets=[TopicPartition("t", 0, 1)], asynchronous=False)
    consumer.close()
    for _ in range(2):
        clock.step(step)
        send()
        clock.step(-step)
        send()
    clock.step(step)
    send()
    assert errors == [None] * 6
    again = make_consumer(broker, **{"group.id": "gone"})
    (found,) = again.committed([TopicPartition("t", 0)], timeout=20)
    assert found.offset == 1
    again.close()
    assert watermarks(broker, "t") == (0, 6)
    count(Row.CLOCK, 5)


def test_a_transaction_of_before_a_restart_has_no_more_than_its_time(
    tmp_path: Path, count: Callable[..., None]
) -> None:
    """The clock was set back meanwhile: it began in what is the future now."""
    settings: dict[str, str | int] = {
        "transactional.id": "x",
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
    }
    with barnabas.Broker(tmp_path) as broker:
        broker.create_topic("t")
        producer = make_producer(broker, **settings)
        producer.init_transactions(20)
        producer.begin_transaction()
        producer.produce("t", b"1")
        producer.flush(20)
    clock = barnabas.VirtualClock()
    clock.step(hours=-1)
    with barnabas.Broker(tmp_path, clock=clock) as broker:
        core = broker.services.core
        clock.advance(milliseconds=TRANSACTION_TIMEOUT_MS - 60_000)
        assert core.partition_info("t", 0).last_stable_offset == 0
        clock.advance(minutes=2)
        assert core.partition_info("t", 0).last_stable_offset == 2
    count(Row.CLOCK)
