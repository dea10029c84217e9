"""Producers that are closed while they are at work, in callbacks, and at the end of the process."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import barnabas
from barnabas.errors import BrokerClosed
from barnabas.testing import faults
from peers.processes import wait_until


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        broker.create_topic("t")
        broker.create_topic("safe", config={"flush.messages": 1})
        yield broker


def in_time(call: Callable[[], object], seconds: float = 20) -> None:
    """Fails when it hangs."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]


def run_program(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


CLOSING = """
import threading, barnabas

broker = barnabas.Broker()
broker.create_topic("t", config={config})
producer = broker.producer(linger_ms=1)
closed = threading.Event()

def close(delivery):
    {what}.close()
    closed.set()

producer.send("t", b"v").add_done_callback(close)
assert closed.wait(20)
broker.close()
print("closed")
"""


@pytest.mark.parametrize("what", ["producer", "broker"])
@pytest.mark.parametrize("config", [{}, {"flush.messages": 1}])
def test_a_callback_may_close(what: str, config: dict[str, int]) -> None:
    assert run_program(CLOSING.format(what=what, config=config)) == "closed\n"


def test_a_callback_may_close_what_another_thread_closes(broker: barnabas.Broker) -> None:
    called = threading.Event()

    def close(delivery: object) -> None:
        called.set()
        time.sleep(0.2)  # until the other one waits for this
        broker.close()

    broker.producer(linger_ms=0).send("t", b"v").add_done_callback(close)
    assert called.wait(20)
    in_time(broker.close)


def test_a_callback_may_call_the_broker_while_it_closes(broker: barnabas.Broker) -> None:
    called = threading.Event()
    outcome: list[str] = []

    def create(delivery: object) -> None:
        called.set()
        time.sleep(0.2)
        try:
            broker.create_topic("new")
            outcome.append("created")
        except BrokerClosed:
            outcome.append("refused")

    broker.producer(linger_ms=0).send("t", b"v").add_done_callback(create)
    assert called.wait(20)
    in_time(broker.close)
    assert outcome == ["created"]


def test_who_closes_second_waits_for_the_first(broker: barnabas.Broker) -> None:
    directories = [broker.data_dir.exists()]

    def close() -> None:
        broker.close()
        directories.append(broker.data_dir.exists())

    threads = [threading.Thread(target=close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert directories == [True, False, False, False, False]


def test_closing_while_threads_send_loses_nothing_that_was_taken(broker: barnabas.Broker) -> None:
    for _ in range(10):
        producer = broker.producer(batch_size=200, linger_ms=3_600_000)
        taken: list[list[barnabas.Delivery]] = [[] for _ in range(3)]

        def send(mine: list[barnabas.Delivery], producer: barnabas.Producer = producer) -> None:
            try:
                while True:
                    mine.append(producer.send("t", b"v" * 50))
            except BrokerClosed:
                pass

        threads = [threading.Thread(target=send, args=(mine,)) for mine in taken]
        for thread in threads:
            thread.start()
        time.sleep(0.02)
        in_time(producer.close)
        for thread in threads:
            thread.join(20)
        for delivery in (delivery for mine in taken for delivery in mine):
            assert delivery.result(20).offset >= 0


def test_an_await_ends_when_the_producer_is_closed(broker: barnabas.Broker) -> None:
    async def send_and_close() -> None:
        producer = broker.producer(linger_ms=3_600_000)
        sent = [asyncio.ensure_future(send(producer)) for _ in range(100)]
        await asyncio.sleep(0)
        await asyncio.to_thread(producer.close)
        await asyncio.wait_for(asyncio.gather(*sent), 20)

    async def send(producer: barnabas.Producer) -> None:
        assert (await producer.send("t", b"v")).offset >= 0

    in_time(lambda: asyncio.run(send_and_close()))


def test_what_comes_during_a_flush_is_durable_when_the_broker_closes(
    broker: barnabas.Broker,
) -> None:
    producer = broker.producer()
    with faults.delay("sync", "*.log", seconds=0.3, times=1) as slow:
        first = producer.send("safe", b"1")
        first_flush = threading.Thread(target=producer.flush)
        first_flush.start()
        wait_until(lambda: slow.struck == 1, 20, "the flush")
        second = producer.send_many("safe", [b"2"])
        in_time(broker.close)
    first_flush.join()
    assert first.result(20).offset == 0
    assert second.result(20) == [(0, 1, 1)]


def test_sending_in_bulk_while_the_broker_closes_ends(broker: barnabas.Broker) -> None:
    producer = broker.producer()
    ends: list[object] = []

    def send() -> None:
        try:
            while True:
                producer.send_many("safe", [b"v"] * 100).result()
        except BrokerClosed:
            ends.append(True)

    threads = [threading.Thread(target=send, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    in_time(broker.close)
    for thread in threads:
        thread.join(20)
    assert len(ends) == 4


EXITING = """
import atexit, barnabas

print("begins", flush=True)
brokers = [barnabas.Broker() for _ in range(2)]
for broker in brokers:
    broker.create_topic("t", config={config})
producers = [broker.producer(linger_ms=3_600_000) for broker in brokers]
for producer in producers:
    producer.send("t", b"v").add_done_callback(lambda delivery: print("called", flush=True))
"""


@pytest.mark.parametrize("config", [{}, {"flush.messages": 1}])
def test_callbacks_are_called_at_the_exit(config: dict[str, int]) -> None:
    assert run_program(EXITING.format(config=config)) == "begins\ncalled\ncalled\n"


FAILING = """
import logging, barnabas
from barnabas import embed

logging.disable()
brokers = [barnabas.Broker() for _ in range(3)]
for broker in brokers:
    broker._end_really = broker._end
    def fail(broker=broker):
        broker._end_really()
        print("closed", broker.data_dir.exists())
        raise OSError("cannot")
    broker._end = fail
"""


def test_a_broker_that_cannot_be_closed_at_the_exit_leaves_none_open() -> None:
    assert run_program(FAILING) == "closed False\n" * 3


def test_flush_waits_for_callbacks(broker: barnabas.Broker) -> None:
    producer = broker.producer(linger_ms=3_600_000)
    called: list[object] = []
    for number in range(100):
        producer.send("t" if number % 2 else "safe", b"v").add_done_callback(called.append)
    producer.flush()
    assert len(called) == 100


def test_a_callback_that_takes_long_delays_no_other_clients_acks(broker: barnabas.Broker) -> None:
    from confluent_kafka import Producer as NetworkProducer

    go_on = threading.Event()
    producer = broker.producer(linger_ms=0)
    # More than there are threads that make things durable.
    for _ in range(10):
        broker_producer = broker.producer(linger_ms=0)
        broker_producer.send("safe", b"v").add_done_callback(lambda delivery: go_on.wait(60))
    network = NetworkProducer({"bootstrap.servers": broker.bootstrap_servers, "acks": "all"})
    network.produce("safe", b"v")
    left = network.flush(10)
    go_on.set()
    assert left == 0
    producer.close()


def test_timeouts_hold_when_the_disk_does_not(broker: barnabas.Broker) -> None:
    producer = broker.producer(linger_ms=3_600_000)

    def flush(_: barnabas.Delivery) -> None:
        producer.flush(0.1)

    waits: list[Callable[[barnabas.Delivery], object]] = [
        lambda delivery: delivery.result(0.1),
        lambda delivery: delivery.exception(0.1),
        flush,
    ]
    for wait in waits:
        delivery = producer.send("t", b"v")
        with broker.faults.disk.delay("write", seconds=1.5):
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                wait(delivery)
            assert time.monotonic() - began < 1
        producer.flush(20)
    assert producer.send("t", b"v").result(20).offset == 3
