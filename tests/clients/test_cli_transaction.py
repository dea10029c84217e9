"""`barnabas transaction`, and Kafka's own tool, against a broker."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from clients.cli import Cli
from clients.transactions import until
from peers.java import TRANSACTIONS_COMMAND, ToolShell
from peers.servers import BarnabasServer, KafkaServer, Server
from unit.wire import WireClient

PARTITIONS = 4
CONFIG = {
    # Without it a producer can leave a transaction behind that no coordinator knows of.
    "transaction.partition.verification.enable": "false",
    "offsets.topic.num.partitions": str(PARTITIONS),
    "transaction.state.log.num.partitions": "2",
}
OFFSETS = "__consumer_offsets"


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    kind = {"barnabas": BarnabasServer, "kafka": KafkaServer}[request.config.getoption("--peer")]
    directory: Path = tmp_path_factory.mktemp("transactions")
    with kind(directory, CONFIG) as running:
        yield running


@pytest.fixture
def cli(server: Server) -> Cli:
    return Cli(server.bootstrap)


@pytest.fixture
def wire(server: Server) -> Iterator[WireClient]:
    with WireClient(server.bootstrap) as client:
        yield client


def begun(wire: WireClient, topic: str) -> tuple[str, Any]:
    """A transactional id with a transaction open, and its producer."""
    name = f"id-{uuid.uuid4().hex[:12]}"

    def has_coordinator() -> bool:
        found = wire.ask("FindCoordinator", 4, key_type=1, coordinator_keys=[name])
        return bool(found.coordinators[0].error_code.name == "none")

    until(has_coordinator)
    producers: list[Any] = []

    def is_initialized() -> bool:
        producer = wire.ask(
            "InitProducerId",
            5,
            transactional_id=name,
            transaction_timeout=60_000,
            producer_id=-1,
            producer_epoch=-1,
        )
        producers.append(producer)
        return bool(producer.error_code.name == "none")

    until(is_initialized)
    (added,) = wire.ask(
        "AddPartitionsToTxn",
        3,
        v3_and_below_transactional_id=name,
        v3_and_below_producer_id=producers[-1].producer_id,
        v3_and_below_producer_epoch=producers[-1].producer_epoch,
        v3_and_below_topics=[{"name": topic, "partitions": [0]}],
    ).results_by_topic_v3_and_below
    assert added.results_by_partition[0].partition_error_code.name == "none"
    return name, producers[-1]


def hanging(wire: WireClient, topic: str) -> dict[str, Any]:
    """A transaction in a partition of the offsets topic that its coordinator does not know of."""
    name, producer = begun(wire, topic)
    group = f"group-{uuid.uuid4().hex[:12]}"

    def has_coordinator() -> bool:
        found = wire.ask("FindCoordinator", 4, key_type=0, coordinator_keys=[group])
        return bool(found.coordinators[0].error_code.name == "none")

    until(has_coordinator)
    item = {
        "partition_index": 0,
        "committed_offset": 1,
        "committed_leader_epoch": -1,
        "committed_metadata": "",
    }

    def is_pending() -> bool:
        answer = wire.ask(
            "TxnOffsetCommit",
            4,
            transactional_id=name,
            group_id=group,
            producer_id=producer.producer_id,
            producer_epoch=producer.producer_epoch,
            generation_id=-1,
            member_id="",
            topics=[{"name": topic, "partitions": [item]}],
        )
        return bool(answer.topics[0].partitions[0].error_code.name == "none")

    until(is_pending)
    for topic_answer in wire.ask(
        "DescribeProducers",
        0,
        topics=[{"name": OFFSETS, "partition_indexes": list(range(PARTITIONS))}],
    ).topics:
        for partition in topic_answer.partitions:
            for found in partition.active_producers:
                if found.producer_id == producer.producer_id:
                    return {
                        "topic": OFFSETS,
                        "partition": partition.partition_index,
                        "producer_id": found.producer_id,
                        "producer_epoch": found.producer_epoch,
                        "start_offset": found.current_txn_start_offset,
                    }
    raise AssertionError("the producer is not known")


@pytest.mark.oracle
def test_transactional_ids_are_listed_by_what_is_asked_for(cli: Cli, wire: WireClient) -> None:
    topic = cli.new_topic()
    name, producer = begun(wire, topic)
    producer_id = str(producer.producer_id)
    assert name in cli.ok("transaction", "list").lines
    assert cli.ok("transaction", "list", "--producer-id", producer_id).lines == [name]
    assert name in cli.ok("transaction", "list", "--state", "Ongoing").lines
    assert name not in cli.ok("transaction", "list", "--state", "Empty").lines
    assert cli.ok("transaction", "list", "--pattern", name[:6] + ".*").lines == [name]
    assert cli.ok("transaction", "list", "--longer-than", "3600", "--state", "Ongoing").lines == []
    (listed,) = cli.ok("transaction", "list", "--producer-id", producer_id, "--json").objects
    assert listed == {
        "transactional_id": name,
        "coordinator": 1,
        "producer_id": producer.producer_id,
        "state": "Ongoing",
    }


@pytest.mark.oracle
def test_a_transactional_id_without_a_transaction_is_described(cli: Cli, server: Server) -> None:
    name = f"id-{uuid.uuid4().hex[:12]}"
    producer = Producer({"bootstrap.servers": server.bootstrap, "transactional.id": name})
    producer.init_transactions(30)
    (described,) = cli.run("transaction", "describe", name, "--json").objects
    assert described["transactional_id"] == name
    assert described["state"] == "Empty"
    assert described["start"] is None


def test_transaction_is_described(cli: Cli, wire: WireClient) -> None:
    topic = cli.new_topic()
    name, producer = begun(wire, topic)
    (row,) = cli.ok("transaction", "describe", name).rows
    assert row[:6] == [name, "1", str(producer.producer_id), "0", "Ongoing", "60000"]
    assert row[7] == f"{topic}:0"
    run = cli.run("transaction", "describe", "nobody", name, "--json")
    assert run.exit_code == 1
    assert run.stderr == "barnabas: there is no transactional id nobody\n"
    (described,) = run.objects
    assert described["partitions"] == f"{topic}:0"


@pytest.mark.oracle
def test_hanging_transaction_is_found_and_aborted(cli: Cli, wire: WireClient) -> None:
    expected = hanging(wire, cli.new_topic())
    assert cli.ok("transaction", "find-hanging", "--json").objects == []
    args = ("transaction", "find-hanging", OFFSETS, "--max-timeout", "0.001", "--json")
    found = [item for item in cli.ok(*args).objects if item.items() >= expected.items()]
    assert len(found) == 1
    at = [str(expected[key]) for key in ("topic", "partition", "start_offset")]
    assert "aborted" in cli.ok("transaction", "abort", *at).text
    assert not [item for item in cli.ok(*args).objects if item.items() >= expected.items()]
    assert "begins at" in cli.fails("transaction", "abort", *at)


def test_what_cannot_be_done_is_said_in_one_line(cli: Cli) -> None:
    assert "no topic nowhere" in cli.fails("transaction", "find-hanging", "nowhere")
    assert "no topic nowhere" in cli.fails("transaction", "abort", "nowhere", "0", "0")
    assert "PLAINTEXT" in cli.fails("transaction", "list", "-X", "security.protocol=SSL")
    unreachable = Cli("127.0.0.1:1")
    assert "cannot reach" in unreachable.fails("transaction", "list")


@pytest.mark.java
@pytest.mark.oracle
def test_kafkas_own_tool_lists_describes_finds_and_aborts(
    server: Server, cli: Cli, wire: WireClient
) -> None:
    topic = cli.new_topic()
    name, producer = begun(wire, topic)
    stuck = hanging(wire, topic)
    with ToolShell() as shell:

        def tool(*args: str) -> str:
            command = ("--bootstrap-server", server.bootstrap, *args)
            return shell.run(TRANSACTIONS_COMMAND, *command).check().stdout

        (row,) = [line.split() for line in tool("list").splitlines() if name in line]
        assert row == [name, "1", str(producer.producer_id), "Ongoing"]
        described = tool("describe", "--transactional-id", name)
        assert f"{topic}-0" in described
        assert "Ongoing" in described
        at = ("--topic", OFFSETS, "--partition", str(stuck["partition"]))
        producers = tool("describe-producers", *at)
        assert str(stuck["producer_id"]) in producers
        found = tool("find-hanging", *at, "--max-transaction-timeout", "0")
        assert str(stuck["producer_id"]) in found
        tool("abort", *at, "--start-offset", str(stuck["start_offset"]))
        found = tool("find-hanging", *at, "--max-transaction-timeout", "0")
        assert str(stuck["producer_id"]) not in found
