"""Broker.faults: what clients do when requests are refused, lost, late or cut off."""

import asyncio
import errno
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic
from kio.schema.errors import ErrorCode

import barnabas


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        broker.create_topic("t")
        yield broker


def produce(broker: barnabas.Broker, **config: str | int | bool) -> KafkaError | None:
    """Produces one record; its error."""
    outcome: list[KafkaError | None] = []

    def on_delivery(error: KafkaError | None, _message: Message) -> None:
        outcome.append(error)

    defaults: dict[str, str | int | bool] = {
        "bootstrap.servers": broker.bootstrap_servers,
        "request.timeout.ms": 1000,
        "socket.timeout.ms": 1000,
        "retry.backoff.ms": 20,
        "log_level": 0,
    }
    producer = Producer({**defaults, **config})
    producer.produce("t", b"value", on_delivery=on_delivery)
    assert producer.flush(20) == 0
    return outcome[0]


def record_count(broker: barnabas.Broker) -> int:
    return broker.services.core.partition_info("t", 0).high_watermark


def make_consumer(broker: barnabas.Broker) -> Consumer:
    servers = broker.bootstrap_servers
    return Consumer({"bootstrap.servers": servers, "group.id": "g", "log_level": 0})


def make_admin(broker: barnabas.Broker, **config: str | int) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0, **config})


def test_a_producer_tries_again_until_the_leader_is_one(broker: barnabas.Broker) -> None:
    with broker.faults.fail("Produce", error="NOT_LEADER_OR_FOLLOWER", times=3) as fault:
        assert produce(broker) is None
        assert fault.struck == 3
        assert fault.matched == 4
    assert record_count(broker) == 1
    assert produce(broker) is None
    assert (fault.matched, fault.struck) == (4, 3)


def test_an_error_that_no_retry_helps_reaches_the_program(broker: barnabas.Broker) -> None:
    with broker.faults.fail("Produce", error="TOPIC_AUTHORIZATION_FAILED"):
        error = produce(broker)
    assert error is not None
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert record_count(broker) == 0


def test_a_consumer_gets_over_a_failed_fetch(broker: barnabas.Broker) -> None:
    assert produce(broker) is None
    consumer = make_consumer(broker)
    consumer.assign([TopicPartition("t", 0, 0)])
    with broker.faults.fail("Fetch", error="UNKNOWN_LEADER_EPOCH", times=2) as fault:
        message = consumer.poll(20)
    assert message is not None
    assert message.error() is None
    assert fault.struck == 2
    consumer.close()


def test_aiokafka_meets_the_same_faults(broker: barnabas.Broker) -> None:
    async def run() -> None:
        servers = broker.bootstrap_servers
        producer = AIOKafkaProducer(bootstrap_servers=servers, retry_backoff_ms=20)
        consumer = AIOKafkaConsumer("t", bootstrap_servers=servers, auto_offset_reset="earliest")
        async with producer:
            with broker.faults.fail("Produce", error="NOT_LEADER_OR_FOLLOWER", times=2) as refused:
                await producer.send_and_wait("t", b"value")
            with broker.faults.disconnect("Produce", when="before", times=1) as cut_off:
                await producer.send_and_wait("t", b"value")
        with broker.faults.fail("Fetch", error="NOT_LEADER_OR_FOLLOWER", times=1) as unread:
            async with consumer:
                assert (await consumer.getone()).value == b"value"
        assert (refused.struck, cut_off.struck, unread.struck) == (2, 1, 1)

    asyncio.run(asyncio.wait_for(run(), 30))
    assert record_count(broker) == 2


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("fault", ["drop", "disconnect"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_only_idempotence_helps_when_the_answer_is_lost(
    broker: barnabas.Broker, idempotent: bool, fault: str, when: str
) -> None:
    with getattr(broker.faults, fault)("Produce", when=when, times=1) as lost:
        assert produce(broker, **{"enable.idempotence": idempotent}) is None
        assert lost.struck == 1
    assert record_count(broker) == (2 if when == "after" and not idempotent else 1)


def test_a_commit_that_fails_raises(broker: barnabas.Broker) -> None:
    consumer = make_consumer(broker)
    place = TopicPartition("t", 0, 7)
    consumer.commit(offsets=[place], asynchronous=False)
    place.offset = 8
    with (
        broker.faults.fail("OffsetCommit", error="GROUP_AUTHORIZATION_FAILED", times=1),
        pytest.raises(KafkaException) as caught,
    ):
        consumer.commit(offsets=[place], asynchronous=False)
    assert caught.value.args[0].code() == KafkaError.GROUP_AUTHORIZATION_FAILED
    assert consumer.committed([TopicPartition("t", 0)], 20)[0].offset == 7
    consumer.close()


def test_a_topic_is_made_though_its_answer_is_lost(broker: barnabas.Broker) -> None:
    admin = make_admin(broker)
    with broker.faults.disconnect("CreateTopics", when="after", times=1) as fault:
        with pytest.raises(KafkaException):
            admin.create_topics([NewTopic("new", 1)], request_timeout=2)["new"].result(20)
        assert fault.struck == 1
    assert "new" in admin.list_topics(timeout=20).topics


def test_a_topic_is_not_made_when_the_request_is_lost(broker: barnabas.Broker) -> None:
    admin = make_admin(broker)
    with broker.faults.drop("CreateTopics", times=1), pytest.raises(KafkaException):
        admin.create_topics([NewTopic("new", 1)], request_timeout=1)["new"].result(20)
    assert "new" not in admin.list_topics(timeout=20).topics


@pytest.mark.parametrize("api", ["Metadata", "Produce"])
def test_a_delayed_request_is_answered_late(broker: barnabas.Broker, api: str) -> None:
    began = time.monotonic()
    with broker.faults.delay(api, seconds=0.7, times=1) as fault:
        assert produce(broker, **{"socket.timeout.ms": 60_000, "request.timeout.ms": 5000}) is None
    assert fault.struck == 1
    assert 0.7 <= time.monotonic() - began < 5
    assert record_count(broker) == 1


def test_a_delay_ends_with_its_fault(broker: barnabas.Broker) -> None:
    with socket.create_connection(address_of(broker), timeout=20) as client:
        with broker.faults.delay("ApiVersions", seconds=3600):
            client.sendall(API_VERSIONS)
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(4)
            client.settimeout(20)
        assert len(client.recv(4)) == 4


def test_a_virtual_clock_ends_a_delay() -> None:
    clock = barnabas.VirtualClock()
    with (
        barnabas.Broker(clock=clock) as broker,
        broker.faults.delay("ApiVersions", seconds=3600) as fault,
        socket.create_connection(address_of(broker), timeout=20) as client,
    ):
        client.sendall(API_VERSIONS)
        while not fault.struck:
            time.sleep(0.01)
        clock.advance(hours=2)
        assert len(client.recv(4)) == 4


def test_one_client_is_struck_and_not_the_other(broker: barnabas.Broker) -> None:
    with broker.faults.fail("Produce", error="TOPIC_AUTHORIZATION_FAILED", client_id="a") as fault:
        assert produce(broker, **{"client.id": "b"}) is None
        assert produce(broker, **{"client.id": "a"}) is not None
    assert fault.matched == fault.struck


API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def address_of(broker: barnabas.Broker) -> tuple[str, int]:
    host, port = broker.bootstrap_servers.rsplit(":", 1)
    return host, int(port)


def test_one_connection_is_struck_and_not_the_other(broker: barnabas.Broker) -> None:
    with (
        socket.create_connection(address_of(broker), timeout=20) as struck,
        socket.create_connection(address_of(broker), timeout=20) as spared,
        broker.faults.disconnect("ApiVersions", connection=struck.getsockname()[1]) as fault,
    ):
        for client in (struck, spared):
            client.sendall(API_VERSIONS)
        assert struck.recv(4) == b""
        assert len(spared.recv(4)) == 4
        assert fault.struck == 1


def test_a_broker_closes_at_once_while_requests_are_lost(broker: barnabas.Broker) -> None:
    with socket.create_connection(address_of(broker), timeout=20) as client:
        fault = broker.faults.drop("ApiVersions")
        client.sendall(API_VERSIONS)
        while not fault.struck:
            time.sleep(0.01)
        began = time.monotonic()
        broker.close()
        assert time.monotonic() - began < 1
        assert client.recv(4) == b""
        fault.remove()
        assert fault.struck == 1


def test_a_disk_fails_under_one_broker_only(broker: barnabas.Broker) -> None:
    with barnabas.Broker() as other:
        other.create_topic("t")
        with broker.faults.disk.fail("write", "t-0/*.log", error=errno.ENOSPC) as full_disk:
            assert produce(other) is None
            assert full_disk.matched == 0
            assert produce(broker, **{"message.timeout.ms": 500}) is not None
            assert full_disk.struck > 0


def test_a_disk_holds_writes_under_one_broker_only(broker: barnabas.Broker) -> None:
    with barnabas.Broker() as other:
        other.create_topic("t")
        sent = broker.producer().send("t", b"held")
        with broker.faults.disk.hold("write", "t-0/*.log") as fault:
            with pytest.raises(TimeoutError):
                sent.result(0.2)
            assert (fault.matched, fault.struck) == (1, 1)
            other.producer().send("t", b"not held").result(20)
        assert sent.result(20).offset == 0


@pytest.mark.parametrize("waits", ["hold", "delay"])
def test_a_broker_that_closes_is_not_held_up_by_its_disk(tmp_path: Path, waits: str) -> None:
    with barnabas.Broker(tmp_path) as broker:
        broker.create_topic("t")
        disk = broker.faults.disk
        fault = disk.hold("write") if waits == "hold" else disk.delay("write", seconds=3600)
        other = disk.fail("write", "nowhere")
        sent = broker.producer(linger_ms=3_600_000).send("t", b"held")
        with pytest.raises(TimeoutError):
            sent.result(0.1)
    assert sent.result(0).offset == 0
    assert fault.struck > 0
    with barnabas.Broker(tmp_path) as again:  # in the same files: none of them is in force
        again.producer().send("t", b"later").result(20)
    assert (fault.matched, other.matched) == (fault.struck, 0)


def test_a_disk_that_fails_does_so_until_its_broker_is_closed(tmp_path: Path) -> None:
    broker = barnabas.Broker(tmp_path)
    broker.create_topic("t")
    broker.producer().send("t", b"x").result(20)
    fault = broker.faults.disk.fail("open", "*-checkpoint*", error=errno.ENOSPC)
    with pytest.raises(barnabas.BarnabasError, match="not stopped cleanly"):
        broker.close()
    struck = fault.struck
    assert struck > 0
    with barnabas.Broker(tmp_path) as again:
        again.producer().send("t", b"x").result(20)
    assert fault.struck == struck


def test_a_delay_of_the_disk_ends_with_its_fault(broker: barnabas.Broker) -> None:
    with broker.faults.disk.delay("write", "t-0/*.log", seconds=3600):
        sent = broker.producer().send("t", b"x")
        with pytest.raises(TimeoutError):
            sent.result(0.1)
    assert sent.result(20).offset == 0


HELD_AT_THE_END = """
import barnabas
from barnabas.testing import faults
broker = barnabas.Broker()
broker.create_topic("t")
faults.hold("write", "*/t-0/*.log")
producer = broker.producer(linger_ms=3_600_000)
producer.send("t", b"x").add_done_callback(lambda sent: print(sent.result().offset, flush=True))
"""


def test_a_program_ends_though_its_disk_is_held() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HELD_AT_THE_END], capture_output=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"0\n", b"")


KILLED = """
import sys, barnabas
broker, other = barnabas.Broker(), barnabas.Broker(sys.argv[1])
broker.faults.disk.kill("write", "t-0/*.log", is_done=True)
other.faults.disk.kill("write", "t-0/*.log", is_done=True, nth=2)
for value in (b"1", b"2", b"3"):
    other.producer().send("t", value).result(20)
    print("sent", flush=True)
"""


def test_a_disk_kills_the_process_at_a_write_of_one_broker(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert killed.stdout == b"sent\n"
    with barnabas.Broker(tmp_path) as broker:
        consumer = broker.consumer(["t"], auto_offset_reset="earliest", timeout=0)
        assert [value for batch in consumer for value in batch.values] == [b"1", b"2"]


def test_what_is_not_there_is_named(broker: barnabas.Broker) -> None:
    faults = broker.faults
    with pytest.raises(ValueError, match="no API 'Prduce': did you mean Produce"):
        faults.fail("Prduce", error="NOT_LEADER_OR_FOLLOWER")
    with pytest.raises(ValueError, match="no error 'NOT_LEADER': did you mean NOT_LEADER_OR_F"):
        faults.fail("Produce", error="NOT_LEADER")
    with pytest.raises(ValueError, match="no error 'NONE'"):
        faults.fail("Produce", error="NONE")
    with pytest.raises(ValueError, match="times=0"):
        faults.drop("Produce", times=0)
    with pytest.raises(ValueError, match="when='later'"):
        faults.drop("Produce", when="later")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seconds=-1"):
        faults.delay("Produce", seconds=-1)
    with pytest.raises(ValueError, match="connection=0"):
        faults.disconnect("Produce", connection=0)
    broker.close()
    with pytest.raises(barnabas.BrokerClosed):
        broker.faults  # noqa: B018
    with pytest.raises(barnabas.BrokerClosed):
        faults.fail("Produce", error="NOT_LEADER_OR_FOLLOWER")
    with pytest.raises(barnabas.BrokerClosed):
        faults.disk.hold("write")


def test_faults_of_the_disk_are_of_all_log_directories(tmp_path: Path) -> None:
    directories = [tmp_path / "one", tmp_path / "tw[o]"]
    config = {"log.dirs": ",".join(map(str, directories))}
    with barnabas.Broker(config=config) as broker:
        broker.create_topic("t", partitions=4)
        with broker.faults.disk.fail("write", "t-*/*.log", times=3) as fault:
            for partition in range(3):
                with pytest.raises(barnabas.KafkaError) as failed:
                    broker.producer().send("t", b"x", partition=partition).result(20)
                assert failed.value.code is ErrorCode.kafka_storage_error
            broker.producer().send("t", b"x", partition=3).result(20)
            assert (fault.matched, fault.struck) == (4, 3)


@pytest.mark.parametrize(
    "spelt", ["data", "real/../data", "link/data", "./data/", "d[a]t*a", "data\\?", "\\"]
)
def test_faults_of_the_disk_strike_however_the_directory_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelt: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with barnabas.Broker(spelt) as broker:
        broker.create_topic("t")
        with broker.faults.disk.fail("write", "t-0/*.log", times=1) as fault:
            with pytest.raises(barnabas.KafkaError):
                broker.producer().send("t", b"x").result(20)
            assert fault.struck == 1
