"""A topic that is deleted and made again under its name is another one, for whoever reads it."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer as NetworkConsumer
from confluent_kafka import TopicPartition
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.embedded.batch import ConsumedBatch
from barnabas.embedded.consumer import Consumer
from barnabas.errors import KafkaError


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        broker.create_topic("t")
        yield broker


def send(broker: barnabas.Broker, *values: bytes) -> None:
    broker.producer().send_many("t", list(values)).result(5)


def remake(broker: barnabas.Broker) -> None:
    broker.delete_topic("t")
    broker.create_topic("t")


def member(broker: barnabas.Broker, **config: Any) -> Consumer:
    return broker.consumer(
        ["t"], **{"group": "g", "auto_offset_reset": "earliest", "timeout": 5, **config}
    )


def committed(broker: barnabas.Broker) -> int:
    """What a client on the network sees: below zero, nothing."""
    network = NetworkConsumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "g"})
    (found,) = network.committed([TopicPartition("t", 0)], timeout=20)
    network.close()
    return int(found.offset)


def test_what_was_read_of_a_deleted_topic_is_not_committed(broker: barnabas.Broker) -> None:
    send(broker, b"1", b"2", b"3")
    with member(broker) as consumer:
        assert next(consumer).next_offset == 3
        broker.delete_topic("t")
    broker.create_topic("t")
    assert committed(broker) < 0
    send(broker, b"new")
    with member(broker) as consumer:
        assert next(consumer).values == [b"new"]


def test_nor_is_it_for_the_topic_that_has_its_name_now(broker: barnabas.Broker) -> None:
    send(broker, b"1", b"2", b"3")
    with member(broker, enable_auto_commit=False) as consumer:
        assert next(consumer).next_offset == 3
        remake(broker)
        consumer.commit()
        with pytest.raises(KafkaError) as refused:
            consumer.commit({("t", 0): 3})
        assert refused.value.code is ErrorCode.unknown_topic_id
        with pytest.raises(KafkaError) as unknown:
            consumer.commit({("t", 7): 3})
        assert unknown.value.code is ErrorCode.unknown_topic_or_partition
    assert committed(broker) < 0


def test_nor_in_a_transaction(broker: barnabas.Broker) -> None:
    send(broker, b"1", b"2", b"3")
    producer = broker.producer(transactional_id="x")
    with member(broker, enable_auto_commit=False) as consumer:
        assert next(consumer).next_offset == 3
        remake(broker)
        with producer.transaction() as transaction:
            producer.send("out", b"x")
            transaction.commit_offsets(consumer)
    assert committed(broker) < 0


@pytest.mark.parametrize(
    "config",
    [
        {"group": None, "auto_offset_reset": "earliest"},
        {"group": None, "auto_offset_reset": "latest"},
        {"group": "g", "auto_offset_reset": "earliest"},
    ],
)
def test_it_is_read_from_its_beginning(broker: barnabas.Broker, config: dict[str, Any]) -> None:
    consumer = member(broker, **config)
    deadline = time.monotonic() + 20
    while not consumer.assignment():
        assert consumer.poll(0.1) is None
        assert time.monotonic() < deadline
    consumer.poll(0)  # it knows where it begins
    send(broker, b"1", b"2")
    assert next(consumer).values == [b"1", b"2"]
    remake(broker)
    send(broker, b"a", b"b", b"c")
    assert next(consumer).values == [b"a", b"b", b"c"]
    consumer.close()


def test_a_hook_sees_it_from_its_beginning(broker: barnabas.Broker) -> None:
    seen: list[bytes | None] = []

    def show(batch: ConsumedBatch) -> None:
        seen.extend(batch.values)

    with broker.on_append("t", show) as hook:
        send(broker, b"1", b"2")
        assert hook.wait(20)
        remake(broker)
        send(broker, b"a")
        assert hook.wait(20)
        assert seen == [b"1", b"2", b"a"]


@pytest.mark.parametrize("reset", ["earliest", "latest"])
@pytest.mark.parametrize("is_read", [True, False])
def test_a_consumer_whose_topic_goes_has_nothing_to_read(
    broker: barnabas.Broker, reset: str, is_read: bool
) -> None:
    broker.create_topic("other")
    consumer = broker.consumer(["t", "other"], auto_offset_reset=reset)
    assert consumer.assignment() == [("other", 0), ("t", 0)]
    if is_read:
        assert consumer.poll() is None  # and so its position is known
    broker.delete_topic("t")
    assert consumer.poll() is None
    broker.producer().send("other", b"goes on").result()
    if is_read or reset == "earliest":
        batch = consumer.poll(5)
        assert batch is not None
        assert batch.values == [b"goes on"]
    uses: list[Callable[[], object]] = [
        consumer.lag,
        consumer.seek_to_beginning,
        consumer.seek_to_end,
        lambda: consumer.seek_to_time(0),
    ]
    for use in uses:
        with pytest.raises(KafkaError) as raised:
            use()
        assert raised.value.code is ErrorCode.unknown_topic_or_partition


def test_a_hook_waits_for_a_topic_that_goes_and_comes(broker: barnabas.Broker) -> None:
    seen: list[bytes | None] = []
    going = threading.Event()
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            while not going.is_set():
                assert hook.wait(20)
        except BaseException as error:
            errors.append(error)

    with broker.on_append("t", lambda batch: seen.extend(batch.values)) as hook:
        waiting = threading.Thread(target=wait)
        waiting.start()
        for _ in range(50):
            remake(broker)
        going.set()
        waiting.join(30)
        send(broker, b"new")
        assert hook.wait(20)
        assert (errors, hook.failure, seen) == ([], None, [b"new"])
