"""`barnabas dump` on the files of a broker that runs, and damaged copies of them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from clients.cli import BARNABAS, Cli, CliRun, run_command
from peers.servers import BarnabasServer, Server


@pytest.fixture
def cli(server: Server) -> Cli:
    return Cli(server.bootstrap)


@pytest.fixture
def partition(cli: Cli, server: Server, tmp_path: Path) -> Path:
    """A copy of a partition's directory with five batches."""
    topic = cli.new_topic()
    for i in range(5):
        cli.ok("produce", topic, "--key", f"k{i}", "--header", "h=x", stdin=b"a\nb\n")
    copy = tmp_path / f"{topic}-0"
    shutil.copytree(server.partition_dir(topic, 0), copy)
    return copy


def dump(*args: object) -> CliRun:
    return run_command([BARNABAS, "dump", *map(str, args)])


def test_all_that_a_broker_wrote_is_whole(tmp_path: Path) -> None:
    with BarnabasServer(tmp_path) as server:
        cli = Cli(server.bootstrap)
        topic = cli.new_topic(3)
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            for idempotent in ("true", "false"):
                codec_option = ("-X", f"compression.type={codec}")
                kind = ("-X", f"enable.idempotence={idempotent}")
                lines = "".join(f"{codec} {i}\n" for i in range(1000)).encode()
                cli.ok("produce", topic, *codec_option, *kind, stdin=lines)
        read = cli.ok("consume", topic, "--group", "g", "--max-messages", "10000")
        assert len(read.lines) == 10_000
        assert any(
            path.stat().st_size for path in server.data_dir.glob("__consumer_offsets-*/*.log")
        )
        run = dump(server.data_dir, "--records", "--quiet")
        assert (run.exit_code, run.text, run.stderr) == (0, "", "")
        server.kill()
        run = dump(server.data_dir, "--records", "--quiet")
        assert (run.exit_code, run.text, run.stderr) == (0, "", "")


def test_batches_and_records_are_shown(partition: Path) -> None:
    run = dump(partition, "--records")
    assert run.exit_code == 0
    assert "5 batches, 10 records" in run.text
    assert "key 'k4'  value 'b'  headers h='x'" in run.text
    assert "no damage" in run.lines[-1]


def test_json_is_an_object_a_line(partition: Path) -> None:
    objects = dump(partition, "--records", "--json").objects
    records = [item for item in objects if item["type"] == "record"]
    assert [item["offset"] for item in records] == list(range(10))
    assert records[9]["value"] == "b"
    assert records[9]["headers"] == [{"key": "h", "value": "x"}]
    batches = [item for item in objects if item["type"] == "batch"]
    assert [item["codec"] for item in batches] == ["none"] * 5
    assert {item["file"].partition("/")[0] for item in objects} == {""}
    assert any(item.get("topic_id") for item in objects if item["type"] == "settings")


def test_damage_is_told_with_its_place(partition: Path) -> None:
    (segment,) = partition.glob("*.log")
    data = bytearray(segment.read_bytes())
    data[70] ^= 1
    segment.write_bytes(data[:-1])
    run = dump(partition)
    assert run.exit_code == 1
    assert "DAMAGE at 0: wrong CRC" in run.text
    assert run.stderr == f"barnabas: damage in 1 of {len(list(partition.iterdir()))} files\n"
    found = [item for item in dump(partition, "--json").objects if item["type"] == "damage"]
    assert found[0]["position"] == 0
    assert len(found) == 2
    assert dump(segment, "--quiet").text.count("DAMAGE") == 2


def test_committed_offsets_have_names(cli: Cli, server: Server) -> None:
    topic = cli.new_topic()
    cli.ok("produce", topic, stdin=b"a\n")
    group = f"group-of-{topic}"
    cli.ok("consume", topic, "--group", group)
    directories = sorted(server.data_dir.glob("__consumer_offsets-*"))
    objects = dump(*directories, "--records", "--json").objects
    commits = [
        item["value"]["offset"]
        for item in objects
        if item.get("record_type") == "OffsetCommit"
        and item["key"] == {"group": group, "topic": topic, "partition": 0}
    ]
    assert commits
    assert commits[-1] == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "cannot read {}: No such file or directory"),
        ("text", "{}: not a file of a data directory"),
        ("empty", "{} holds no file of a data directory"),
        ("x.index", "cannot read {}: x.index does not begin with a base offset"),
    ],
)
def test_what_cannot_be_dumped_is_one_line(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "text").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.index").touch()
    run = dump(tmp_path / name)
    assert run.exit_code == 1
    assert run.stderr.startswith(f"barnabas: {message.format(tmp_path / name)}")
    assert run.stderr.count("\n") == 1


def test_head_ends_it_quietly(partition: Path) -> None:
    process = subprocess.Popen(
        [BARNABAS, "dump", *[str(partition)] * 200, "--records"], stdout=-1, stderr=-1
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stderr.close()
