"""`barnabas topic` and `barnabas config` against a broker."""

import socket
import time

import pytest

from clients.cli import BARNABAS, Cli, run_command, run_on_terminal
from peers.processes import free_port
from peers.servers import Server


@pytest.fixture
def cli(server: Server) -> Cli:
    return Cli(server.bootstrap)


def test_a_topics_id_is_written_as_kafka_writes_it(cli: Cli, server: Server) -> None:
    for _ in range(4):  # half of all ids have a letter that two alphabets write differently
        topic = cli.new_topic()
        metadata = server.partition_dir(topic, 0) / "partition.metadata"
        (described,) = cli.ok("topic", "describe", topic, "--json").objects
        assert metadata.read_text().split()[-1] == described["topic_id"]


@pytest.mark.oracle
def test_a_topic_is_created_described_and_deleted(cli: Cli) -> None:
    topic = cli.new_topic(3, "--config", "retention.ms=60000", "--config", "segment.bytes=1048576")
    assert topic in cli.ok("topic", "list").lines
    rows = cli.ok("topic", "describe", topic).rows
    assert [row[:3] for row in rows] == [[topic, str(number), "1"] for number in range(3)]
    assert [row[-2:] for row in rows] == [["0", "0"]] * 3
    (described,) = cli.ok("topic", "describe", topic, "--json").objects
    assert described["config"] == {"retention.ms": "60000", "segment.bytes": "1048576"}
    assert described["partitions"][2]["replicas"] == [1]
    assert len(described["topic_id"]) == 22
    assert not set("+/") & set(described["topic_id"])
    assert cli.ok("topic", "delete", topic).text == f"deleted topic {topic}\n"
    assert topic not in cli.ok("topic", "list").lines


def test_creating_twice_is_an_error_unless_it_may_exist(cli: Cli) -> None:
    topic = cli.new_topic()
    assert "already exists" in cli.fails("topic", "create", topic)
    assert "exists already" in cli.ok("topic", "create", topic, "--if-not-exists").text


def test_deleting_what_is_not_there_is_an_error_unless_it_may_be_missing(cli: Cli) -> None:
    assert "cannot delete topic missing" in cli.fails("topic", "delete", "missing")
    cli.ok("topic", "delete", "missing", "--if-exists")


def test_of_several_topics_the_good_ones_are_made(cli: Cli) -> None:
    topic = cli.new_topic()
    cli.ok("topic", "delete", topic)
    assert "not/allowed" in cli.fails("topic", "create", topic, "not/allowed")
    assert topic in cli.ok("topic", "list").lines


def test_partitions_are_added_and_the_configuration_changed(cli: Cli) -> None:
    topic = cli.new_topic(1, "--config", "retention.ms=60000")
    options = ["--partitions", "4", "--config", "cleanup.policy=compact"]
    cli.ok("topic", "alter", topic, *options, "--delete-config", "retention.ms")
    (described,) = cli.ok("topic", "describe", topic, "--json").objects
    assert described["config"] == {"cleanup.policy": "compact"}
    assert len(described["partitions"]) == 4
    assert "cannot alter topic" in cli.fails("topic", "alter", topic, "--partitions", "2")
    assert "nothing to alter" in cli.fails("topic", "alter", topic)


@pytest.mark.oracle
def test_old_records_are_deleted(cli: Cli) -> None:
    topic = cli.new_topic(2, "--config", "message.timestamp.type=CreateTime")
    for number in range(3):
        cli.ok("produce", topic, "--partition", "1", stdin=f"v{number}\n".encode())
    run = cli.ok("topic", "delete-records", topic, "-p", "1", "--before-offset", "2")
    assert run.rows == [[topic, "1", "2"]]
    rows = cli.ok("topic", "describe", topic).rows
    assert [row[-2:] for row in rows] == [["0", "0"], ["2", "3"]]
    refused = cli.fails("topic", "delete-records", topic, "-p", "1", "--before-offset", "4")
    assert f"cannot delete records of topic {topic}, partition 1" in refused
    (everything, _) = cli.ok("topic", "delete-records", topic, "--all", "--json").objects
    assert everything == {"topic": topic, "partition": 0, "start": 0}
    assert cli.ok("topic", "describe", topic).rows[1][-2:] == ["3", "3"]
    now = ("--before-datetime", "2000-01-01T00:00:00Z")
    assert cli.ok("topic", "delete-records", topic, *now).rows[1] == [topic, "1", "3"]
    assert "no partition 2" in cli.fails("topic", "delete-records", topic, "-p", "2", "--all")
    assert "there is no topic" in cli.fails("topic", "delete-records", "missing", "--all")


@pytest.mark.parametrize("setting", ["no.such.key=1", "retention.ms=soon"])
def test_a_bad_configuration_is_named(cli: Cli, setting: str) -> None:
    assert setting.partition("=")[0] in cli.fails("topic", "create", "t-bad", "--config", setting)


def test_describing_only_what_is_not_there_prints_nothing(cli: Cli) -> None:
    run = cli.run("topic", "describe", "missing")
    assert (run.exit_code, run.stdout) == (1, b"")
    assert "topic missing" in run.stderr


def test_internal_topics_are_listed_when_asked_for(cli: Cli) -> None:
    topic = cli.new_topic()
    cli.ok("consume", topic, "--group", "makes-the-internal-topic")
    assert "__consumer_offsets" not in cli.ok("topic", "list").lines
    assert "__consumer_offsets" in cli.ok("topic", "list", "--internal").lines


def test_a_terminal_gets_a_table(cli: Cli) -> None:
    topic = cli.new_topic(2)
    exit_code, shown = run_on_terminal(cli.command("topic", "list"))
    assert exit_code == 0
    assert "replication_factor" in shown
    assert topic in shown
    exit_code, shown = run_on_terminal(cli.command("topic", "describe", topic))
    assert exit_code == 0
    assert f"{topic}: 2 partitions" in shown
    assert "─" in shown


def test_a_name_that_is_markup_is_shown_as_it_is(cli: Cli) -> None:
    topic = cli.new_topic()
    cli.ok("produce", topic, stdin=b"x\n")
    cli.ok("consume", topic, "--group", "[red]bold[/red]")
    _, shown = run_on_terminal(cli.command("group", "list"))
    assert "[red]bold[/red]" in shown


def test_configuration_is_read_set_and_deleted(cli: Cli) -> None:
    topic = cli.new_topic()
    assert cli.ok("config", "get", "topic", topic, "retention.ms").rows == [
        ["retention.ms", "604800000", "default"]
    ]
    cli.ok("config", "set", "topic", topic, "retention.ms=1000", "max.message.bytes=2000")
    assert cli.ok("config", "get", "topic", topic, "retention.ms").rows == [
        ["retention.ms", "1000", "topic"]
    ]
    cli.ok("config", "set", "topic", topic, "--delete", "retention.ms")
    overrides = cli.ok("config", "get", "topic", topic, "--overrides", "--json").objects
    own = [item for item in overrides if item["source"] == "dynamic_topic_config"]
    assert own == [{"key": "max.message.bytes", "value": "2000", "source": "dynamic_topic_config"}]


def test_a_brokers_configuration_is_read_and_set(cli: Cli) -> None:
    keys = {item["key"] for item in cli.ok("config", "get", "broker", "1", "--json").objects}
    assert keys >= {"log.retention.ms", "message.max.bytes", "num.partitions"}
    cli.ok("config", "set", "broker", "1", "message.max.bytes=2000000")
    try:
        (row,) = cli.ok("config", "get", "broker", "1", "message.max.bytes").rows
        assert row == ["message.max.bytes", "2000000", "broker"]
    finally:
        cli.ok("config", "set", "broker", "1", "--delete", "message.max.bytes")


def test_configuration_errors_are_one_line(cli: Cli) -> None:
    topic = cli.new_topic()
    assert "no configuration nope" in cli.fails("config", "get", "topic", topic, "nope")
    assert "nope" in cli.fails("config", "set", "topic", topic, "nope=1")
    assert "configuration of topic missing" in cli.fails("config", "get", "topic", "missing")
    assert "a number" in cli.fails("config", "get", "broker", "one")
    no_broker = "there is no broker 7; there is 1\n"
    assert cli.fails("config", "get", "broker", "7").endswith(no_broker)
    assert cli.fails("config", "set", "broker", "7", "num.partitions=2").endswith(no_broker)
    assert "nothing to change" in cli.fails("config", "set", "topic", topic)
    both = cli.fails("config", "set", "topic", topic, "retention.ms=1", "--delete", "retention.ms")
    assert "both set and deleted" in both


def test_a_cluster_that_is_not_there_is_noticed_at_once() -> None:
    begin = time.monotonic()
    message = Cli(f"127.0.0.1:{free_port()}").fails("topic", "list")
    assert "cannot reach a Kafka broker" in message
    assert "refused" in message
    assert time.monotonic() - begin < 5


def test_a_port_that_never_answers_is_given_up(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        begin = time.monotonic()
        silent_cli = Cli(f"127.0.0.1:{port}")
        message = silent_cli.fails("topic", "list", "--connect-timeout", "1")
        assert "cannot reach a Kafka broker" in message
        assert time.monotonic() - begin < 6


def test_one_of_two_bootstrap_servers_is_enough(cli: Cli) -> None:
    Cli(f"127.0.0.1:{free_port()},{cli.bootstrap}").ok("topic", "list")


@pytest.mark.parametrize("servers", ["no-such-host.invalid:9092", ":::"])
def test_a_bad_address_is_one_line(servers: str) -> None:
    Cli(servers).fails("topic", "list")


def test_a_bad_client_property_is_named(cli: Cli) -> None:
    assert "no.such.property" in cli.fails("topic", "list", "-X", "no.such.property=1")
    assert "socket.timeout.ms" in cli.fails("topic", "list", "-X", "socket.timeout.ms=soon")


def test_output_that_cannot_be_written_is_one_line(cli: Cli) -> None:
    cli.new_topic()
    for redirection, exit_code, error in (
        (">/dev/full", 1, "barnabas: cannot write to stdout: No space left on device\n"),
        (">&-", 0, ""),
        ("<&-", 0, ""),
    ):
        command = f"{' '.join(cli.command('topic', 'list'))} {redirection}"
        run = run_command(["sh", "-c", command])
        assert (run.exit_code, run.stderr) == (exit_code, error)


def test_every_command_has_help_and_a_version() -> None:
    for command in ("", "serve", "topic", "topic create", "group reset-offsets", "dump"):
        run = run_command([BARNABAS, *command.split(), "--help"])
        assert run.exit_code == 0
        assert run.text.startswith("usage: barnabas")
        assert max(map(len, run.lines)) <= 100
    assert run_command([BARNABAS, "--version"]).text.startswith("barnabas 0.")
