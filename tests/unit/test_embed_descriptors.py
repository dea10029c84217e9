"""What a closed broker leaves open: nothing, whether or not the garbage collector has run."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import barnabas


def open_files() -> set[tuple[str, str]]:
    """(number, what it is) of each descriptor of this process."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except FileNotFoundError:
            continue  # that of the listing itself
    return found


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def use(broker: barnabas.Broker) -> list[object]:
    """Clients of all kinds, which somebody keeps."""
    broker.create_topic("t", partitions=2)
    producer = broker.producer(transactional_id="x")
    hook = broker.on_append("t", lambda batch: None)
    with producer.transaction():
        producer.send_many("t", [b"1", b"2"])
    alone = broker.consumer(["t"], auto_offset_reset="earliest")
    member = broker.consumer(["t"], auto_offset_reset="earliest", group="g")
    assert alone.poll(30) is not None
    assert member.poll(30) is not None
    assert hook.wait(30)
    return [producer, hook, alone, member]


@pytest.mark.parametrize("is_temporary", [True, False])
@pytest.mark.usefixtures("no_collector")
def test_a_closed_broker_leaves_no_descriptor_open(tmp_path: Path, is_temporary: bool) -> None:
    with barnabas.Broker() as broker:  # what is opened once in a process is open then
        use(broker)
    before = open_files()
    kept: list[object] = []
    for number in range(3):
        with barnabas.Broker(None if is_temporary else tmp_path / str(number)) as broker:
            kept += [broker, *use(broker)]
            assert len(open_files()) > len(before)
    assert open_files() - before == set()


def test_a_hundred_brokers_in_one_process() -> None:
    brokers: list[barnabas.Broker] = []
    try:
        for number in range(100):
            brokers.append(barnabas.Broker(config={"num.network.threads": 1}))
            brokers[-1].producer().send("t", b"%d" % number).result()
        for number, broker in enumerate(brokers):
            with broker.consumer(["t"], auto_offset_reset="earliest") as consumer:
                batch = consumer.poll(30)
                assert batch is not None
                assert batch.values == [b"%d" % number]
    finally:
        for broker in brokers:
            broker.close()
