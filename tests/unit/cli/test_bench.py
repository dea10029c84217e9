"""The options of `barnabas bench`: what contradicts itself, and what ends a load."""

import argparse

import pytest

from barnabas.cli.bench import check_options, settle_times
from barnabas.cli.bench_plan import Cluster, LedPartition, _divide, _spread, topic_names
from barnabas.cli.failure import EXIT_USAGE, CommandError
from barnabas.cli.main import build_parser


def parse(*argv: str) -> argparse.Namespace:
    args = build_parser().parse_args(["bench", *argv])
    check_options(args)
    settle_times(args)
    return args


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["produce", "--partitions", "3"], "--partitions needs --create"),
        (["produce", "--config", "a=b"], "--config needs --create"),
        (["produce", "--linger-ms", "5"], "--linger-ms needs --rate"),
        (["produce", "--keys", "5"], "--keys needs --key-distribution"),
        (["produce", "--records", "5", "--duration", "1"], "exclude each other"),
        (["consume", "--records", "5", "--duration", "1"], "exclude each other"),
        (["end-to-end", "--records", "5"], "end-to-end ends by --duration"),
        (["end-to-end", "--record-size", "15"], "--record-size is 16 or more"),
        (["end-to-end", "--acks", "0"], "end-to-end needs --acks 1 or all"),
        (["produce", "--batch-records", "1000000", "--record-size", "300"], "a batch is at most"),
        (["produce", "-X", "security.protocol=ssl"], "bench speaks PLAINTEXT only"),
        (["produce", "-X", "acks=all"], "-X acks does nothing here"),
        (["produce", "-X", "linger.ms=5"], "-X linger.ms does nothing here"),
        (["consume", "-X", "fetch.min.bytes=5"], "-X fetch.min.bytes does nothing here"),
        (["produce", "-X", "sasl.mechanism=PLAIN"], "-X sasl.mechanism does nothing here"),
        (["produce", "-X", "bootstrap.servers=x:1"], "give them with --bootstrap-server"),
    ],
)
def test_contradictions_are_one_clear_line(argv: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message) as raised:
        parse(*argv)
    assert raised.value.exit_code == EXIT_USAGE


@pytest.mark.parametrize(
    "argv",
    [
        ["produce", "--acks", "2"],
        ["produce", "--codec", "brotli"],
        ["produce", "--connections", "0"],
        ["produce", "--batch-size", "1", "--batch-records", "1"],
        ["produce", "--rate", "-1"],
        ["produce", "--rate", "1000000001"],
        ["produce", "--records", "9999999999999999999999"],
        ["produce", "--duration", "1e300"],
        ["produce", "--linger-ms", "99999999999"],
        ["end-to-end", "--rate", "0"],
        ["produce", "--warm-up", "-1"],
        ["consume", "--rate", "5"],
        ["consume", "--create"],
        ["consume", "--max-wait-ms", "10001"],
        [],
    ],
)
def test_what_the_parser_refuses(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(*argv)
    assert ended.value.code == EXIT_USAGE
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "warm_up", "duration"),
    [
        (["produce"], 1, 10),
        (["produce", "--duration", "3", "--warm-up", "0"], 0, 3),
        (["produce", "--records", "100"], 0, None),
        (["produce", "--records", "100", "--warm-up", "2"], 2, None),
        (["consume"], 0, None),
        (["consume", "--repeat"], 1, 10),
        (["consume", "--repeat", "--records", "9"], 0, None),
        (["consume", "--duration", "3"], 1, 3),
        (["end-to-end"], 1, 10),
    ],
)
def test_what_ends_a_load(argv: list[str], warm_up: float, duration: float | None) -> None:
    args = parse(*argv)
    assert (args.warm_up, args.duration) == (warm_up, duration)


def test_topics_are_numbered_when_there_are_several() -> None:
    assert topic_names(parse("produce", "--topic", "t")) == ["t"]
    assert topic_names(parse("produce", "--topic", "t", "--topics", "2")) == ["t-0", "t-1"]


def cluster(leaders: list[int]) -> Cluster:
    partitions = [LedPartition("t", number, leader) for number, leader in enumerate(leaders)]
    return Cluster({leader: ("h", leader) for leader in leaders}, partitions)


def test_producing_connections_send_to_all_partitions_of_their_broker() -> None:
    assert _spread(cluster([1, 1, 1]), 2) == [(1, [0, 1, 2])] * 2
    assert _spread(cluster([1, 2, 1]), 3) == [(1, [0, 2]), (1, [0, 2]), (2, [1])]
    assert _spread(cluster([1, 2]), 1) == [(1, [0]), (2, [1])], "every leader gets one"


def test_consuming_connections_divide_the_partitions() -> None:
    assert _divide(cluster([1] * 4), 2) == [(1, [0, 2]), (1, [1, 3])]
    assert _divide(cluster([1, 1]), 3) == [(1, [0]), (1, [1]), (1, [0])], "one is read twice"
    assert _divide(cluster([1, 2, 1]), 2) == [(1, [0, 2]), (2, [1])]


def test_properties_of_the_client_that_asks_for_metadata_are_taken() -> None:
    args = parse("produce", "-X", "socket.timeout.ms=5000", "-X", "security.protocol=plaintext")
    assert dict(args.properties)["socket.timeout.ms"] == "5000"
