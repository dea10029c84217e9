"""Commits that nobody asked for: they may fail, and reading goes on."""

import errno
import time
from functools import partial

import pytest
from confluent_kafka import Consumer as NetworkConsumer
from confluent_kafka import TopicPartition
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.embedded.consumer import Consumer
from barnabas.embedded.host import answer
from barnabas.state.group.liveness import Leaver


def committed(broker: barnabas.Broker) -> int:
    """What a client on the network sees: below zero, nothing."""
    network = NetworkConsumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "g"})
    (found,) = network.committed([TopicPartition("t", 0)], timeout=20)
    network.close()
    return int(found.offset)


def read_one(consumer: Consumer) -> list[bytes | None]:
    batch = consumer.poll(20)
    assert batch is not None
    return batch.values


def put_out(broker: barnabas.Broker, consumer: Consumer) -> None:
    """As an administrator does."""
    leavers = (Leaver(consumer.membership()[0], None),)
    left = broker.call(lambda: answer(partial(broker.services.groups.leave, "g", leavers)))
    assert left.error is ErrorCode.none


def test_a_commit_that_cannot_be_stored_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    with barnabas.Broker() as broker:
        broker.producer().send("t", b"1").result(5)
        consumer = broker.consumer(
            ["t"], group="g", auto_offset_reset="earliest", auto_commit_interval_ms=1
        )
        assert read_one(consumer) == [b"1"]
        full = broker.faults.disk.fail("write", "__consumer_offsets-*/*.log", error=errno.ENOSPC)
        with full as fault:
            deadline = time.monotonic() + 20
            while fault.struck == 0:
                assert time.monotonic() < deadline
                assert consumer.poll(0.01) is None
        assert "group g: not committed" in caplog.text
        while committed(broker) != 1:
            assert time.monotonic() < deadline
            assert consumer.poll(0.01) is None


def test_who_is_put_out_meanwhile_joins_again(caplog: pytest.LogCaptureFixture) -> None:
    with barnabas.Broker() as broker:
        broker.producer().send("t", b"1").result(5)
        consumer = broker.consumer(
            ["t"],
            group="g",
            auto_offset_reset="earliest",
            auto_commit_interval_ms=1,
            heartbeat_interval_ms=40_000,  # so that none tells it
        )
        assert read_one(consumer) == [b"1"]
        put_out(broker, consumer)
        assert read_one(consumer) == [b"1"]  # as nobody has committed it
        assert "not committed" in caplog.text
