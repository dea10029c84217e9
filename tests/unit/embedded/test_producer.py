"""Broker.producer(): one record at a time."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer as NetworkConsumer
from confluent_kafka import TopicPartition
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.errors import BrokerClosed, ConfigError, KafkaError


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        broker.create_topic("t", partitions=4)
        broker.create_topic("one")
        yield broker


def network_records(
    broker: barnabas.Broker, topic: str, partition: int, count: int
) -> list[tuple[Any, Any, Any]]:
    """What a client on the network sees."""
    consumer = NetworkConsumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": "n", "log_level": 0}
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    try:
        messages = consumer.consume(count, 20)
        return [(message.key(), message.value(), message.headers()) for message in messages]
    finally:
        consumer.close()


def test_a_client_on_the_network_reads_what_was_sent_here(broker: barnabas.Broker) -> None:
    producer = broker.producer()
    producer.send("one", b"bytes", headers=[("a", b"1"), ("b", None)])
    producer.send("one", "text", key="key", headers={"é": b""})
    metadata = producer.send("one", None, key=b"tombstone", timestamp=123).result(5)
    assert (metadata.topic, metadata.partition, metadata.offset) == ("one", 0, 2)
    assert metadata.timestamp == 123
    assert network_records(broker, "one", 0, 3) == [
        (None, b"bytes", [("a", b"1"), ("b", None)]),
        (b"key", b"text", [("é", b"")]),
        (b"tombstone", None, None),
    ]


def test_keys_go_where_javas_partitioner_sends_them(broker: barnabas.Broker) -> None:
    broker.create_topic("wide", partitions=100)
    producer = broker.producer()
    # Utils.toPositive(Utils.murmur2(key)) % 100, of Kafka's UtilsTest.
    expected = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, hash_ in expected.items():
        assert producer.send("wide", b"", key=key).result(5).partition == (hash_ & 0x7FFFFFFF) % 100


def test_records_without_a_key_fill_one_batch_and_then_go_on(broker: barnabas.Broker) -> None:
    producer = broker.producer(batch_size=1000, linger_ms=60_000)
    deliveries = [producer.send("t", b"x" * 100) for _ in range(100)]
    producer.flush()
    partitions = [delivery.result(5).partition for delivery in deliveries]
    assert set(partitions) == {0, 1, 2, 3}
    changes = sum(a != b for a, b in itertools.pairwise(partitions))
    assert changes < 20  # eight records a batch, not one


def test_a_record_lingers_until_its_time(broker: barnabas.Broker) -> None:
    producer = broker.producer(linger_ms=50)
    began = time.monotonic_ns()
    written: list[int] = []
    done = threading.Event()

    def note(_: object) -> None:
        written.append(time.monotonic_ns())
        done.set()

    producer.send("one", b"x").add_done_callback(note)
    assert done.wait(30)
    assert written[0] - began >= 50_000_000
    slow = broker.producer(linger_ms=3_600_000).send("one", b"y")
    assert producer.send("one", b"z").result().offset == 1
    assert not slow.done()


def test_who_waits_for_a_record_does_not_linger(broker: barnabas.Broker) -> None:
    producer = broker.producer(linger_ms=3_600_000)
    assert producer.send("one", b"x").result(5).offset == 0

    async def wait() -> int:
        return (await asyncio.wait_for(producer.send("one", b"y"), 5)).offset

    assert asyncio.run(wait()) == 1


def test_many_tasks_share_batches(broker: barnabas.Broker) -> None:
    async def send_all() -> list[int]:
        producer = broker.producer()
        deliveries = (producer.send("one", b"%d" % i) for i in range(1000))
        return [metadata.offset for metadata in await asyncio.gather(*deliveries)]

    assert asyncio.run(send_all()) == list(range(1000))


def test_threads_lose_and_double_nothing(broker: barnabas.Broker) -> None:
    producer = broker.producer(batch_size=500)

    def send(thread: int) -> None:
        for number in range(5000):
            producer.send("one", b"%d %d" % (thread, number))

    threads = [threading.Thread(target=send, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    producer.flush()
    consumer = broker.consumer(["one"], auto_offset_reset="earliest", timeout=0)
    values = [value or b"" for batch in consumer for value in batch.values]
    assert len(values) == 20_000
    for sender in range(4):
        mine = [value for value in values if value.startswith(b"%d " % sender)]
        assert mine == [b"%d %d" % (sender, number) for number in range(5000)]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_every_codec(broker: barnabas.Broker, codec: str) -> None:
    producer = broker.producer(compression_type=codec)
    for number in range(100):
        producer.send("one", b"value %d" % number)
    producer.flush()
    assert [value for _, value, _ in network_records(broker, "one", 0, 100)] == [
        b"value %d" % number for number in range(100)
    ]


def test_a_record_too_large_is_refused_and_takes_no_other_with_it(broker: barnabas.Broker) -> None:
    producer = broker.producer()
    before = producer.send("one", b"before")
    large = producer.send("one", b"x" * 2_000_000)
    after = producer.send("one", b"after")
    assert before.result(5).offset == 0
    with pytest.raises(KafkaError) as refused:
        large.result(5)
    assert refused.value.code is ErrorCode.message_too_large
    assert after.result(5).offset == 1


def test_what_is_no_record_is_refused_at_once(broker: barnabas.Broker) -> None:
    producer = broker.producer()
    with pytest.raises(TypeError, match=r"value must be bytes, str or None, not 1 \(int\)"):
        producer.send("one", 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"key must be bytes, str or None, not 1\.5 \(float\)"):
        producer.send("one", b"", key=1.5)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"each of headers must be a pair .*, not \(b'bytes', b''\) \(tuple\)"
    ):
        producer.send("one", b"", headers=[(b"bytes", b"")])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"headers must be pairs of .*, not 5 \(int\)"):
        producer.send("one", b"", headers=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"partition must be an int or None, not '0' \(str\)"):
        producer.send("one", b"", partition="0")  # type: ignore[arg-type]
    with pytest.raises(KafkaError, match="one has partitions 0 to 0, not 1"):
        producer.send("one", b"", partition=1)
    with pytest.raises(KafkaError) as refused:
        producer.send("__consumer_offsets", b"")
    assert refused.value.code is ErrorCode.invalid_topic_exception
    for bad in ("", "a b", "x" * 250):
        with pytest.raises(KafkaError) as refused:
            producer.send(bad, b"")
        assert refused.value.code is ErrorCode.invalid_topic_exception
    assert producer.send("one", b"fine").result(5).offset == 0


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"compression_type": "brotli"}, "brotli"),
        ({"linger_ms": -1}, "linger_ms"),
        ({"batch_size": -1}, "batch_size"),
        ({"batch_size": 1 << 31}, "batch_size"),
        ({"transactional_id": ""}, "transactional_id"),
        ({"compression_type": "gzip", "compression_level": 10}, "10 of gzip"),
        ({"compression_type": "gzip", "compression_level": 0}, "0 of gzip"),
        ({"compression_type": "lz4", "compression_level": 18}, "18 of lz4"),
        ({"compression_type": "zstd", "compression_level": 23}, "23 of zstd"),
        ({"compression_type": "snappy", "compression_level": 1}, "snappy has no levels"),
    ],
)
def test_a_bad_configuration_names_its_key(
    broker: barnabas.Broker, config: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        broker.producer(**config)


def test_unknown_topics_are_made_where_the_broker_allows_it(broker: barnabas.Broker) -> None:
    assert broker.producer().send("new", b"x").result(5).offset == 0
    with barnabas.Broker(config={"auto.create.topics.enable": False}) as strict:
        with pytest.raises(KafkaError) as refused:
            strict.producer().send("new", b"x")
        assert refused.value.code is ErrorCode.unknown_topic_or_partition


def test_partitions_that_were_added_are_used(broker: barnabas.Broker) -> None:
    from confluent_kafka.admin import AdminClient, NewPartitions

    producer = broker.producer(batch_size=0)
    producer.send("one", b"x").result(5)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    for future in admin.create_partitions([NewPartitions("one", 3)]).values():
        future.result(20)
    partitions = {producer.send("one", b"x").result(5).partition for _ in range(10)}
    assert partitions == {0, 1, 2}


def test_a_deleted_topic_refuses_what_was_sent_to_it(broker: barnabas.Broker) -> None:
    producer = broker.producer(linger_ms=60_000)
    producer.send("one", b"x").result(5)
    delivery = producer.send("one", b"y")
    broker.delete_topic("one")
    with pytest.raises(KafkaError) as refused:
        delivery.result(5)
    assert refused.value.code is ErrorCode.unknown_topic_or_partition


def test_a_topic_made_again_with_fewer_partitions_is_learnt(broker: barnabas.Broker) -> None:
    producer = broker.producer(batch_size=0)
    for number in range(8):
        producer.send("t", b"x", key=b"%d" % number).result(5)
    broker.delete_topic("t")
    broker.create_topic("t", partitions=2)
    errors = [producer.send("t", b"x", key=b"%d" % number).exception(5) for number in range(100)]
    assert errors == [None] * 100
    partitions = {producer.send("t", b"x").result(5).partition for _ in range(10)}
    assert partitions == {0, 1}
    with pytest.raises(KafkaError, match="t has partitions 0 to 1, not 3"):
        producer.send("t", b"x", partition=3)
    assert sum(producer.send_many("t", [b"x"] * 10, list("abcdefghij")).result(5)[0]) > 0


@pytest.mark.parametrize(
    ("when", "timestamp_ms"),
    [
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (datetime(2026, 1, 1, 0, 0, 0, 1_999, UTC), 1_767_225_600_001),
        (np.datetime64("1970-01-01T00:00:01.0019"), 1_001),
        (np.datetime64("1970-01-02"), 86_400_000),
        (np.int64(7), 7),
    ],
)
def test_a_time_is_a_records_timestamp_and_found_by_it(
    broker: barnabas.Broker, when: Any, timestamp_ms: int
) -> None:
    producer = broker.producer()
    assert producer.send("one", b"x", timestamp=when).result(5).timestamp == timestamp_ms
    producer.send_many("one", [b"x"], timestamp=when).result(5)
    producer.send("one", b"later", timestamp=timestamp_ms + 1).result(5)
    consumer = broker.consumer(["one"])
    consumer.seek_to_time(timestamp_ms + 1)
    assert consumer.position("one", 0) == 2
    consumer.seek_to_time(when)
    is_between = isinstance(when, datetime | np.datetime64) and timestamp_ms % 10 == 1
    assert consumer.position("one", 0) == (2 if is_between else 0)


def test_log_append_time_is_told(broker: barnabas.Broker) -> None:
    broker.create_topic("stamped", config={"message.timestamp.type": "LogAppendTime"})
    assert broker.producer().send("stamped", b"x", timestamp=5).result(5).timestamp > 1e12


def test_with_flush_messages_a_delivery_waits_for_the_disk(broker: barnabas.Broker) -> None:
    broker.create_topic("safe", config={"flush.messages": 1})
    producer = broker.producer()
    assert [producer.send("safe", b"x").result(20).offset for _ in range(3)] == [0, 1, 2]
    producer.send("safe", b"y")
    producer.flush(20)


def test_closing_writes_what_was_sent(tmp_path: Path) -> None:
    with barnabas.Broker(tmp_path) as broker:
        broker.create_topic("t")
        producer = broker.producer(linger_ms=60_000)
        delivery = producer.send("t", b"x")
    assert delivery.result(0).offset == 0
    with pytest.raises(BrokerClosed):
        producer.send("t", b"y")
    with pytest.raises(BrokerClosed):
        broker.producer()
    with barnabas.Broker(tmp_path) as broker:
        consumer = broker.consumer(["t"], auto_offset_reset="earliest", timeout=0)
        assert [batch.values for batch in consumer] == [[b"x"]]


def test_a_callback_may_send(broker: barnabas.Broker) -> None:
    producer = broker.producer(batch_size=0)
    second: list[barnabas.Delivery] = []

    def send_another(delivery: object) -> None:
        second.append(producer.send("one", b"second"))

    producer.send("one", b"first").add_done_callback(send_another)
    assert second[0].result(5).offset == 1


def test_what_cannot_be_called_is_no_callback(broker: barnabas.Broker) -> None:
    sent = broker.producer(linger_ms=60_000).send("one", b"x")
    for _ in ("while it lingers", "once it is done"):
        with pytest.raises(TypeError, match=r"callback must be something to be called .*, not 5"):
            sent.add_done_callback(5)  # type: ignore[arg-type]
        sent.result(5)


def test_deliveries_come_from_a_producer_only() -> None:
    from barnabas._sender import Delivery

    with pytest.raises(TypeError):
        Delivery()


def test_a_producer_may_be_forgotten_while_its_records_linger(broker: barnabas.Broker) -> None:
    """The last reference goes in a callback, on the thread that the producer waits for."""

    async def send() -> int:
        return (await broker.producer().send("one", b"x")).offset

    assert [asyncio.run(send()) for _ in range(200)] == list(range(200))


def test_a_callback_awaits_what_it_sends(broker: barnabas.Broker) -> None:
    producer = broker.producer(linger_ms=20)
    outcomes: list[Any] = []
    is_over = threading.Event()

    async def send() -> None:
        sent = producer.send("one", b"second")
        outcomes.append((await sent).offset)
        outcomes.append(await producer.send_many("one", [b"third"]))
        with broker.faults.disk.hold("write", "one-0/*.log"), pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(producer.send("one", b"held"), 0.05)

    def call(_: object) -> None:
        asyncio.run(send())
        is_over.set()

    producer.send("one", b"first").add_done_callback(call)
    assert is_over.wait(20)
    assert outcomes == [1, [(0, 2, 1)]]
    producer.flush(20)
