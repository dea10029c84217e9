"""`barnabas produce` and `barnabas consume` against a broker: data, pipes, signals, a terminal."""

import json
import os
import random
import signal
import struct
import subprocess
import time
from pathlib import Path

import pytest

from clients.cli import TIMEOUT_S, Cli, run_on_terminal
from clients.contract import CODECS
from peers.processes import free_port, wait_until
from peers.servers import Server

LINES = b"".join(b"line %d\n" % i for i in range(1000))


@pytest.fixture
def cli(server: Server) -> Cli:
    return Cli(server.bootstrap)


@pytest.fixture
def topic(cli: Cli) -> str:
    return cli.new_topic()


def stop(process: "subprocess.Popen[bytes]", number: signal.Signals) -> tuple[int, bytes, bytes]:
    process.send_signal(number)
    out, err = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, out, err


@pytest.mark.parametrize("codec", CODECS)
def test_lines_come_back_as_they_were(cli: Cli, topic: str, tmp_path: Path, codec: str) -> None:
    path = tmp_path / "text"
    path.write_bytes("Grüße 🎈\n\n\r\n  spaces \n".encode() + LINES)
    run = cli.ok("produce", topic, str(path), "--compression", codec)
    assert "produced 1,004 records" in run.stderr
    assert cli.ok("consume", topic).stdout == path.read_bytes()


def test_stdin_and_several_files_in_order(cli: Cli, topic: str, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(f"from {name}\n")
    files = [str(tmp_path / "a"), "-", str(tmp_path / "b")]
    cli.ok("produce", topic, *files, stdin=b"from stdin, no line end")
    assert cli.ok("consume", topic).lines == ["from a", "from stdin, no line end", "from b"]


@pytest.mark.oracle
def test_any_bytes_survive_as_json(cli: Cli, topic: str, tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(random.Random(1).randbytes(100_000))
    cli.ok("produce", topic, str(path), "--format", "whole", "--key", "ключ", "--header", "h=ü")
    (record,) = cli.ok("consume", topic, "--format", "json").objects
    assert record["key"] == "ключ"
    assert record["headers"] == [{"key": "h", "value": "ü"}]
    assert "value" not in record
    copy = cli.new_topic()
    exported = cli.ok("consume", topic, "--format", "json").stdout
    cli.ok("produce", copy, "--format", "json", stdin=exported)
    assert cli.ok("consume", copy, "--delimiter", r"\0").stdout == path.read_bytes() + b"\0"


@pytest.mark.oracle
def test_json_lines_carry_all_of_a_record(cli: Cli) -> None:
    topic = cli.new_topic(3)
    records: list[dict[str, object]] = [
        {"key": "k", "value": "v", "headers": [{"key": "h", "value": None}], "timestamp": 17},
        {"key": None, "value": None, "headers": [], "timestamp": 18},
        {"key_base64": "/w==", "value_base64": "AP8=", "headers": [], "timestamp": 19},
    ]
    for partition, record in enumerate(records):
        record["partition"] = partition
    lines = "".join(json.dumps(record) + "\n" for record in records)
    cli.ok("produce", topic, "--format", "json", "--keep-partitions", stdin=lines.encode())
    read = cli.ok("consume", topic, "--format", "json").objects
    for record in read:
        assert record.pop("topic") == topic
        assert record.pop("offset") == 0
    assert sorted(read, key=lambda record: record["partition"]) == records


def test_what_was_consumed_goes_to_a_topic_with_fewer_partitions(cli: Cli) -> None:
    wide, narrow = cli.new_topic(5), cli.new_topic(1)
    keys = b"".join(b"k%d:v\n" % i for i in range(20))
    cli.ok("produce", wide, "--key-separator", ":", stdin=keys)
    exported = cli.ok("consume", wide, "--format", "json").stdout
    cli.ok("produce", narrow, "--format", "json", stdin=exported)
    assert len(cli.ok("consume", narrow).lines) == 20
    run = cli.run("produce", narrow, "--format", "json", "--keep-partitions", stdin=exported)
    assert run.exit_code == 1
    assert "partition" in run.stderr
    assert "--format lines" in cli.fails("produce", narrow, "--keep-partitions")


def test_a_timestamp_of_zero_does_not_become_now(cli: Cli, topic: str) -> None:
    cli.ok("produce", topic, "--format", "json", stdin=b'{"value": "v", "timestamp": 0}\n')
    (record,) = cli.ok("consume", topic, "--format", "json").objects
    assert record["timestamp"] == 1  # librdkafka has no 0


def test_keys_are_split_off_and_printed(cli: Cli, topic: str) -> None:
    cli.ok("produce", topic, "--key-separator", r"\t", stdin=b"k\tv\tw\n\tno key\n")
    assert cli.ok("consume", topic, "--format", "key-value").text == "k\tv\tw\n\tno key\n"
    other = ["--format", "key-value", "--key-separator", " => ", "--offset", "0", "-n", "1"]
    assert cli.ok("consume", topic, *other).text == "k => v\tw\n"


def test_tombstones_are_shown_as_told(cli: Cli, topic: str) -> None:
    cli.ok("produce", topic, "--format", "json", stdin=b'{"key": "k", "value": null}\n')
    assert cli.ok("consume", topic, "--format", "key-value").text == "k\tnull\n"
    assert cli.ok("consume", topic, "--null", "~").text == "~\n"


@pytest.mark.oracle
def test_where_to_begin_and_when_to_stop(cli: Cli, topic: str) -> None:
    lines = b"".join(
        b'{"value": "%d", "timestamp": %d}\n' % (i, 1_700_000_000_000 + i) for i in range(10)
    )
    cli.ok("produce", topic, "--format", "json", stdin=lines)

    def consumed(*options: str) -> str:
        return "".join(cli.ok("consume", topic, *options).lines)

    assert consumed("--from-beginning") == "0123456789"
    assert consumed("--offset", "7") == "789"
    assert consumed("--offset", "-2") == "89"
    assert consumed("--offset", "-20") == "0123456789"
    assert consumed("--offset", "10") == ""
    assert consumed("-n", "3") == "012"
    assert consumed("--since", "1700000000004", "-n", "2") == "45"
    assert consumed("--since", "2099-01-01") == ""
    assert consumed("--since", "1h") == ""
    assert consumed("--since", "1969-12-31T23:59:59.999Z", "-n", "2") == "01"
    assert "after the year 9999" in cli.fails("consume", topic, "--since", "9" * 20, exit_code=2)
    assert "holds offsets 0 to 10, not 11" in cli.fails("consume", topic, "--offset", "11")


def test_one_partition_of_many(cli: Cli) -> None:
    topic = cli.new_topic(4)
    for partition in range(4):
        cli.ok("produce", topic, "--partition", str(partition), stdin=b"%d\n" % partition)
    assert sorted(cli.ok("consume", topic).lines) == ["0", "1", "2", "3"]
    assert cli.ok("consume", topic, "--partition", "2").lines == ["2"]
    assert "no partition 4" in cli.fails("consume", topic, "--partition", "4")
    assert "no partition 4" in cli.fails("produce", topic, "--partition", "4", stdin=b"x")


@pytest.mark.oracle
def test_the_key_decides_the_partition_as_javas_client_does(cli: Cli) -> None:
    topic = cli.new_topic(7)
    cli.ok("produce", topic, "--key-separator", ":", stdin=b"abc:\n21:\nfoobar:\n")
    read = cli.ok("consume", topic, "--format", "json").objects
    # murmur2 of the keys, as of Kafka's own tests of its hash, positive, modulo 7
    hashes = {"abc": 479470107, "21": -973932308, "foobar": -790332482}
    assert {record["key"]: record["partition"] for record in read} == {
        key: (number & 0x7FFFFFFF) % 7 for key, number in hashes.items()
    }


@pytest.mark.oracle
def test_a_group_goes_on_where_it_stopped(cli: Cli, topic: str) -> None:
    cli.ok("produce", topic, stdin=LINES)
    group = f"group-of-{topic}"
    first = cli.ok("consume", topic, "--group", group, "-n", "600").stdout
    second = cli.ok("consume", topic, "--group", group).stdout
    assert first.count(b"\n") == 600
    assert first + second == LINES
    assert cli.ok("consume", topic, "--group", group).stdout == b""


def test_an_empty_topic_ends_at_once(cli: Cli, topic: str) -> None:
    assert cli.ok("consume", topic).stdout == b""
    assert "produced" not in cli.ok("produce", topic).stderr


def test_head_ends_it_quietly(cli: Cli, topic: str) -> None:
    cli.ok("produce", topic, stdin=LINES * 50)
    process = subprocess.Popen(cli.command("consume", topic), stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"line 0\n"
    process.stdout.close()
    assert process.wait(TIMEOUT_S) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_follow_ends_when_its_reader_is_gone_although_nothing_comes(cli: Cli, topic: str) -> None:
    process = subprocess.Popen(cli.command("consume", topic, "--follow"), stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(TIMEOUT_S) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + 15)]
)
def test_follow_shows_what_comes_until_it_is_stopped(
    cli: Cli, topic: str, number: signal.Signals, exit_code: int
) -> None:
    cli.ok("produce", topic, stdin=b"old\n")
    command = cli.command("consume", topic, "--follow", "--from-beginning")
    process = subprocess.Popen(command, stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stdout.readline() == b"old\n"
    cli.ok("produce", topic, stdin=b"new\n")
    assert process.stdout.readline() == b"new\n"
    assert stop(process, number) == (exit_code, b"", b"")


@pytest.mark.parametrize("options", [[], ["--group", "of-a-topic-that-goes"]])
def test_follow_ends_when_its_topic_is_deleted(cli: Cli, options: list[str]) -> None:
    topic = cli.new_topic()
    cli.ok("produce", topic, stdin=b"old\n")
    command = cli.command("consume", topic, "--follow", "--from-beginning", *options)
    process = subprocess.Popen(command, stdout=-1, stderr=-1)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"old\n"
        cli.ok("topic", "delete", topic)
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert (process.returncode, stdout) == (1, b"")
    assert stderr.startswith(f"barnabas: topic {topic}".encode()), stderr
    assert stderr.count(b"\n") == 1


def test_a_stopped_producer_delivers_what_it_has_read(cli: Cli, topic: str) -> None:
    command = cli.command("produce", topic)
    process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1)
    assert process.stdin is not None
    process.stdin.write(b"first\n")
    process.stdin.flush()
    wait_until(lambda: cli.ok("consume", topic).stdout == b"first\n", TIMEOUT_S, "the record")
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT_S) == 130
    assert process.stderr is not None
    error = process.stderr.read()
    assert b"produced 1 record" in error
    assert b"Traceback" not in error
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()


def test_bad_input_is_named_and_what_came_before_is_delivered(cli: Cli, topic: str) -> None:
    run = cli.run("produce", topic, "--format", "json", "-q", stdin=b'{"value": "a"}\n{"oops\n')
    assert run.exit_code == 1
    assert run.stderr.startswith("barnabas: stdin, line 2: not JSON")
    assert cli.ok("consume", topic).lines == ["a"]


def test_no_record_makes_no_topic(cli: Cli) -> None:
    name = f"never-{time.monotonic_ns()}"
    assert f"no records: topic {name} was not made" in cli.ok("produce", name, stdin=b"").stderr
    assert name not in cli.ok("topic", "list").lines


def test_too_large_a_record_is_counted_and_the_others_are_delivered(cli: Cli, topic: str) -> None:
    run = cli.run("produce", topic, stdin=b"a\n" + b"x" * 3_000_000 + b"\nb\n")
    assert run.exit_code == 1
    assert "stdin, line 2: Message size too large" in run.stderr
    assert "1 record not delivered" in run.stderr
    assert cli.ok("consume", topic).lines == ["a", "b"]


@pytest.mark.oracle
def test_what_the_broker_refuses_is_counted(cli: Cli) -> None:
    topic = cli.new_topic(1, "--config", "max.message.bytes=1000")
    run = cli.run("produce", topic, "--json", stdin=b"x" * 2000 + b"\n")
    assert run.exit_code == 1
    (summary,) = run.objects
    assert (summary["delivered"], summary["failed"]) == (0, 1)
    assert "too large" in run.stderr


@pytest.mark.parametrize(
    ("options", "stdin", "message"),
    [
        (["--key-separator", ":"], b"no key\n", "line 1: no key separator"),
        (["--key-separator", ":", "--format", "json"], b"", "no meaning"),
        (["/no/such/file"], b"", "cannot read /no/such/file"),
        (["/"], b"", "cannot read /: Is a directory"),
    ],
)
def test_bad_options_are_one_line(
    cli: Cli, topic: str, options: list[str], stdin: bytes, message: str
) -> None:
    new_topic = f"{topic}-new"
    for name in (topic, new_topic):
        assert message in cli.fails("produce", name, *options, stdin=stdin)
    assert new_topic not in cli.ok("topic", "list").lines, "it is made for a record"


def test_keys_and_headers_may_be_any_bytes(cli: Cli, topic: str) -> None:
    any_byte = os.fsdecode(b"\xff")
    cli.ok("produce", topic, "--key", any_byte, "--header", f"h={any_byte}", stdin=b"v\n")
    (record,) = cli.ok("consume", topic, "--format", "json").objects
    assert record["key_base64"] == "/w=="
    assert record["headers"] == [{"key": "h", "value_base64": "/w=="}]


def test_an_offset_that_no_partition_holds_is_one_line(cli: Cli) -> None:
    topic = cli.new_topic(2)
    cli.ok("produce", topic, "--partition", "1", stdin=b"a\nb\n")
    assert "no partition" in cli.fails("consume", topic, "--offset", "999")
    assert cli.ok("consume", topic, "--offset", "1").lines == ["b"]


def test_a_topic_that_is_not_there_is_one_line(cli: Cli) -> None:
    assert "topic missing" in cli.fails("consume", "missing")
    assert "in/valid" in cli.fails("produce", "in/valid", stdin=b"x")
    assert "--group" in cli.fails("consume", "missing", "--group", "g", "--offset", "3")


def test_a_cluster_that_is_not_there_is_noticed_at_once() -> None:
    begin = time.monotonic()
    cli = Cli(f"127.0.0.1:{free_port()}")
    assert "cannot reach" in cli.fails("consume", "t")
    assert "cannot reach" in cli.fails("produce", "t", stdin=b"x")
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize(
    ("options", "is_idempotent"),
    [
        ((), True),
        (("--acks", "0"), False),
        (("--acks", "1"), False),
        (("--no-idempotence",), False),
    ],
)
def test_a_producer_is_idempotent_unless_told_otherwise(
    cli: Cli, server: Server, topic: str, options: tuple[str, ...], is_idempotent: bool
) -> None:
    cli.ok("produce", topic, *options, stdin=b"a\n")
    wait_until(lambda: cli.ok("consume", topic).lines == ["a"], TIMEOUT_S, "acks 0 to arrive")
    (segment,) = server.partition_dir(topic, 0).glob("*.log")
    assert (producer_id(segment) >= 0) == is_idempotent


def producer_id(segment: Path) -> int:
    """Of the first batch; -1 is none."""
    found: int = struct.unpack_from(">q", segment.read_bytes(), 43)[0]
    return found


def test_an_empty_group_id_is_refused(cli: Cli, topic: str) -> None:
    assert "group.id" in cli.fails("consume", topic, "-X", "group.id=")


def test_a_large_file_shows_its_progress_on_a_terminal(
    cli: Cli, topic: str, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"%0999d\n" % 7 * 60_000)
    exit_code, shown = run_on_terminal(cli.command("produce", topic, str(path)))
    assert exit_code == 0
    assert f"producing to {topic}" in shown
    assert "57.2 MiB" in shown
    assert "produced 60,000 records (57.2 MiB of input)" in shown
    exit_code, shown = run_on_terminal(cli.command("produce", topic, os.devnull, "-q"))
    assert (exit_code, shown) == (0, "")
