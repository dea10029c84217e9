"""Broker.consumer(): batches as columns, positions, groups that network clients are in, too."""

import asyncio
import gc
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer as NetworkConsumer
from confluent_kafka import Producer as NetworkProducer
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.embedded.consumer import Consumer
from barnabas.errors import BrokerClosed, ConfigError, KafkaError


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        broker.create_topic("t", partitions=3)
        broker.create_topic("one")
        yield broker


def fill(broker: barnabas.Broker, topic: str, count: int, **config: Any) -> None:
    """Values 0 to count, one partition after the other, timestamps 1000, 1001, …"""
    producer = broker.producer(**config)
    for number in range(count):
        producer.send(topic, b"%d" % number, timestamp=1000 + number)
    producer.flush()


def from_start(broker: barnabas.Broker, topic: str, **config: Any) -> Consumer:
    return broker.consumer([topic], **{"auto_offset_reset": "earliest", "timeout": 0, **config})


def test_a_batch_is_columns(broker: barnabas.Broker) -> None:
    producer = broker.producer()
    producer.send("one", b"a", key=b"k", headers={"h": b"v"}, timestamp=5)
    producer.send("one", None, timestamp=6)
    producer.flush()
    (batch,) = from_start(broker, "one")
    assert (batch.topic, batch.partition, batch.next_offset, len(batch)) == ("one", 0, 2, 2)
    assert batch.offsets.dtype == np.int64
    assert batch.offsets.tolist() == [0, 1]
    assert batch.timestamps.tolist() == [5, 6]
    assert batch.values == [b"a", None]
    assert batch.keys == [b"k", None]
    assert batch.headers == [(("h", b"v"),), ()]
    records = list(batch)
    assert (records[0].key, records[0].value, records[0].headers) == (b"k", b"a", (("h", b"v"),))
    with pytest.raises(ValueError, match="read-only"):
        batch.offsets[0] = 7


def test_lists_are_made_once(broker: barnabas.Broker) -> None:
    fill(broker, "one", 3)
    batch = next(from_start(broker, "one"))
    assert batch.values is batch.values
    assert batch.keys is batch.keys
    assert batch.headers is batch.headers


def test_arrays_outlive_their_batch(broker: barnabas.Broker) -> None:
    fill(broker, "one", 1000)
    offsets = next(from_start(broker, "one")).offsets
    assert offsets.tolist() == list(range(1000))


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_network_clients_have_sent(broker: barnabas.Broker, codec: str) -> None:
    producer = NetworkProducer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "compression.type": codec,
            "batch.num.messages": 10,
        }
    )
    for number in range(100):
        producer.produce("one", b"value %d" % number, key=b"%d" % number, headers={"n": b"1"})
    assert producer.flush(20) == 0
    values = [value for batch in from_start(broker, "one") for value in batch.values]
    assert values == [b"value %d" % number for number in range(100)]


def test_reading_waits_for_records_and_wakes_at_once(broker: barnabas.Broker) -> None:
    consumer = broker.consumer(["t"], auto_offset_reset="earliest")
    producer = broker.producer(linger_ms=0)
    threading.Timer(0.2, lambda: producer.send("t", b"late")).start()
    begin = time.monotonic()
    batch = consumer.poll(10)
    assert batch is not None
    assert batch.values == [b"late"]
    assert 0.15 < time.monotonic() - begin < 5


def test_latest_is_where_reading_begins_as_with_kafkas_clients(broker: barnabas.Broker) -> None:
    fill(broker, "one", 5)
    consumer = broker.consumer(["one"])
    assert consumer.poll() is None
    fill(broker, "one", 1)
    batch = consumer.poll(5)
    assert batch is not None
    assert batch.offsets.tolist() == [5]
    with pytest.raises(KafkaError, match="auto_offset_reset is none"):
        broker.consumer(["one"], auto_offset_reset="none").poll()


def test_positions(broker: barnabas.Broker) -> None:
    fill(broker, "one", 100, batch_size=200)
    consumer = from_start(broker, "one", fetch_bytes=100)
    assert consumer.poll() is not None
    assert consumer.assignment() == [("one", 0)]
    position = consumer.position("one", 0)
    assert 0 < position < 100
    assert consumer.lag() == {("one", 0): 100 - position}
    consumer.seek("one", 0, 42)
    batch = consumer.poll()
    assert batch is not None
    assert batch.offsets[0] == 42  # in the middle of a batch in the log
    assert batch.values[0] == b"42"
    consumer.seek_to_time(1000 + 77)
    assert consumer.position("one", 0) == 77
    consumer.seek_to_time(5000)
    assert consumer.position("one", 0) == 100
    consumer.seek_to_beginning()
    assert consumer.position("one", 0) == 0
    consumer.seek_to_end()
    assert consumer.poll() is None
    with pytest.raises(KeyError):
        consumer.seek("one", 1, 0)
    with pytest.raises(ValueError, match="below zero"):
        consumer.seek("one", 0, -1)


def test_positions_before_the_first_poll(broker: barnabas.Broker) -> None:
    fill(broker, "one", 100)
    broker.create_topic("many", partitions=25)
    consumer = broker.consumer(["one"])
    consumer.seek_to_time(1000 + 77)
    batch = consumer.poll()
    assert batch is not None
    assert batch.offsets.tolist() == list(range(77, 100))
    expected: list[tuple[Callable[[Consumer], object], int]] = [
        (lambda c: c.seek("one", 0, 42), 42),
        (lambda c: c.seek_to_beginning(), 0),
        (lambda c: c.seek_to_end(), 100),
        (lambda c: c.pause("one", 0), 100),
        (lambda c: c.resume("one", 0), 100),
    ]
    for act, position in expected:
        consumer = broker.consumer(["one"])
        act(consumer)
        assert consumer.assignment() == [("one", 0)]
        assert consumer.position("one", 0) == position
        assert consumer.lag() == {("one", 0): 100 - position}
    assert from_start(broker, "one").lag() == {("one", 0): 100}
    assert from_start(broker, "one").position("one", 0) == 0
    with pytest.raises(KeyError, match="one-1 is not read here; assigned: one-0"):
        broker.consumer(["one"]).seek("one", 1, 0)
    with pytest.raises(
        KeyError, match=r"one-0 is not read here; assigned: many-0, .*, many-19 and 5"
    ):
        broker.consumer(["many"]).pause("one", 0)
    with pytest.raises(KeyError, match="new-0 is not read here; assigned: none"):
        broker.consumer(["new"]).position("new", 0)
    with pytest.raises(TypeError, match=r"partition must be an int, not '0' \(str\)"):
        broker.consumer(["one"]).seek("one", "0", 0)  # type: ignore[arg-type]


def test_before_the_group_has_decided_there_is_nothing_to_seek_in(broker: barnabas.Broker) -> None:
    fill(broker, "one", 100)
    consumer = broker.consumer(["one"], group="g")
    for act in (
        lambda: consumer.seek("one", 0, 42),
        lambda: consumer.position("one", 0),
        lambda: consumer.pause("one", 0),
        lambda: consumer.resume("one", 0),
        lambda: consumer.seek_to_time(1000),
        consumer.seek_to_beginning,
        consumer.seek_to_end,
    ):
        with pytest.raises(ValueError, match="no partition is assigned yet: poll first"):
            act()
    assert consumer.assignment() == []
    assert consumer.lag() == {}
    wait_for(lambda: consumer.poll(0.02) is None and bool(consumer.assignment()))
    consumer.seek_to_time(1000 + 77)
    batch = consumer.poll()
    assert batch is not None
    assert batch.offsets.tolist() == list(range(77, 100))


def test_offsets_can_be_committed_before_it_joins_unless_others_have(
    broker: barnabas.Broker,
) -> None:
    fill(broker, "one", 100)
    consumer = from_start(broker, "one", group="g", timeout=5)
    assert consumer.committed() == {}
    consumer.commit()  # nothing was read
    consumer.commit({("one", 0): 42})
    assert next(consumer).offsets[0] == 42
    late = broker.consumer(["one"], group="g")
    with pytest.raises(KafkaError, match=r"UNKNOWN_MEMBER_ID \(25\): group g has .* in `poll`"):
        late.commit({("one", 0): 7})


def test_poll_waits_as_long_as_the_consumer_does(broker: barnabas.Broker) -> None:
    for timeout, waited_s in ((None, 0), (0.3, 0.3)):
        begin = time.monotonic()
        assert broker.consumer(["one"], timeout=timeout).poll() is None
        assert waited_s <= time.monotonic() - begin < waited_s + 5


def test_a_paused_partition_is_passed_over(broker: barnabas.Broker) -> None:
    for partition in range(3):
        broker.producer().send("t", b"x", partition=partition).result(5)
    consumer = from_start(broker, "t")
    assert consumer.poll() is not None
    (other,) = {p for _, p in consumer.assignment()} - {0, 1}
    consumer.pause("t", other)
    seen = {batch.partition for batch in consumer}
    assert other not in seen
    consumer.resume("t", other)
    assert [batch.partition for batch in consumer] == [other]


def test_an_offset_that_is_gone_is_reset(broker: barnabas.Broker) -> None:
    fill(broker, "one", 10)
    consumer = from_start(broker, "one")
    assert consumer.poll() is not None
    consumer.seek("one", 0, 1000)
    batch = consumer.poll(1)
    assert batch is not None
    assert batch.offsets[0] == 0


def test_new_partitions_and_topics_are_found(broker: barnabas.Broker) -> None:
    from confluent_kafka.admin import AdminClient, NewPartitions

    consumer = broker.consumer(["one", "later"], auto_offset_reset="earliest")
    assert consumer.poll() is None
    broker.create_topic("later")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    for future in admin.create_partitions([NewPartitions("one", 2)]).values():
        future.result(20)
    broker.producer().send("one", b"x", partition=1).result(5)
    broker.producer().send("later", b"x").result(5)
    assert {(b.topic, b.partition) for b in (consumer.poll(10), consumer.poll(10)) if b} == {
        ("one", 1),
        ("later", 0),
    }


def test_async_for(broker: barnabas.Broker) -> None:
    async def main() -> list[bytes | None]:
        consumer = broker.consumer(["one"], auto_offset_reset="earliest", timeout=1)
        producer = broker.producer()
        values: list[bytes | None] = []

        async def send() -> None:
            for number in range(3):
                await asyncio.sleep(0.05)
                await producer.send("one", b"%d" % number)

        sending = asyncio.create_task(send())
        async for batch in consumer:
            values += batch.values
        await sending
        return values

    assert asyncio.run(main()) == [b"0", b"1", b"2"]


def test_another_thread_wakes_a_reader(broker: barnabas.Broker) -> None:
    consumer = broker.consumer(["one"])
    threading.Timer(0.1, consumer.wake_up).start()
    begin = time.monotonic()
    assert consumer.poll(30) is None
    assert time.monotonic() - begin < 10
    threading.Timer(0.1, broker.close).start()
    with pytest.raises(BrokerClosed):
        consumer.poll(30)


def test_a_group_shares_partitions_and_goes_on_where_it_stopped(broker: barnabas.Broker) -> None:
    for partition in range(3):
        broker.producer().send("t", b"%d" % partition, partition=partition).result(5)
    with from_start(broker, "t", group="g", timeout=5) as first:
        seen = [next(first).values[0] for _ in range(3)]
        assert sorted(v or b"" for v in seen) == [b"0", b"1", b"2"]
        with from_start(broker, "t", group="g") as second:
            everything = [("t", p) for p in range(3)]
            wait_for(
                lambda: (
                    poll_both(first, second)
                    and second.assignment()
                    and sorted(first.assignment() + second.assignment()) == everything
                )
            )
            assert first.poll() is None  # what was read before the rebalance is committed
            assert second.poll() is None
        wait_for(lambda: bool(poll_both(first)) and len(first.assignment()) == 3)
        assert first.committed() == {("t", p): 1 for p in range(3)}


def poll_both(*consumers: Consumer) -> bool:
    for consumer in consumers:
        consumer.poll(0.02)
    return True


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline


def test_a_group_with_members_here_and_on_the_network(broker: barnabas.Broker) -> None:
    for partition in range(3):
        broker.producer().send("t", b"x", partition=partition).result(5)
    network = NetworkConsumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "mixed",
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 100,
        }
    )
    network.subscribe(["t"])
    here = from_start(broker, "t", group="mixed")
    try:

        def both() -> bool:
            network.poll(0.05)
            here.poll(0.02)
            return bool(network.assignment()) and bool(here.assignment())

        wait_for(both)
        theirs = [(p.topic, p.partition) for p in network.assignment()]
        assert sorted(theirs + here.assignment()) == [("t", p) for p in range(3)]
    finally:
        network.close()
    wait_for(lambda: poll_both(here) and len(here.assignment()) == 3)


def test_commits_are_those_that_network_clients_see(broker: barnabas.Broker) -> None:
    from confluent_kafka import TopicPartition

    fill(broker, "one", 10)
    consumer = from_start(broker, "one", group="g", enable_auto_commit=False, timeout=5)
    assert next(consumer).next_offset == 10
    assert consumer.committed() == {}
    consumer.commit()
    assert consumer.committed() == {("one", 0): 10}
    network = NetworkConsumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "g"})
    (committed,) = network.committed([TopicPartition("one", 0)], timeout=20)
    network.close()
    assert committed.offset == 10
    consumer.commit({("one", 0): 3})
    consumer.close()
    again = from_start(broker, "one", group="g", timeout=5)
    assert next(again).offsets[0] == 3


def test_listeners_hear_of_every_rebalance(broker: barnabas.Broker) -> None:
    heard: list[tuple[str, list[tuple[str, int]]]] = []
    consumer = from_start(
        broker,
        "one",
        group="g",
        on_assigned=lambda partitions: heard.append(("assigned", partitions)),
        on_revoked=lambda partitions: heard.append(("revoked", partitions)),
    )
    wait_for(lambda: poll_both(consumer) and heard)
    consumer.close()
    assert heard == [("assigned", [("one", 0)]), ("revoked", [("one", 0)])]


def test_a_consumer_that_asks_for_nothing_loses_its_partitions(broker: barnabas.Broker) -> None:
    stuck = from_start(broker, "one", group="g", max_poll_interval_ms=300)
    wait_for(lambda: poll_both(stuck) and stuck.assignment())
    other = from_start(broker, "one", group="g", timeout=10)
    fill(broker, "one", 1)
    assert next(other).values == [b"0"]
    with pytest.raises(KafkaError) as refused:
        stuck.commit({("one", 0): 1})
    assert refused.value.code in (ErrorCode.unknown_member_id, ErrorCode.illegal_generation)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"auto_offset_reset": "newest"}, "auto_offset_reset"),
        ({"isolation_level": "serializable"}, "isolation_level"),
        ({"group": ""}, "group"),
        ({"fetch_bytes": 0}, "fetch_bytes"),
    ],
)
def test_a_bad_configuration_names_its_key(
    broker: barnabas.Broker, config: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        broker.consumer(["one"], **config)


def test_misuse_is_said(broker: barnabas.Broker) -> None:
    with pytest.raises(TypeError, match="a list of names"):
        broker.consumer("one")
    consumer = broker.consumer(["one"])
    with pytest.raises(ValueError, match="no group"):
        consumer.commit()
    consumer.close()
    consumer.close()
    with pytest.raises(BrokerClosed):
        consumer.poll()


def test_a_damaged_batch_is_an_error_and_not_a_record(broker: barnabas.Broker) -> None:
    fill(broker, "one", 10)
    segment = broker.data_dir / "one-0" / f"{0:020}.log"
    with segment.open("r+b") as file:
        file.seek(-3, 2)
        file.write(b"\xff")
    with pytest.raises(KafkaError, match="CRC") as refused:
        from_start(broker, "one").poll()
    assert refused.value.code is ErrorCode.corrupt_message
    assert from_start(broker, "one", check_crcs=False).poll() is not None


def read_some(consumer: Consumer, offsets: list[int]) -> None:
    for _ in range(10):
        batch = consumer.poll()
        offsets += [] if batch is None else batch.offsets.tolist()


@pytest.mark.parametrize("new_offset", [1, 1000])
@pytest.mark.parametrize("damaged", [1, 2])
def test_an_offset_that_cannot_be_is_an_error_where_it_stands(
    broker: barnabas.Broker, damaged: int, new_offset: int
) -> None:
    for value in (b"first", b"second", b"third"):
        broker.producer().send_many("one", [value] * 10).result(5)
    segment = broker.data_dir / "one-0" / f"{0:020}.log"
    with segment.open("r+b") as file:
        for _ in range(damaged):  # base offset, length, and as many bytes
            (length,) = struct.unpack(">8xi", file.read(12))
            file.seek(length, 1)
        file.write(struct.pack(">q", new_offset))  # no CRC covers it
    consumer = from_start(broker, "one")
    offsets: list[int] = []
    with pytest.raises(KafkaError) as refused:
        read_some(consumer, offsets)
    assert refused.value.code is ErrorCode.corrupt_message
    assert offsets == list(range(damaged * 10))
    assert consumer.position("one", 0) == damaged * 10


def busy_share(consumer: Consumer) -> float:
    """Of a second that a consumer waits, how much this thread works."""
    begin = time.thread_time()
    assert consumer.poll(1) is None
    return time.thread_time() - begin


def test_who_waits_does_not_work(broker: barnabas.Broker) -> None:
    """Without partitions, with commits due, with a topic that is gone, while others rejoin."""
    config = {"group": "g", "auto_commit_interval_ms": 10}
    first = from_start(broker, "one", **config)
    wait_for(lambda: poll_both(first) and first.assignment())
    assert busy_share(first) < 0.3
    second = from_start(broker, "one", **config)
    second.poll(0)  # joins, and has to wait for the other
    assert busy_share(second) < 0.3
    wait_for(lambda: poll_both(first, second) and first.assignment() + second.assignment())
    (idle,) = (member for member in (first, second) if not member.assignment())
    assert busy_share(idle) < 0.3
    without_group = from_start(broker, "t")
    assert without_group.poll(0) is None
    broker.delete_topic("t")
    assert busy_share(without_group) < 0.3


def test_clients_may_be_garbage_in_a_cycle_with_their_broker() -> None:
    for _ in range(3):
        with barnabas.Broker() as broker:
            producer: Any = broker.producer()
            producer.send("t", b"v").result(5)
            consumer: Any = broker.consumer(["t"], auto_offset_reset="earliest")
            assert consumer.poll(5) is not None
            consumer.poll(0)  # watches the partition now
        consumer.itself, producer.itself = [consumer, broker], [producer, broker]
        del broker, consumer, producer
        gc.collect()
