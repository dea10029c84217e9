"""The command line's parser."""

import argparse
import importlib
import subprocess
import sys

import pytest

from barnabas.cli.main import build_parser, main
from barnabas.cli.output import human_bytes
from barnabas.cli.parser import separator


def error_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, "one line"
    return captured.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["topik"], "unknown command 'topik'; did you mean 'topic'?"),
        (["topic", "crate", "t"], "did you mean 'create'?"),
        (["topic", "create", "t", "--partition", "3"], "did you mean --partitions?"),
        (["topic", "create", "t", "-p", "0"], "'0' is not a number above zero"),
        (["topic", "create", "t", "-p", "100001"], "-p/--partitions: '100001' is above 100000"),
        (["topic", "create", "t", "-p", "3000000000"], "-p/--partitions: '3000000000' is above"),
        (["topic", "create", "t", "-r", "100000"], "--replication-factor: '100000' is above 10000"),
        (["topic", "alter", "t", "-p", "100000000"], "-p/--partitions: '100000000' is above"),
        (["topic", "create", "\udcff"], "TOPIC: b'\\xff' is not UTF-8"),
        (["topic", "create", "t", "--config", "k=\udcff"], "b'\\xff' is not UTF-8"),
        (["produce", "t", "--header", "\udcff=v"], "b'\\xff' is not UTF-8"),
        (["topic", "create", "t", "--config", "novalue"], "'novalue' is not KEY=VALUE"),
        (["topic", "create", ""], "a name is empty"),
        (["topic", "create"], "required: TOPIC"),
        (["topic"], "required: COMMAND"),
        (["produce", "t", "--compression", "lz5"], "unknown value 'lz5'; did you mean 'lz4'?"),
        (["consume", "t", "--from-beginning", "--offset", "3"], "not allowed with"),
        (["consume", "t", "--since", "yesterday"], "'yesterday' is neither a time"),
        (["group", "reset-offsets", "g", "--topic", "t"], "one of the arguments"),
        (["group", "reset-offsets", "g", "--topic", "t:x", "--to-latest"], "list of partitions"),
        (["consume", "t", "--connect-timeout", "0"], "'0' is not a time above zero"),
        (["consume", "t", "--offset", "abc"], "'abc' is neither an offset nor -N, for the last N"),
        (["group", "reset-offsets", "g", "--shift-by", "x"], "'x' is not a whole number"),
        (
            ["topic", "list", "-b", "host:99999"],
            "port '99999' of 'host:99999' is not a number from",
        ),
        (["topic", "list", "-b", "a:1,b:x"], "port 'x' of 'b:x' is not a number from 1 to 65535"),
        (["consume", "t", "-b", ":9092"], "':9092' names no host"),
        (["consume", "t", "-b", ""], "a broker's address is empty"),
        (["group", "list", "--state", "full"], "unknown value 'full'; there is stable, empty, "),
        (["serve", "--port", "9093"], "unknown argument --port; did you mean --listen HOST:PORT?"),
        (["serve", "--log-dirs=d"], "unknown argument --log-dirs=d; did you mean --data-dir DIR?"),
        (["serve", "--data-dir", ""], "argument --data-dir: a path is empty"),
        (["serve", "--config", ""], "argument --config: a path is empty"),
        (["dump"], "required: FILE|DIR"),
    ],
)
def test_a_mistake_is_one_line_that_helps(
    capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    error = error_of(capsys, *argv)
    assert message in error
    assert "--help" in error


def test_an_interrupt_while_commands_are_imported_is_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    assert main(["topic", "list"]) == 130


def test_options_may_stand_between_the_topic_and_the_files() -> None:
    args = build_parser().parse_args(["produce", "t", "--acks", "1", "a", "-q", "b"])
    assert (args.topic, args.files, args.acks, args.quiet) == ("t", ["a", "b"], "1", True)


def test_negative_offsets_are_no_options() -> None:
    assert build_parser().parse_args(["consume", "t", "--offset", "-5"]).offset == -5


@pytest.mark.parametrize(
    "servers", ["h", "h:1", "h:1,[::1]:65535", "::1", "[::1]", "SSL://h:9092", "h:1, g:2"]
)
def test_addresses_of_brokers_are_left_as_they_are(servers: str) -> None:
    args = build_parser("topic").parse_args(["topic", "list", "-b", servers])
    assert args.bootstrap_server == servers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":", b":"),
        (r"\t", b"\t"),
        (r"\0", b"\0"),
        (r"\xff\x41", b"\xffA"),
        (r"\\t", rb"\t"),
        (r"\q", rb"\q"),
        ("→", "→".encode()),
    ],
)
def test_separators_know_escapes(text: str, expected: bytes) -> None:
    assert separator(text) == expected


def test_an_empty_separator_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        separator("")


def test_help_needs_neither_the_client_nor_the_broker() -> None:
    code = (
        "import sys; from barnabas.cli.main import build_parser; build_parser().format_help();"
        "heavy = {'rich', 'confluent_kafka', 'kio', 'numpy', 'asyncio', 'barnabas._core'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # serve.py imports asyncio; nothing else may come along.
    assert run.stdout.strip() in ("[]", "['asyncio']")


def test_sizes_for_people() -> None:
    sizes = [human_bytes(size) for size in (0, 1023, 1536, 20 << 30, 5 << 40)]
    assert sizes == ["0 B", "1023 B", "1.5 KiB", "20.0 GiB", "5.0 TiB"]
