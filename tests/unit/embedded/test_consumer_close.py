"""Consumers that are closed by another thread, in the middle of a join, or in spite of an error."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.embedded.consumer import Consumer
from barnabas.errors import BrokerClosed, KafkaError
from barnabas.testing import faults


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        broker.create_topic("t", partitions=8)
        yield broker


def member(broker: barnabas.Broker, **config: Any) -> Consumer:
    return broker.consumer(["t"], **{"group": "g", "auto_offset_reset": "earliest", **config})


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def until_assigned(*consumers: Consumer) -> None:
    wait_for(lambda: [c.poll(0.02) for c in consumers] and all(c.assignment() for c in consumers))


def members(broker: barnabas.Broker) -> int:
    """As an admin client on the network sees them."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    return len(admin.describe_consumer_groups(["g"])["g"].result(20).members)


def read_until_closed(consumer: Consumer, seen: list[int], errors: list[BaseException]) -> None:
    try:
        while True:
            batch = consumer.poll(5)
            assert batch is not None
            seen[batch.partition] = batch.next_offset
    except BrokerClosed:
        pass
    except BaseException as error:
        errors.append(error)


@pytest.mark.parametrize("group", ["g", None])
def test_a_closed_consumer_is_of_no_use(broker: barnabas.Broker, group: str | None) -> None:
    broker.producer().send("t", b"v", partition=0).result()
    consumer = member(broker, group=group, enable_auto_commit=False)
    while consumer.poll(1) is None:
        pass
    consumer.close()
    uses: list[Callable[[], object]] = [
        consumer.poll,
        consumer.assignment,
        consumer.positions,
        consumer.lag,
        consumer.commit,
        consumer.committed,
        consumer.seek_to_beginning,
        consumer.seek_to_end,
        lambda: next(consumer),
        lambda: consumer.commit({("t", 0): 1}),
        lambda: consumer.position("t", 0),
        lambda: consumer.seek("t", 0, 0),
        lambda: consumer.seek_to_time(0),
        lambda: consumer.pause("t", 0),
        lambda: consumer.resume("t", 0),
    ]
    for use in uses:
        with pytest.raises(BrokerClosed, match="the consumer is closed"):
            use()
    assert consumer.missed == 0


def test_its_offsets_do_not_drop_out_of_a_transaction(broker: barnabas.Broker) -> None:
    broker.producer().send("t", b"v").result()
    consumer = member(broker, enable_auto_commit=False)
    while consumer.poll(1) is None:
        pass
    consumer.close()
    producer = broker.producer(transactional_id="x")
    transaction = producer.transaction()
    producer.send("t", b"w")
    with pytest.raises(BrokerClosed, match="the consumer is closed"):
        transaction.commit_offsets(consumer)
    transaction.abort()
    reader = member(broker, group=None, isolation_level="read_committed", timeout=0)
    assert [value for batch in reader for value in batch.values] == [b"v"]


def test_a_listener_uses_a_consumer_that_is_about_to_close(broker: barnabas.Broker) -> None:
    broker.producer().send("t", b"v", partition=3).result()
    seen: list[int] = []

    def revoked(partitions: list[tuple[str, int]]) -> None:
        assert partitions == consumer.assignment()
        consumer.commit()
        seen.append(consumer.position("t", 3))

    consumer = member(broker, enable_auto_commit=False, on_revoked=revoked)
    while consumer.poll(1) is None:
        pass
    consumer.close()
    assert seen == [1]
    with member(broker) as after:
        until_assigned(after)
        assert after.committed()["t", 3] == 1


@pytest.mark.parametrize("round_", range(10))
def test_another_thread_closes_while_records_are_read(broker: barnabas.Broker, round_: int) -> None:
    for partition in range(8):
        values = [b"x" * 100] * 2000
        broker.producer(batch_size=1000).send_many("t", values, partition=partition).result(20)
    consumer = member(broker, fetch_bytes=1000)
    until_assigned(consumer)
    seen, errors = [0] * 8, list[BaseException]()
    thread = threading.Thread(target=read_until_closed, args=(consumer, seen, errors))
    consumer.seek_to_beginning()
    thread.start()
    time.sleep(0.005 * round_)
    consumer.close()
    thread.join(20)
    assert not thread.is_alive()
    assert errors == []
    # Nothing is committed that nobody got.
    with member(broker, enable_auto_commit=False) as after:
        until_assigned(after)
        assert after.committed() == {("t", n): seen[n] for n in range(8) if seen[n]} | {
            key: 0 for key in after.committed() if not seen[key[1]]
        }


def test_a_broker_closes_while_records_are_read() -> None:
    for _ in range(5):
        check_broker_closes()


def check_broker_closes() -> None:
    errors: list[BaseException] = []
    with barnabas.Broker() as broker:
        broker.create_topic("t", partitions=8)
        broker.producer(batch_size=1000).send_many("t", [b"x" * 100] * 50_000).result(20)
        consumer = member(broker, fetch_bytes=1000, auto_commit_interval_ms=1)
        thread = threading.Thread(target=read_until_closed, args=(consumer, [0] * 8, errors))
        thread.start()
        wait_for(lambda: not thread.is_alive() or consumer.assignment())
    thread.join(20)
    assert not thread.is_alive()
    assert errors == []


@pytest.mark.parametrize("delay_s", [0, 0.0005, 0.05])
def test_a_consumer_closed_while_joining_is_no_member(
    broker: barnabas.Broker, delay_s: float
) -> None:
    first = member(broker)
    until_assigned(first)
    second = member(broker)
    second.poll(0)  # asks, and has to wait for the first one to join again
    time.sleep(delay_s)
    second.close()
    until_assigned(first)
    wait_for(lambda: first.poll(0.02) is None and len(first.assignment()) == 8)
    wait_for(lambda: members(broker) == 1)
    first.close()
    assert members(broker) == 0


def test_a_listener_that_raises_does_not_keep_the_member(broker: barnabas.Broker) -> None:
    def refuse(partitions: object) -> None:
        raise RuntimeError("no")

    broker.producer().send("t", b"x", partition=3).result(5)
    consumer = member(broker, on_revoked=refuse)
    until_assigned(consumer)
    with pytest.raises(RuntimeError, match="no"):
        consumer.close()
    assert members(broker) == 0
    with pytest.raises(BrokerClosed):
        consumer.poll(0)


def test_a_listener_that_raises_in_a_rebalance_is_asked_once(broker: barnabas.Broker) -> None:
    asked: list[object] = []

    def refuse(partitions: object) -> None:
        asked.append(partitions)
        raise RuntimeError("no")

    first = member(broker, on_revoked=refuse)
    until_assigned(first)
    second = member(broker)
    second.poll(0)
    time.sleep(0.5)  # a heartbeat hears of it
    with pytest.raises(RuntimeError, match="no"):
        first.poll(0)
    until_assigned(first, second)
    assert len(asked) == 1
    with pytest.raises(RuntimeError):
        first.close()


def test_a_member_whose_offsets_cannot_be_read_joins_again(broker: barnabas.Broker) -> None:
    consumer = member(broker, heartbeat_interval_ms=40_000)  # none comes to its help
    consumer.poll(0)
    wait_for(lambda: consumer._joining is None or consumer._joining.done())
    broker.delete_topic("__consumer_offsets")
    with pytest.raises(KafkaError) as refused:
        consumer.poll(1)
    assert refused.value.code is ErrorCode.not_coordinator
    until_assigned(consumer)
    assert len(consumer.assignment()) == 8


def test_a_poll_ends_in_time_while_offsets_are_undecided(broker: barnabas.Broker) -> None:
    broker.producer().send_many("t", [b"x"] * 10, partition=0).result(5)
    producer = broker.producer(transactional_id="x")
    config = {"isolation_level": "read_committed", "enable_auto_commit": False}
    first = member(broker, **config)
    wait_for(lambda: first.poll(0.02) is not None)
    transaction = producer.transaction()
    transaction.commit_offsets(first)
    first.close()
    second = member(broker, **config)
    begin = time.monotonic()
    assert second.poll(0.5) is None
    assert time.monotonic() - begin < 3
    assert second.assignment() == []
    transaction.commit()
    until_assigned(second)
    assert second.committed() == {("t", 0): 10}


def test_a_poll_that_is_cancelled_loses_nothing(broker: barnabas.Broker) -> None:
    """Each record once, though whoever waits for it loses patience in the middle of a read."""
    count = 400
    broker.producer(batch_size=100).send_many("t", [b"%d" % n for n in range(count)], partition=0)
    consumer = broker.consumer(["t"], auto_offset_reset="earliest", fetch_bytes=1)
    seen: list[int] = []

    async def read() -> int:
        cancelled = 0
        with faults.delay("read", f"{broker.data_dir}/t-0/*.log", seconds=0.004):
            while len(seen) < count:
                task = asyncio.create_task(consumer.poll_async(5))
                is_impatient = len(seen) % 2 and cancelled < 50
                await asyncio.wait({task}, timeout=0.002 if is_impatient else 0.2)
                if not task.done():
                    task.cancel()
                try:
                    batch = await task
                except asyncio.CancelledError:
                    cancelled += 1
                    if cancelled > 100:
                        break
                    batch = consumer.poll(5)
                assert batch is not None
                seen.extend(batch.offsets.tolist())
        return cancelled

    assert asyncio.run(read()) > 0
    assert seen == list(range(len(seen)))


def test_a_loop_goes_on_while_records_are_read(broker: barnabas.Broker) -> None:
    broker.producer().send_many("t", [b"x"], partition=0).result(5)
    consumer = broker.consumer(["t"], auto_offset_reset="earliest")

    async def read() -> int:
        ticks = 0
        with faults.delay("read", f"{broker.data_dir}/t-0/*.log", seconds=0.5):
            task = asyncio.create_task(consumer.poll_async(5))
            while not task.done():
                await asyncio.sleep(0.01)
                ticks += 1
        assert await task is not None
        return ticks

    assert asyncio.run(read()) > 10


def test_async_with_closes_it(broker: barnabas.Broker) -> None:
    async def use() -> None:
        async with broker.producer() as producer:
            await producer.send("t", b"x")
        async with broker.consumer(["t"], auto_offset_reset="earliest", timeout=5) as consumer:
            batch = await consumer.poll_async()
            assert batch is not None
            assert batch.values == [b"x"]
        for closed in (lambda: producer.send("t", b"y"), consumer.poll):
            with pytest.raises(BrokerClosed):
                closed()

    asyncio.run(use())
