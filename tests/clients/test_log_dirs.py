"""Partitions move between log directories under real clients."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from kafka.admin import KafkaAdminClient

from peers.java import LOG_DIRS_COMMAND, run_tool
from peers.processes import wait_until
from peers.servers import BarnabasServer, KafkaServer, Server
from unit.handlers.test_log_dirs import RATE, TIMEOUT_S

TOPIC = "moving"
BROKER_ID = 1
MOVES = 4
RUN_S = 0.3  # before and after each move


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    return [tmp_path / "one", tmp_path / "two"]


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path, dirs: list[Path]) -> Iterator[Server]:
    kind = {"barnabas": BarnabasServer, "kafka": KafkaServer}[request.config.getoption("--peer")]
    config = {"log.dirs": ",".join(map(str, dirs)), "log.segment.delete.delay.ms": "0"}
    started: Server
    with kind(tmp_path / "server", config) as started:
        yield started


@pytest.fixture
def admin(server: Server) -> Iterator[KafkaAdminClient]:
    with closing(KafkaAdminClient(bootstrap_servers=server.bootstrap)) as client:
        yield client


def create(server: Server, config: dict[str, str]) -> None:
    client = AdminClient({"bootstrap.servers": server.bootstrap})
    client.create_topics([NewTopic(TOPIC, 1, 1, config=config)])[TOPIC].result(TIMEOUT_S)


def partitions(admin: KafkaAdminClient) -> dict[str, dict[str, Any]]:
    """Directory to the one partition's description."""
    return {
        Path(directory["log_dir"]).name: partition
        for broker in admin.describe_log_dirs()
        for directory in broker["log_dirs"]
        for topic in directory["topics"]
        if topic["name"] == TOPIC
        for partition in topic["partitions"]
    }


def await_home(admin: KafkaAdminClient, home: str) -> None:
    end = time.monotonic() + TIMEOUT_S
    while (found := partitions(admin)).keys() != {home} or found[home]["is_future_key"]:
        assert time.monotonic() < end, found
        time.sleep(0.05)


class Sender(threading.Thread):
    """Sends numbers, with acks=all, until it is told to stop."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(daemon=True)
        self.stopping = threading.Event()
        self.acknowledged: list[tuple[int, int]] = []  # (offset, number)
        self.errors: list[object] = []
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 1}
        )

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            value = b"%d " % number + b"x" * 400
            self._producer.produce(TOPIC, value, partition=0, on_delivery=self._delivered)
            number += 1
            self._producer.poll(0)
            if number % 50 == 0:
                self._producer.flush(TIMEOUT_S)
                self.stopping.wait(0.01)  # the copying is to be faster on any disk
        self._producer.flush(TIMEOUT_S)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.errors.append(error)
        else:
            self.acknowledged.append((_offset(message), _number(message)))


class Reader(threading.Thread):
    """Reads from the start on until it has seen an offset."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(daemon=True)
        self.until: int | None = None
        self.found: list[tuple[int, int]] = []
        self.errors: list[object] = []
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "reader", "check.crcs": True}
        )
        self._consumer.assign([TopicPartition(TOPIC, 0, 0)])

    def run(self) -> None:
        end = time.monotonic() + 3 * TIMEOUT_S
        while not self._is_done() and time.monotonic() < end:
            message = self._consumer.poll(0.1)
            if message is None:
                continue
            if message.error() is not None:
                self.errors.append(message.error())
            else:
                self.found.append((_offset(message), _number(message)))
        self._consumer.close()

    def _is_done(self) -> bool:
        return self.until is not None and bool(self.found) and self.found[-1][0] >= self.until


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None
    return offset


def _number(message: Message) -> int:
    value = message.value()
    assert value is not None
    return int(value.split(b" ")[0])


@pytest.mark.oracle
def test_moves_that_cannot_be_are_refused_and_a_topic_to_come_is_remembered(
    server: Server, admin: KafkaAdminClient, dirs: list[Path]
) -> None:
    for target in reversed(dirs):
        asked = {(TOPIC, 0, BROKER_ID): str(target), ("nope", 0, BROKER_ID): str(target / "x")}
        errors = admin.alter_replica_log_dirs(asked)
        assert {replica.topic: error.errno for replica, error in errors.items()} == {
            TOPIC: 3,  # UNKNOWN_TOPIC_OR_PARTITION
            "nope": 57,  # LOG_DIR_NOT_FOUND
        }
    create(server, {})
    await_home(admin, dirs[0].name)
    move(admin, dirs[0])  # where it lies already
    assert partitions(admin).keys() == {dirs[0].name}
    client = AdminClient({"bootstrap.servers": server.bootstrap})
    client.create_topics([NewTopic("second", 1, 1)])["second"].result(TIMEOUT_S)
    # Kafka makes the directory after it has answered.
    wait_until((dirs[1] / "second-0").exists, TIMEOUT_S, "the directory of second-0")


@pytest.mark.oracle
@pytest.mark.parametrize("flush_messages", ["1", "9223372036854775807"])
def test_what_is_written_during_moves_is_read_once_in_order(
    server: Server, admin: KafkaAdminClient, dirs: list[Path], flush_messages: str
) -> None:
    config = {"internal.segment.bytes": "300000", "flush.messages": flush_messages}
    create(server, config)
    wait_until(lambda: partitions(admin), TIMEOUT_S, "the topic's directory")
    (home,) = partitions(admin)
    sender, reader = Sender(server.bootstrap), Reader(server.bootstrap)
    sender.start()
    reader.start()
    for _ in range(MOVES):
        time.sleep(RUN_S)
        target = next(path for path in dirs if path.name != home)
        move(admin, target)
        await_home(admin, target.name)
        home = target.name
    time.sleep(RUN_S)
    sender.stopping.set()
    sender.join(TIMEOUT_S)
    assert sender.errors == []
    assert len(sender.acknowledged) > 1000
    reader.until = sender.acknowledged[-1][0]
    reader.join(TIMEOUT_S)
    assert reader.errors == []
    expected = [(number, number) for number in range(len(sender.acknowledged))]
    assert sender.acknowledged == expected
    assert reader.found == expected
    server.stop()
    assert [path.name for path in dirs if (path / f"{TOPIC}-0").exists()] == [home]
    server.start()
    again = Reader(server.bootstrap)
    again.until = expected[-1][0]
    again.run()
    assert again.found == expected


def move(admin: KafkaAdminClient, target: Path) -> None:
    errors = admin.alter_replica_log_dirs({(TOPIC, 0, BROKER_ID): str(target)})
    assert [error.errno for error in errors.values()] == [0]


@pytest.mark.java
def test_kafka_log_dirs_command_shows_a_move(
    server: Server, admin: KafkaAdminClient, dirs: list[Path]
) -> None:
    create(server, {})
    (home,) = partitions(admin)
    sender = Sender(server.bootstrap)
    sender.start()
    end = time.monotonic() + TIMEOUT_S
    while len(sender.acknowledged) < 500:
        assert time.monotonic() < end
        time.sleep(0.01)
    sender.stopping.set()
    sender.join(TIMEOUT_S)
    target = next(path for path in dirs if path.name != home)
    slowly = ConfigEntry(RATE, "1000", incremental_operation=AlterConfigOpType.SET)
    broker_config = ConfigResource(
        ResourceType.BROKER, str(BROKER_ID), incremental_configs=[slowly]
    )
    client = AdminClient({"bootstrap.servers": server.bootstrap})
    client.incremental_alter_configs([broker_config])[broker_config].result(TIMEOUT_S)
    move(admin, target)
    shown = run_tool(
        LOG_DIRS_COMMAND, f"--bootstrap-server={server.bootstrap}", "--describe", "--broker-list=1"
    ).check()
    (broker,) = json.loads(shown.stdout.splitlines()[-1])["brokers"]
    found = {
        Path(directory["logDir"]).name: (partition["isFuture"], partition["offsetLag"] > 0)
        for directory in broker["logDirs"]
        for partition in directory["partitions"]
    }
    assert all(directory["error"] is None for directory in broker["logDirs"])
    assert found == {home: (False, False), target.name: (True, True)}
