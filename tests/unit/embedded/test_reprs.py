"""What the objects of the public API show of themselves."""

import re
from datetime import UTC, datetime
from pathlib import Path

import barnabas


def test_clients_show_what_they_are_of_and_their_state(broker: barnabas.Broker, topic: str) -> None:
    producer = broker.producer()
    assert repr(producer) == "<barnabas.Producer, open>"
    sent = producer.send(topic, b"v")
    assert re.fullmatch(rf"<barnabas\.Delivery to {topic}-0, (pending|done)>", repr(sent))
    bulk = producer.send_many(topic, [b"v"] * 2)
    bulk.result(5)
    assert repr(bulk) == "<barnabas.BulkDelivery of 2 records, done>"
    refused = producer.send_many(topic, [b"x" * 2_000_000])
    assert repr(refused).startswith("<barnabas.BulkDelivery of 0 records, then KafkaError(")
    producer.close()
    assert repr(producer) == "<barnabas.Producer, closed>"
    consumer = broker.consumer([topic], group=topic)
    assert repr(consumer) == f"<barnabas.Consumer of {topic}, group {topic!r}, 0 partitions>"
    while not consumer.assignment():
        consumer.poll(1)
    assert repr(consumer) == f"<barnabas.Consumer of {topic}, group {topic!r}, 1 partition>"
    consumer.close()
    assert repr(consumer) == f"<barnabas.Consumer of {topic}, group {topic!r}, closed>"
    of_many = broker.consumer(["a", "b", "c", "d"])
    assert repr(of_many) == "<barnabas.Consumer of 4 topics, 0 partitions>"


def test_transactions_and_hooks_show_their_state(broker: barnabas.Broker, topic: str) -> None:
    hook = broker.on_append(topic, lambda batch: batch)
    producer = broker.producer(transactional_id="tx")
    assert repr(producer) == "<barnabas.Producer of transactional id tx, open>"
    with producer.transaction() as transaction:
        producer.send(topic, b"v")
        assert repr(transaction) == "<barnabas.Transaction of transactional id tx, open>"
    assert repr(transaction) == "<barnabas.Transaction of transactional id tx, over>"
    assert hook.wait(10)
    assert repr(hook) == f"<barnabas.AppendHook of {topic}, 1 call, 0 errors>"
    hook.remove()
    assert repr(hook) == f"<barnabas.AppendHook of {topic}, 1 call, 0 errors, closed>"


def test_a_log_shows_its_offsets(tmp_path: Path) -> None:
    with barnabas.Log(tmp_path) as log:
        log.append([(None, b"v")] * 3)
        assert repr(log) == f"<barnabas.Log at {tmp_path}, offsets 0 up to 3>"
    assert repr(log) == f"<barnabas.Log at {tmp_path}, closed>"


def test_a_clock_shows_its_time() -> None:
    clock = barnabas.VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert repr(clock) == "<barnabas.VirtualClock at 2026-01-01 00:00:00+00:00>"
