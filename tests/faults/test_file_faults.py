"""A disk that fails under a broker, and what its clients see of it."""

import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

import barnabas
from barnabas._records import encode_batch
from barnabas.testing import faults
from faults.produce_client import ProduceClient
from faults.rows import Row
from faults.test_compaction import await_true

STORAGE_ERROR = KafkaError.KAFKA_STORAGE_ERROR
SET = AlterConfigOpType.SET
SYNCED = {"flush.messages": "1"}


@pytest.fixture
def broker(tmp_path: object) -> Iterator[barnabas.Broker]:
    with barnabas.Broker(str(tmp_path)) as running:
        running.create_topic("sound")
        yield running


class Client:
    """Sends one record at a time, without a retry, and reads a partition from its start."""

    def __init__(self, broker: barnabas.Broker) -> None:
        self._servers = {"bootstrap.servers": broker.bootstrap_servers}
        self._producer = Producer({**self._servers, "retries": 0, "acks": "all", "linger.ms": 0})

    def send(self, topic: str, value: str) -> int | None:
        """The error, or None: it was acknowledged."""
        outcome: list[int | None] = []

        def on_delivery(error: KafkaError | None, _: object) -> None:
            outcome.append(None if error is None else error.code())

        self._producer.produce(topic, value, partition=0, on_delivery=on_delivery)
        assert self._producer.flush(30) == 0
        return outcome[0]

    def send_again(self, topic: str) -> int:
        """The error of a request made by hand: librdkafka makes none once it has heard that the
        partition has no leader.
        """
        port = int(self._servers["bootstrap.servers"].rpartition(":")[2])
        data = encode_batch([(None, b"again")], timestamp_ms=time.time_ns() // 1_000_000)
        with ProduceClient(port) as connection:
            return connection.produce(topic, data).error_code

    def read(self, topic: str, count: int) -> list[str]:
        consumer = Consumer(
            {**self._servers, "group.id": "reader", "auto.offset.reset": "earliest"}
        )
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages = consumer.consume(count, 10)
        consumer.close()
        assert all(message.error() is None for message in messages)
        return [(message.value() or b"").decode() for message in messages]


@pytest.fixture
def client(broker: barnabas.Broker) -> Client:
    return Client(broker)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_write_that_fails_is_refused_and_the_next_is_taken(
    broker: barnabas.Broker, client: Client, error: int, count: Callable[..., None]
) -> None:
    broker.create_topic("full")
    assert client.send("full", "before") is None
    with faults.fail("write", "*/full-0/*.log", error=error) as fault:
        assert client.send("full", "refused") == STORAGE_ERROR
        assert client.send("sound", "elsewhere") is None
        assert client.read("full", 1) == ["before"]
    assert fault.struck == 1
    assert client.send("full", "after") is None
    assert client.read("full", 2) == ["before", "after"]
    count(Row.NO_ROOM, fault.struck)


def test_a_torn_write_leaves_nothing_behind(
    broker: barnabas.Broker, client: Client, count: Callable[..., None]
) -> None:
    broker.create_topic("torn")
    with faults.tear("*/torn-0/*.log", size=40):
        assert client.send("torn", "in part") == STORAGE_ERROR
    assert client.send("torn", "whole") is None
    assert client.read("torn", 1) == ["whole"]
    count(Row.NO_ROOM, 1)


def test_short_writes_are_followed_up(
    broker: barnabas.Broker, client: Client, count: Callable[..., None]
) -> None:
    broker.create_topic("short")
    with faults.short("write", "*/short-0/*.log", size=7) as fault:
        assert client.send("short", "in many parts") is None
    assert fault.struck > 5
    assert client.read("short", 1) == ["in many parts"]
    count(Row.NO_ROOM, fault.struck)


def test_a_failed_fsync_is_never_acknowledged_and_takes_the_directory_offline(
    broker: barnabas.Broker, client: Client, count: Callable[..., None]
) -> None:
    broker.create_topic("synced", config=SYNCED)
    assert client.send("synced", "durable") is None
    with faults.fail("sync", "*/synced-0/*.log", times=1) as fault:
        assert client.send("synced", "lost") == STORAGE_ERROR
    assert fault.struck == 1
    # The disk is well again, as far as it says; what it dropped is not known.
    assert client.send_again("synced") == STORAGE_ERROR
    assert client.send_again("sound") == STORAGE_ERROR
    with pytest.raises(barnabas.BarnabasError, match="offline"):
        broker.close()
    count(Row.FAILED_SYNC, fault.struck)


def test_a_failed_fsync_of_the_leader_epochs_takes_the_directory_offline(
    broker: barnabas.Broker, client: Client, count: Callable[..., None]
) -> None:
    broker.create_topic("synced", config=SYNCED)
    with faults.fail("sync", "*/synced-0/leader-epoch-checkpoint*", times=1) as fault:
        assert client.send("synced", "lost") == STORAGE_ERROR
        assert client.send_again("synced") == STORAGE_ERROR
        assert client.send_again("sound") == STORAGE_ERROR
    assert fault.matched == fault.struck == 1
    with pytest.raises(barnabas.BarnabasError, match="offline"):
        broker.close()
    count(Row.FAILED_SYNC, fault.struck)


@pytest.mark.parametrize(
    "name",
    [
        "log-start-offset-checkpoint",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "cleaner-offset-checkpoint",
    ],
)
def test_a_failed_fsync_of_a_checkpoint_takes_the_directory_offline(
    tmp_path: Path, name: str, count: Callable[..., None]
) -> None:
    with barnabas.Broker(tmp_path) as broker:
        broker.create_topic("t")
    config = {"log.flush.offset.checkpoint.interval.ms": "100"}
    broker = barnabas.Broker(tmp_path, config=config)
    client = Client(broker)
    with broker.faults.disk.fail("sync", f"{name}*", times=1) as fault:
        # Its next round may be a second away.
        await_true(lambda: client.send_again("t") == STORAGE_ERROR)
        assert client.send_again("t") == STORAGE_ERROR
    assert fault.matched == fault.struck == 1
    with pytest.raises(barnabas.BarnabasError, match="offline"):
        broker.close()
    count(Row.FAILED_SYNC, fault.struck)


def test_what_was_durable_before_a_failed_fsync_is_there_after_a_restart(tmp_path: object) -> None:
    broker = barnabas.Broker(str(tmp_path))
    broker.create_topic("synced", config=SYNCED)
    client = Client(broker)
    assert client.send("synced", "durable") is None
    with faults.fail("sync", "*/synced-0/*.log", times=1):
        assert client.send("synced", "lost") == STORAGE_ERROR
    with pytest.raises(barnabas.BarnabasError, match="offline"):
        broker.close()
    with barnabas.Broker(str(tmp_path)) as broker:
        client = Client(broker)
        assert client.send("synced", "after") is None
        found = client.read("synced", 3)
    # What was not acknowledged may have made it; what was acknowledged did.
    assert found in (["durable", "after"], ["durable", "lost", "after"])


def test_a_read_that_fails_costs_one_connection_and_no_record(
    broker: barnabas.Broker, client: Client, count: Callable[..., None]
) -> None:
    broker.create_topic("unread")
    assert client.send("unread", "here") is None
    with faults.fail("send", "*/unread-0/*.log", times=1) as fault:
        assert client.read("unread", 1) == ["here"]  # the client came again
    assert fault.struck == 1
    count(Row.FAILED_READ, fault.struck)


def test_a_slow_fsync_delays_no_other_topic(broker: barnabas.Broker, client: Client) -> None:
    broker.create_topic("slow", config=SYNCED)
    other = Client(broker)
    assert other.send("sound", "first") is None
    with faults.delay("sync", "*/slow-0/*.log", seconds=2):
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0})
        producer.produce("slow", "waits", partition=0)
        producer.poll(0.5)
        begin = time.monotonic()
        assert other.send("sound", "second") is None
        took_s = time.monotonic() - begin
        assert len(producer) == 1, "the slow one was not slow"
        assert producer.flush(30) == 0
    assert took_s < 0.5


COMPACTED = {
    "cleanup.policy": "compact",
    "internal.segment.bytes": "5000",
    "min.cleanable.dirty.ratio": "0.01",
}
CLEANER = {"log.cleaner.backoff.ms": "50", "log.cleaner.dedupe.buffer.size": "2000000"}


def is_cleaned(data_dir: Path, topic: str) -> bool:
    """All but the active segment of partition 0."""
    checkpoint = data_dir / "cleaner-offset-checkpoint"
    end = max(int(path.stem) for path in (data_dir / f"{topic}-0").glob("*.log"))
    return checkpoint.exists() and f"{topic} 0 {end}\n" in checkpoint.read_text()


def write_keys(broker: barnabas.Broker, topic: str, **settings: str) -> None:
    """300 records of 9 keys, in batches of 10."""
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, **settings})
    if settings:
        producer.init_transactions()
    for number in range(0, 300, 10):
        if settings:
            producer.begin_transaction()
        for n in range(number, number + 10):
            producer.produce(topic, bytes(100), f"key-{n % 9}", partition=0)
        assert producer.flush(30) == 0
        if settings:
            (producer.commit_transaction if number % 20 else producer.abort_transaction)()


@pytest.mark.parametrize(
    ("call", "suffix", "error"),
    [
        ("write", "cleaned", errno.ENOSPC),
        ("write", "cleaned", errno.EFBIG),
        ("write", "cleaned", errno.EIO),
        ("read", "log", errno.EIO),
    ],
)
def test_compaction_goes_on_once_the_disk_does(
    tmp_path: Path, call: faults.Call, suffix: str, error: int, count: Callable[..., None]
) -> None:
    with barnabas.Broker(tmp_path, config=CLEANER) as broker:
        broker.create_topic("state", config=COMPACTED)
        with faults.fail(call, f"*/state-0/*.{suffix}", error=error) as fault:
            write_keys(broker, "state")
            await_true(lambda: fault.struck >= 3)
            assert not is_cleaned(tmp_path, "state")
        await_true(lambda: is_cleaned(tmp_path, "state"))
    count(Row.NO_ROOM if call == "write" else Row.FAILED_READ, fault.struck)


def test_compaction_waits_until_a_damaged_transaction_index_is_rebuilt(
    tmp_path: Path, count: Callable[..., None]
) -> None:
    config = {**CLEANER, "log.retention.check.interval.ms": "200"}
    with barnabas.Broker(tmp_path, config=config) as broker:
        broker.create_topic("state", config={**COMPACTED, "cleanup.policy": "delete"})
        write_keys(broker, "state", **{"transactional.id": "x"})
    with barnabas.Broker(tmp_path, config=config) as broker:
        index = min((tmp_path / "state-0").glob("*.txnindex"))
        index.write_bytes(b"\xff" * index.stat().st_size)
        policy = ConfigEntry("cleanup.policy", "compact", incremental_operation=SET)
        topic = ConfigResource(ResourceType.TOPIC, "state", incremental_configs=[policy])
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        admin.incremental_alter_configs([topic])[topic].result(30)
        await_true(lambda: is_cleaned(tmp_path, "state"))
    count(Row.DAMAGED_FILE)


def test_a_fault_counts_and_ends_with_its_block(broker: barnabas.Broker, client: Client) -> None:
    with faults.fail("write", "*/sound-0/*.log", nth=2, times=1) as fault:
        assert client.send("sound", "1") is None
        assert client.send("sound", "2") == STORAGE_ERROR
        assert client.send("sound", "3") is None
    assert (fault.matched, fault.struck) == (3, 1)
    assert client.send("sound", "4") is None
    assert client.read("sound", 3) == ["1", "3", "4"]


def test_numbers_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="count from 1"):
        faults.fail("write", nth=0)
    with pytest.raises(ValueError, match="count from 1"):
        faults.fail("write", times=0)
