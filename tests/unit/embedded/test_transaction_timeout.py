"""Transactions that take longer than they may: the coordinator aborts them."""

from collections.abc import Callable, Iterator

import pytest
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.embedded.producer import Producer
from barnabas.embedded.transaction import Transaction
from barnabas.errors import KafkaError


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker(clock=barnabas.VirtualClock()) as broker:
        broker.create_topic("out", partitions=2)
        yield broker


@pytest.fixture
def producer(broker: barnabas.Broker) -> Producer:
    return broker.producer(transactional_id="x", transaction_timeout_ms=60_000)


@pytest.fixture
def late(broker: barnabas.Broker, producer: Producer) -> Transaction:
    """A transaction that the coordinator has aborted."""
    transaction = producer.transaction()
    producer.send("out", b"slow", partition=0).result()
    broker.clock.advance(minutes=2)
    return transaction


def committed(broker: barnabas.Broker, count: int) -> list[bytes | None]:
    values: list[bytes | None] = []
    with broker.consumer(
        ["out"], isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        while len(values) < count:
            batch = consumer.poll(30)
            assert batch is not None
            values += batch.values
    return values


def refusal_of(act: Callable[[], object]) -> ErrorCode:
    with pytest.raises(KafkaError) as refused:
        act()
    return refused.value.code


@pytest.mark.parametrize("partition", [None, 0, 1])
def test_the_commit_tells_and_the_next_transaction_is_committed(
    broker: barnabas.Broker, producer: Producer, late: Transaction, partition: int | None
) -> None:
    if partition is not None:  # one of the transaction, or another
        assert refusal_of(lambda: producer.send("out", b"late", partition=partition).result()) in (
            ErrorCode.invalid_producer_epoch,
            ErrorCode.producer_fenced,
            ErrorCode.invalid_txn_state,
        )
    assert refusal_of(late.commit) is ErrorCode.invalid_producer_epoch
    with producer.transaction():
        for number in range(2):
            producer.send("out", b"next", partition=number)
    assert committed(broker, 2) == [b"next"] * 2


def test_an_abort_finds_it_done(
    broker: barnabas.Broker, producer: Producer, late: Transaction
) -> None:
    late.abort()
    with producer.transaction():
        producer.send("out", b"next", partition=0)
    assert committed(broker, 1) == [b"next"]


def test_whoever_has_the_id_by_then_keeps_it(
    broker: barnabas.Broker, producer: Producer, late: Transaction
) -> None:
    heir = broker.producer(transactional_id="x")
    assert refusal_of(late.commit) is ErrorCode.producer_fenced
    assert refusal_of(producer.transaction) is ErrorCode.producer_fenced
    with heir.transaction():
        heir.send("out", b"heir", partition=0)
    assert committed(broker, 1) == [b"heir"]
