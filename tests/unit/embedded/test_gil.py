"""What the native core does for a client in this process holds up no other thread of Python."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

import barnabas

VALUE = bytes(32 << 20)  # one record is as long in the core as a million
WORTH_WATCHING_S = 0.02


@contextmanager
def ticking() -> Iterator[Callable[[], float]]:
    """A thread that runs as often as it can, every ms; how long it could not, the longest time."""
    ticks = [time.monotonic()]
    is_over = threading.Event()

    def tick() -> None:
        while not is_over.wait(0.001):
            ticks.append(time.monotonic())

    def longest() -> float:
        seen = [*ticks, time.monotonic()]
        return max(after - before for before, after in itertools.pairwise(seen))

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield longest
    finally:
        is_over.set()
        thread.join()


def watch(work: Callable[[], None]) -> None:
    with ticking() as longest:
        begin = time.monotonic()
        work()
        took = time.monotonic() - begin
        assert took > WORTH_WATCHING_S
        assert longest() < took / 2, work.__name__


def test_others_run_while_batches_are_made_and_read() -> None:
    with barnabas.Broker() as broker:
        broker.create_topic("t", config={"max.message.bytes": len(VALUE) + 1000})
        producer = broker.producer(batch_size=len(VALUE) + 1000, compression_type="gzip")
        consumer = broker.consumer(["t"], auto_offset_reset="earliest")

        def send() -> None:
            producer.send("t", VALUE).result()

        def send_many() -> None:
            producer.send_many("t", [VALUE]).result()

        def read() -> None:
            batch = consumer.poll(20)
            assert batch is not None
            assert len(batch) == 2

        for work in (send, send_many, read):
            watch(work)


@pytest.mark.parametrize("stalls", ["write", "read"])
def test_others_run_while_a_disk_does_not_answer(stalls: Literal["write", "read"]) -> None:
    with barnabas.Broker() as broker:
        producer = broker.producer()
        producer.send("t", b"x").result(5)
        consumer = broker.consumer(["t"], auto_offset_reset="earliest")
        consumer.assignment()

        def work() -> None:
            if stalls == "write":
                producer.send("t", b"x").result()
            else:
                assert consumer.poll(20) is not None

        with broker.faults.disk.delay(stalls, seconds=0.5):
            watch(work)
