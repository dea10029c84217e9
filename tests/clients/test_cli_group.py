"""`barnabas group` against a broker."""

import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer

from clients.cli import Cli, run_on_terminal
from peers.servers import Server

RECORDS = 30


@pytest.fixture
def cli(server: Server) -> Cli:
    return Cli(server.bootstrap)


@pytest.fixture
def topic(cli: Cli) -> str:
    """Two partitions; the records are in partition 0, a second apart."""
    topic = cli.new_topic(2)
    lines = b"".join(
        b'{"value": "v%d", "timestamp": %d}\n' % (i, 1_700_000_000_000 + i * 1000)
        for i in range(RECORDS)
    )
    cli.ok("produce", topic, "--format", "json", "--partition", "0", stdin=lines)
    return topic


@pytest.fixture
def group(cli: Cli, topic: str) -> str:
    """A group without members that has committed 10."""
    name = f"group-{uuid.uuid4().hex[:12]}"
    run = cli.ok("consume", topic, "--group", name, "--max-messages", "10")
    assert len(run.lines) == 10
    return name


@pytest.fixture
def member(cli: Cli, topic: str, group: str) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": cli.bootstrap,
            "group.id": group,
            "client.id": "the-member",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    assert consumer.poll(30) is not None
    yield consumer
    consumer.close()


def committed(cli: Cli, group: str) -> dict[tuple[str, int], int | None]:
    (described,) = cli.ok("group", "describe", group, "--json").objects
    return {
        (item["topic"], item["partition"]): item["committed"] for item in described["partitions"]
    }


def test_a_group_is_listed_by_state(cli: Cli, group: str) -> None:
    assert group in cli.ok("group", "list").lines
    assert group in cli.ok("group", "list", "--state", "empty").lines
    assert group not in cli.ok("group", "list", "--state", "stable").lines
    listed = {item["group"]: item for item in cli.ok("group", "list", "--json").objects}
    assert listed[group] == {"group": group, "state": "empty", "type": "classic"}
    assert [group, "empty", "classic"] in cli.ok("group", "list", "--state").rows


def test_lag_is_shown_by_partition(cli: Cli, topic: str, group: str) -> None:
    rows = cli.ok("group", "describe", group).rows
    assert rows[0] == [group, topic, "0", "10", "30", "20", "-", "-", "-"]
    (described,) = cli.ok("group", "describe", group, "--json").objects
    assert described["lag"] == 20
    assert described["state"] == "empty"
    rows = cli.ok("group", "describe", group, "--state").rows
    assert rows == [[group, "empty", "classic", "-", str(described["coordinator"]), "0", "20"]]


def test_members_and_their_partitions_are_shown(
    cli: Cli, topic: str, group: str, member: Consumer
) -> None:
    (row,) = cli.ok("group", "describe", group, "--members").rows
    assert row[3] == "the-member"
    assert row[5] == f"{topic}:0,1"
    (described,) = cli.ok("group", "describe", group, "--json").objects
    assert described["state"] == "stable"
    assert [item["client"] for item in described["partitions"]] == ["the-member"] * 2
    exit_code, shown = run_on_terminal(cli.command("group", "describe", group))
    assert exit_code == 0
    assert f"{group}: stable, 1 member, lag 20" in shown
    assert "the-member" in shown


def test_a_group_that_is_not_there_is_an_error(cli: Cli) -> None:
    assert "no group missing" in cli.fails("group", "describe", "missing")
    assert cli.run("group", "describe", "missing").stdout == b"", "no header alone"
    assert "cannot delete group missing" in cli.fails("group", "delete", "missing")


def test_a_group_is_deleted_once_it_has_no_members(cli: Cli, group: str) -> None:
    assert cli.ok("group", "delete", group).text == f"deleted group {group}\n"
    assert group not in cli.ok("group", "list").lines


def test_a_group_with_members_is_neither_deleted_nor_reset(
    cli: Cli, topic: str, group: str, member: Consumer
) -> None:
    assert "not empty" in cli.fails("group", "delete", group)
    reset = ["group", "reset-offsets", group, "--topic", topic, "--to-earliest"]
    assert "has 1 member" in cli.fails(*reset, "--execute")
    assert committed(cli, group)[topic, 0] == 10


@pytest.mark.parametrize(
    ("target", "offset"),
    [
        (["--to-earliest"], 0),
        (["--to-latest"], RECORDS),
        (["--to-offset", "17"], 17),
        (["--to-offset", "1000"], RECORDS),
        (["--shift-by", "5"], 15),
        (["--shift-by", "-3"], 7),
        (["--shift-by", "-300"], 0),
        (["--to-datetime", "2023-11-14T22:13:25Z"], 5),
        (["--to-datetime", "2023-11-14T22:13:25"], 5),
        (["--to-datetime", "2023-11-14T23:13:25+01:00"], 5),
        (["--by-duration", "PT1H"], RECORDS),
        (["--by-duration", "36500d"], 0),
        (["--to-datetime", "1969-12-31T23:59:59.999Z"], 0),
    ],
)
def test_offsets_are_reset(
    cli: Cli, topic: str, group: str, target: list[str], offset: int
) -> None:
    cli.ok("group", "reset-offsets", group, "--topic", f"{topic}:0", *target, "--execute")
    assert committed(cli, group)[topic, 0] == offset


def test_without_execute_nothing_is_changed(cli: Cli, topic: str, group: str) -> None:
    for options in ([], ["--dry-run"]):
        run = cli.ok("group", "reset-offsets", group, "--topic", topic, "--to-latest", *options)
        assert run.rows == [[group, topic, "0", "10", "30"], [group, topic, "1", "-", "0"]]
        assert "nothing was changed" in run.stderr
    assert committed(cli, group)[topic, 0] == 10


def test_what_is_said_of_a_reset_is_in_the_order_of_partitions(cli: Cli, group: str) -> None:
    topics = [cli.new_topic(3) for _ in range(2)]
    options = [word for topic in (f"{topics[1]}:2,0,1", topics[0]) for word in ("--topic", topic)]
    run = cli.ok("group", "reset-offsets", group, *options, "--to-offset", "7")
    places = sorted((topic, number) for topic in topics for number in range(3))
    notes = [f"topic {topic}, partition {number} holds" for topic, number in places]
    assert [line for line in run.stderr.splitlines() if "holds" in line] == [
        f"barnabas: {note} offsets 0 to 0: 0 is taken instead of 7" for note in notes
    ]


def test_a_reset_goes_on_from_there(cli: Cli, topic: str, group: str) -> None:
    cli.ok("group", "reset-offsets", group, "--all-topics", "--to-offset", "28", "--execute")
    assert cli.ok("consume", topic, "--group", group).lines == ["v28", "v29"]


def test_a_new_group_can_begin_anywhere(cli: Cli, topic: str) -> None:
    group = f"group-{uuid.uuid4().hex[:12]}"
    options = ["--topic", f"{topic}:0", "--to-offset", "29", "--execute", "--json"]
    (planned,) = cli.ok("group", "reset-offsets", group, *options).objects
    assert planned == {
        "group": group,
        "topic": topic,
        "partition": 0,
        "committed": None,
        "new": 29,
        "executed": True,
    }
    assert cli.ok("consume", topic, "--group", group).lines == ["v29"]


def test_a_reset_that_cannot_be_is_one_line(cli: Cli, topic: str, group: str) -> None:
    def fails(*options: str) -> str:
        return cli.fails("group", "reset-offsets", group, *options)

    assert "which topics" in fails("--to-latest")
    assert "which topics" in fails("--to-latest", "--all-topics", "--topic", topic)
    too_late = ("--topic", topic, "--to-datetime", "9" * 20)
    assert "after the year 9999" in cli.fails(
        "group", "reset-offsets", group, *too_late, exit_code=2
    )
    assert "no topic missing" in fails("--to-latest", "--topic", "missing")
    assert "no partition 9" in fails("--to-latest", "--topic", f"{topic}:0,9")
    assert "committed nothing" in fails("--shift-by", "1", "--topic", f"{topic}:1")
    empty = cli.fails("group", "reset-offsets", "missing", "--to-latest", "--all-topics")
    assert "has committed no offsets" in empty
