"""Transactions with librdkafka (transactions v1) and the Java client (v2)."""

import subprocess
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from clients.transactions import (
    TIMEOUT_S,
    Client,
    committed_offset,
    has_committed,
    is_readable,
    new_id,
    new_topic,
    until,
    values,
)
from peers.java import TRANSACTION_CLIENT, own_command
from peers.servers import Server

PARTITIONS = 4


class ConfluentClient(Client):
    fenced = frozenset({"_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH"})

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap)
        self.producers: dict[str, Producer] = {}

    def tell(self, line: str) -> str:
        try:
            return self._handle(line.split())
        except KafkaException as error:
            return f"error {error.args[0].name()}"
        except SystemError as error:  # a fatal error and a delivery at once: how the client says it
            if not isinstance(error.__cause__, KafkaException):
                raise
            return f"error {error.__cause__.args[0].name()}"

    def _handle(self, words: list[str]) -> str:
        match words:
            case ["init", name, transactional_id, timeout_ms]:
                config = {
                    "bootstrap.servers": self.bootstrap,
                    "transactional.id": transactional_id,
                    "transaction.timeout.ms": int(timeout_ms),
                    "linger.ms": 0,
                    "log_level": 0,
                }
                self.producers[name] = Producer(config)
                self.producers[name].init_transactions(TIMEOUT_S)
            case ["begin", name]:
                self.producers[name].begin_transaction()
            case ["commit", name]:
                self.producers[name].commit_transaction(TIMEOUT_S)
            case ["abort", name]:
                self.producers[name].abort_transaction(TIMEOUT_S)
            case ["close", name]:
                del self.producers[name]
            case ["send", name, topic, partition, value]:
                return self._send(self.producers[name], topic, int(partition), value)
            case ["offsets", name, group, topic, partition, offset]:
                consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
                self.producers[name].send_offsets_to_transaction(
                    [TopicPartition(topic, int(partition), int(offset))],
                    consumer.consumer_group_metadata(),
                    TIMEOUT_S,
                )
                consumer.close()
            case _:
                raise AssertionError(words)
        return "ok"

    def _send(self, producer: Producer, topic: str, partition: int, value: str) -> str:
        errors: list[KafkaError | None] = []
        producer.produce(
            topic, value, partition=partition, on_delivery=lambda error, _: errors.append(error)
        )
        producer.flush(TIMEOUT_S)
        (error,) = errors
        return "ok" if error is None else f"error {error.name()}"

    def close(self) -> None:
        self.producers.clear()


class JavaClient(Client):
    fenced = frozenset({"ProducerFencedException", "InvalidProducerEpochException"})

    def __init__(self, bootstrap: str) -> None:
        super().__init__(bootstrap)
        self._process = subprocess.Popen(
            own_command(TRANSACTION_CLIENT, bootstrap),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )

    def tell(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture(params=[ConfluentClient, pytest.param(JavaClient, marks=pytest.mark.java)])
def client(server: Server, request: pytest.FixtureRequest) -> Iterator[Client]:
    with request.param(server.bootstrap) as running:
        yield running


@pytest.mark.oracle
def test_committed_records_are_read_and_aborted_ones_are_not(
    server: Server, client: Client
) -> None:
    topic = new_topic(server, 2)
    client.ok(f"init a {new_id()} 60000")
    for end, number in (("commit", 1), ("abort", 2), ("commit", 3), ("abort", 4), ("commit", 5)):
        client.ok("begin a")
        client.ok(f"send a {topic} 0 v{number}")
        client.ok(f"send a {topic} 1 w{number}")
        client.ok(f"{end} a")
    until(is_readable(server, topic, ["v1", "v3", "v5"]))
    assert values(server, topic, partition=1) == ["w1", "w3", "w5"]
    assert values(server, topic, committed=False) == ["v1", "v2", "v3", "v4", "v5"]
    if isinstance(client, JavaClient):
        assert client.ok(f"read {topic} 0") == "v1 v3 v5"


@pytest.mark.oracle
def test_open_transaction_holds_readers_back(server: Server, client: Client) -> None:
    topic = new_topic(server)
    client.ok(f"init a {new_id()} 60000")
    client.ok(f"init b {new_id()} 60000")
    client.ok("begin a")
    client.ok(f"send a {topic} 0 a1")
    client.ok("begin b")
    client.ok(f"send b {topic} 0 b1")
    client.ok("commit b")
    assert values(server, topic) == []
    client.ok("commit a")
    until(is_readable(server, topic, ["a1", "b1"]))


@pytest.mark.oracle
def test_offsets_are_committed_with_the_transaction(server: Server, client: Client) -> None:
    topic, group = new_topic(server), new_id()
    client.ok(f"init a {new_id()} 60000")
    client.ok("begin a")
    client.ok(f"send a {topic} 0 v1")
    client.ok(f"offsets a {group} {topic} 0 10")
    client.ok("commit a")
    until(has_committed(server, group, topic, 10))
    client.ok("begin a")
    client.ok(f"offsets a {group} {topic} 0 20")
    client.ok("abort a")
    assert committed_offset(server, group, topic) == 10
    client.ok("begin a")
    client.ok(f"offsets a {group} {topic} 0 30")
    client.ok("commit a")
    until(has_committed(server, group, topic, 30))


@pytest.mark.oracle
def test_zombie_is_fenced(server: Server, client: Client) -> None:
    topic, transactional_id = new_topic(server), new_id()
    client.ok(f"init old {transactional_id} 60000")
    client.ok("begin old")
    client.ok(f"send old {topic} 0 zombie")
    client.ok(f"init new {transactional_id} 60000")
    client.ok("begin new")
    client.ok(f"send new {topic} 0 alive")
    client.ok("commit new")
    assert client.fails(f"send old {topic} 0 zombie-2") in client.fenced
    assert client.fails("commit old") in client.fenced
    until(is_readable(server, topic, ["alive"]))


@pytest.mark.oracle
def test_abandoned_transaction_is_aborted_and_readers_go_on(server: Server, client: Client) -> None:
    topic = new_topic(server)
    client.ok(f"init gone {new_id()} 1000")
    client.ok(f"init a {new_id()} 60000")
    client.ok("begin gone")
    client.ok(f"send gone {topic} 0 lost")
    client.ok("begin a")
    client.ok(f"send a {topic} 0 kept")
    client.ok("commit a")
    assert values(server, topic) == []
    until(is_readable(server, topic, ["kept"]))
    assert values(server, topic, committed=False) == ["lost", "kept"]


@pytest.mark.oracle
def test_open_transaction_goes_on_after_the_broker_was_killed(
    server: Server, client: Client
) -> None:
    topic, group = new_topic(server), new_id()
    client.ok(f"init a {new_id()} 60000")
    client.ok("begin a")
    client.ok(f"send a {topic} 0 before")
    client.ok(f"offsets a {group} {topic} 0 7")
    server.kill()
    server.start()
    assert values(server, topic) == []
    client.ok(f"send a {topic} 0 after")
    client.ok("commit a")
    until(is_readable(server, topic, ["before", "after"]))
    until(has_committed(server, group, topic, 7))


def test_commit_that_was_acknowledged_survives_a_kill(server: Server, client: Client) -> None:
    """The decision is stored before the client hears of it; the markers may be missing."""
    topics = [new_topic(server, PARTITIONS) for _ in range(2)]
    group, transactional_id = new_id(), new_id()
    for round_ in range(2):
        # A new producer: librdkafka's does not find its group's coordinator after a restart.
        client.ok(f"init a {transactional_id} 60000")
        client.ok("begin a")
        for topic in topics:
            for partition in range(PARTITIONS):
                client.ok(f"send a {topic} {partition} r{round_}")
        client.ok(f"offsets a {group} {topics[0]} 0 {round_}")
        client.ok("commit a")
        server.kill()
        server.start()
        expected = [f"r{number}" for number in range(round_ + 1)]
        for topic in topics:
            for partition in range(PARTITIONS):
                until(is_readable(server, topic, expected, partition))
        until(has_committed(server, group, topics[0], round_))
