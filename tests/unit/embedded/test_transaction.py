"""Transactions of producers in the broker's process, beside those of network clients."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer as NetworkConsumer
from confluent_kafka import TopicPartition
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.errors import BrokerClosed, KafkaError


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        broker.create_topic("in")
        broker.create_topic("out", partitions=3)
        yield broker


def read(broker: barnabas.Broker, isolation_level: str, count: int = 0) -> list[bytes | None]:
    """What there is, once there are `count`: markers follow the answer to a commit."""
    consumer = broker.consumer(
        ["out"], isolation_level=isolation_level, auto_offset_reset="earliest"
    )
    values: list[bytes | None] = []
    while len(values) < count:
        batch = consumer.poll(30)
        assert batch is not None
        values += batch.values
    while (batch := consumer.poll(0.2)) is not None:
        values += batch.values
    return values


def network_read(broker: barnabas.Broker, count: int) -> list[bytes | None]:
    """What a read_committed client on the network sees of three partitions, which have `count`."""
    consumer = NetworkConsumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "n",
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition("out", partition, 0) for partition in range(3)])
    try:
        messages = [*consumer.consume(count, 60), *consumer.consume(1, 0.5)]
        return [message.value() for message in messages]
    finally:
        consumer.close()


def test_a_transaction_with_a_record_that_was_refused_is_not_committed(
    broker: barnabas.Broker,
) -> None:
    producer = broker.producer(transactional_id="refused")
    large = b"x" * 2_000_000
    for send_large in (producer.send, lambda topic, value: producer.send_many(topic, [value])):
        transaction = producer.transaction()
        producer.send("out", b"good")
        send_large("out", large)
        with pytest.raises(KafkaError):
            transaction.commit()
    assert read(broker, "read_committed") == []
    with producer.transaction():
        producer.send("out", b"after")
    assert read(broker, "read_committed", 1) == [b"after"]


def test_committed_and_aborted(broker: barnabas.Broker) -> None:
    producer = broker.producer(transactional_id="x")
    with producer.transaction():
        for partition in range(3):
            producer.send("out", b"one", partition=partition)
    with pytest.raises(ZeroDivisionError), producer.transaction():
        _ = producer.send_many("out", [b"aborted"] * 10), 1 // 0
    with producer.transaction():
        producer.send("out", b"two")
    assert sorted(v or b"" for v in read(broker, "read_committed", 4)) == [b"one"] * 3 + [b"two"]
    assert read(broker, "read_uncommitted").count(b"aborted") == 10
    assert sorted(v or b"" for v in network_read(broker, 4)) == [b"one"] * 3 + [b"two"]


def test_an_open_transaction_is_not_seen(broker: barnabas.Broker) -> None:
    producer = broker.producer(transactional_id="x")
    transaction = producer.transaction()
    producer.send("out", b"open").result(5)
    assert read(broker, "read_committed") == []
    assert read(broker, "read_uncommitted") == [b"open"]
    transaction.commit()
    assert read(broker, "read_committed", 1) == [b"open"]


def test_offsets_are_committed_with_the_records(broker: barnabas.Broker) -> None:
    broker.producer().send_many("in", [b"%d" % number for number in range(10)])
    producer = broker.producer(transactional_id="x")
    config = {
        "group": "g",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "timeout": 10,
    }
    with broker.consumer(["in"], **config) as consumer:
        batch = next(consumer)
        transaction = producer.transaction()
        producer.send_many("out", batch.values, partition=0)
        transaction.commit_offsets(consumer)
        transaction.abort()
        assert consumer.committed() == {}
        with producer.transaction() as transaction:
            producer.send_many("out", batch.values, partition=0)
            transaction.commit_offsets(consumer)
            with pytest.raises(TimeoutError, match="group g is open after 0 s"):
                consumer.committed(timeout=0)
        assert consumer.committed() == {("in", 0): 10}
    assert read(broker, "read_committed", 10) == [b"%d" % number for number in range(10)]


def test_a_second_producer_fences_the_first(broker: barnabas.Broker) -> None:
    zombie = broker.producer(transactional_id="x")
    transaction = zombie.transaction()
    zombie.send("out", b"zombie").result(5)
    with broker.producer(transactional_id="x") as producer, producer.transaction():
        producer.send("out", b"new")
    with pytest.raises(KafkaError) as fenced:
        transaction.commit()
    assert fenced.value.code in (ErrorCode.producer_fenced, ErrorCode.invalid_producer_epoch)
    assert read(broker, "read_committed", 1) == [b"new"]


@pytest.mark.parametrize("writes", [False, True])
def test_who_was_told_of_another_producer_begins_no_transaction(
    broker: barnabas.Broker, writes: bool
) -> None:
    zombie = broker.producer(transactional_id="x")
    with zombie.transaction():
        zombie.send("out", b"before", partition=0)
    producer = broker.producer(transactional_id="x")
    if writes:  # then the log refuses the old epoch
        with producer.transaction():
            producer.send("out", b"new", partition=0)
    for _ in range(2):  # the first is told when it sends
        with pytest.raises(KafkaError) as fenced, zombie.transaction():
            zombie.send("out", b"zombie", partition=0)
        assert fenced.value.code is ErrorCode.producer_fenced
    with pytest.raises(KafkaError) as fenced:
        zombie.transaction()
    assert fenced.value.code is ErrorCode.producer_fenced


def test_a_closed_producer_begins_no_transaction(broker: barnabas.Broker) -> None:
    producer = broker.producer(transactional_id="x")
    producer.close()
    with pytest.raises(BrokerClosed, match="the producer is closed"):
        producer.transaction()


def test_a_record_that_is_refused_aborts(broker: barnabas.Broker) -> None:
    producer = broker.producer(transactional_id="x")
    transaction = producer.transaction()
    producer.send("out", b"fine", partition=0)
    producer.send("out", b"x" * 2_000_000, partition=0)
    with pytest.raises(KafkaError) as refused:
        transaction.commit()
    assert refused.value.code is ErrorCode.message_too_large
    assert read(broker, "read_committed") == []
    with producer.transaction():
        producer.send("out", b"next", partition=0)
    assert read(broker, "read_committed", 1) == [b"next"]


def test_a_transaction_takes_too_long(broker: barnabas.Broker) -> None:
    with barnabas.Broker(
        config={"transaction.abort.timed.out.transaction.cleanup.interval.ms": 100}
    ) as other:
        other.create_topic("out")
        producer = other.producer(transactional_id="x", transaction_timeout_ms=200)
        transaction = producer.transaction()
        producer.send("out", b"slow").result(5)
        reader = other.consumer(
            ["out"], isolation_level="read_committed", auto_offset_reset="earliest"
        )
        time.sleep(1.5)
        with pytest.raises(KafkaError):
            transaction.commit()
        other.producer().send("out", b"after").result(5)
        batch = reader.poll(10)
        assert batch is not None
        assert batch.values == [b"after"]


def test_misuse_is_said(broker: barnabas.Broker) -> None:
    with pytest.raises(ValueError, match="without transactional_id"):
        broker.producer().transaction()
    producer = broker.producer(transactional_id="x")
    with pytest.raises(KafkaError, match="within transaction"):
        producer.send("out", b"outside")
    with producer.transaction() as transaction:
        with pytest.raises(ValueError, match="still open"):
            producer.transaction()
        with pytest.raises(ValueError, match="no group"):
            transaction.commit_offsets(broker.consumer(["in"]))
        with pytest.raises(ValueError, match="commits by itself"):
            transaction.commit_offsets(broker.consumer(["in"], group="g"))


def test_a_restart_aborts_what_was_open(broker: barnabas.Broker) -> None:
    producer = broker.producer(transactional_id="x")
    producer.transaction()
    producer.send("out", b"open").result(5)
    producer.close()
    assert read(broker, "read_committed") == []
    again = broker.producer(transactional_id="x")
    with again.transaction():
        again.send("out", b"committed")
    assert read(broker, "read_committed", 1) == [b"committed"]


def test_closing_gives_up_what_cannot_be_ended(tmp_path: Path) -> None:
    """A fenced producer's transaction, a listener that raises: the logs are closed even so."""

    def refuse(_partitions: object) -> None:
        raise RuntimeError("from a listener")

    with barnabas.Broker(tmp_path) as broker:
        broker.create_topic("out")
        zombie = broker.producer(transactional_id="x")
        zombie.transaction()
        zombie.send("out", b"zombie").result(5)
        broker.producer(transactional_id="x")
        consumer = broker.consumer(["out"], group="g", on_revoked=refuse)
        deadline = time.monotonic() + 20
        while not consumer.assignment():
            assert time.monotonic() < deadline
            consumer.poll(0.02)
    assert (tmp_path / ".kafka_cleanshutdown").exists()
