"""`barnabas bench`: a load generator for any Kafka cluster.

Here are the options, and what they may not be together; `bench_plan` asks the cluster and makes
the plan, `bench_run` carries it out and reports.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from barnabas.cli.cluster import add_cluster_options
from barnabas.cli.failure import EXIT_USAGE, CommandError
from barnabas.cli.output import add_json_option
from barnabas.cli.parser import (
    add_command_group,
    count_up_to,
    key_value,
    natural_int,
    nonempty,
    positive_int,
    positive_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")  # by their numbers
ACKS: Final = {"0": 0, "1": 1, "all": -1}
DEFAULT_DURATION_S: Final = 10.0
DEFAULT_WARM_UP_S: Final = 1.0
_FETCH_BYTES_MAX: Final = 1 << 30
_BATCH_BYTES_MAX: Final = 256 << 20
_LINGER_MAX_MS: Final = 3_600_000
_RATE_MAX: Final = 10**9
_RECORDS_MAX: Final = 10**15
_SECONDS_MAX: Final = 10**7
_CONNECTIONS_MAX: Final = 100_000
_KEYS_MAX: Final = 10_000_000
_THREADS_MAX: Final = 1024
_TOPICS_MAX: Final = 10_000
_PARTITIONS_MAX: Final = 100_000
# Of the librdkafka client that asks for the metadata and makes the topics; the load has its own.
_ADMIN_PROPERTIES: Final = ("client.id", "debug", "log", "metadata.", "reconnect.", "socket.")
_STAMP_BYTES: Final = 16
_WAIT_MAX_MS: Final = 10_000
_ABOUT: Final = (
    "The load comes from native threads. With --rate it is an open loop: records are due at a "
    "fixed rate whatever the broker does, and a latency is counted from when its record was due. "
    "Without, each answer makes room for the next request."
)


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds `barnabas bench`."""
    commands = add_command_group(subparsers, "bench", "measure a cluster under load")
    _add_produce(commands)
    _add_consume(commands)
    _add_end_to_end(commands)


def _add_produce(commands: "argparse._SubParsersAction[Any]") -> None:
    parser = commands.add_parser(
        "produce",
        help="send records as fast as they are taken, or at a rate",
        description=f"Produces records of random words. {_ABOUT} A latency is that of a record, "
        "until it was acknowledged.",
        epilog="examples:\n"
        "  barnabas bench produce --create --partitions 4 --connections 4 --record-size 1000\n"
        "  barnabas bench produce --batch-records 1 --connections 64 --in-flight 1\n"
        "  barnabas bench produce --rate 10000 --linger-ms 5 --codec zstd --hdr-out latency.hdr",
    )
    _add_topic_options(parser)
    _add_record_options(parser)
    _add_load_options(parser, "connections, spread over the brokers that lead partitions")
    _add_report_options(parser)
    parser.set_defaults(run=run, operation="produce")


def _add_consume(commands: "argparse._SubParsersAction[Any]") -> None:
    parser = commands.add_parser(
        "consume",
        help="fetch what topics hold",
        description="Fetches topics from their begin to their end, or for a time, without a group, "
        "and counts records by the headers of their batches. A latency is that of a request.",
        epilog="examples:\n"
        "  barnabas bench consume --topic events --connections 4\n"
        "  barnabas bench consume --topic events --repeat --duration 30 --verify",
    )
    _add_topic_options(parser, creates=False)
    group = parser.add_argument_group("fetching")
    size = count_up_to(_FETCH_BYTES_MAX)
    group.add_argument(
        "--max-bytes",
        type=size,
        default=50 << 20,
        metavar="N",
        help="of an answer (default: 50 MiB)",
    )
    group.add_argument(
        "--max-partition-bytes",
        type=size,
        default=1 << 20,
        metavar="N",
        help="of one partition in an answer (default: 1 MiB)",
    )
    group.add_argument(
        "--min-bytes",
        type=size,
        default=1,
        metavar="N",
        help="that the broker waits for (default: %(default)s)",
    )
    group.add_argument(
        "--max-wait-ms",
        type=count_up_to(_WAIT_MAX_MS),
        default=500,
        metavar="MS",
        help="how long it waits (default: %(default)s)",
    )
    group.add_argument(
        "--repeat", action="store_true", help="begin anew at the end, until the time is over"
    )
    group.add_argument("--verify", action="store_true", help="check the CRC of every batch")
    _add_load_options(
        parser, "connections; partitions are divided among them, and read by several if need be"
    )
    _add_report_options(parser)
    parser.set_defaults(run=run, operation="consume")


def _add_end_to_end(commands: "argparse._SubParsersAction[Any]") -> None:
    parser = commands.add_parser(
        "end-to-end",
        help="measure the time from a record being due to its arrival at a consumer",
        description="Produces at a rate and consumes at the same time. Each record carries when it "
        "was due; a latency is from then until a consumer of this process has it.",
        epilog="example:\n"
        "  barnabas bench end-to-end --create --rate 10000 --warm-up 30 --duration 60",
    )
    _add_topic_options(parser)
    _add_record_options(parser, rate=10_000)
    _add_load_options(
        parser, "producing connections, and at most as many consuming, one a partition"
    )
    _add_report_options(parser)
    parser.set_defaults(run=run, operation="end-to-end")


def _add_topic_options(parser: argparse.ArgumentParser, creates: bool = True) -> None:
    group = parser.add_argument_group("topics")
    group.add_argument(
        "--topic", type=nonempty, default="bench", metavar="NAME", help="(default: %(default)s)"
    )
    group.add_argument(
        "--topics",
        type=count_up_to(_TOPICS_MAX),
        metavar="N",
        help="use N topics: NAME-0, NAME-1, …",
    )
    if not creates:
        return
    group.add_argument("--create", action="store_true", help="make the topics that do not exist")
    group.add_argument(
        "--partitions",
        type=count_up_to(_PARTITIONS_MAX),
        metavar="N",
        help="of each topic that --create makes (default: 1)",
    )
    group.add_argument(
        "--config",
        type=key_value,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a configuration of topics that --create makes; repeatable",
    )


def _add_record_options(parser: argparse.ArgumentParser, rate: int = 0) -> None:
    group = parser.add_argument_group("records")
    group.add_argument(
        "--record-size",
        type=count_up_to(_BATCH_BYTES_MAX),
        default=100,
        metavar="N",
        help="bytes of a value (default: %(default)s)",
    )
    batch = group.add_mutually_exclusive_group()
    batch.add_argument(
        "--batch-size",
        type=count_up_to(_BATCH_BYTES_MAX),
        default=16384,
        metavar="N",
        help="bytes of a batch, before compression, at most (default: %(default)s)",
    )
    batch.add_argument(
        "--batch-records",
        type=count_up_to(1 << 20),
        default=0,
        metavar="N",
        help="records of a batch, instead of its bytes",
    )
    group.add_argument("--codec", choices=CODECS, default="none", help="(default: none)")
    group.add_argument("--acks", choices=tuple(ACKS), default="1", help="(default: 1)")
    group.add_argument(
        "--key-distribution",
        choices=("none", "uniform", "zipf"),
        default="none",
        help="how often each key comes; records of a key go to one partition (default: none: no "
        "keys, partitions take turns)",
    )
    group.add_argument(
        "--keys",
        type=count_up_to(_KEYS_MAX),
        metavar="N",
        help="how many keys there are (default: 10000)",
    )
    group.add_argument(
        "--rate",
        type=_up_to(_RATE_MAX) if rate == 0 else count_up_to(_RATE_MAX),
        default=rate,
        metavar="N",
        help="records a second over all connections (default: %(default)s"
        + (": as fast as they are taken)" if rate == 0 else ")"),
    )
    group.add_argument(
        "--linger-ms",
        type=_up_to(_LINGER_MAX_MS),
        default=0,
        metavar="MS",
        help="with --rate: how long a record waits for others of its batch (default: %(default)s)",
    )
    group.add_argument(
        "--in-flight",
        type=count_up_to(10_000),
        default=5,
        metavar="N",
        help="unanswered requests of one connection (default: %(default)s)",
    )


def _add_load_options(parser: argparse.ArgumentParser, connections: str) -> None:
    group = parser.add_argument_group("load")
    group.add_argument(
        "--connections",
        type=count_up_to(_CONNECTIONS_MAX),
        default=1,
        metavar="N",
        help=f"{connections} (default: %(default)s)",
    )
    group.add_argument(
        "--threads",
        type=count_up_to(_THREADS_MAX),
        default=1,
        metavar="N",
        help="that serve the connections (default: %(default)s)",
    )
    group.add_argument(
        "--warm-up",
        type=_seconds,
        metavar="SECONDS",
        help=f"load that does not count (default: {DEFAULT_WARM_UP_S:g}, where the end is a time)",
    )
    group.add_argument(
        "--duration",
        type=_duration,
        metavar="SECONDS",
        help=f"of what counts (default: {DEFAULT_DURATION_S:g})",
    )
    group.add_argument(
        "--records",
        type=count_up_to(_RECORDS_MAX),
        metavar="N",
        help="end after N records instead",
    )


def _add_report_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("report")
    group.add_argument(
        "--broker-pid",
        type=positive_int,
        metavar="PID",
        help="a broker on this machine: shows its CPU, memory and context switches as well",
    )
    group.add_argument(
        "--hdr-out",
        type=Path,
        metavar="FILE",
        help="write the latencies as an HdrHistogram log, one line a second, in ns",
    )
    group.add_argument("-q", "--quiet", action="store_true", help="no progress")
    add_json_option(parser)
    add_cluster_options(
        parser,
        "a property of the librdkafka client that asks for the metadata, for instance "
        "socket.timeout.ms=5000; the load itself has none and speaks PLAINTEXT; repeatable",
    )


def _up_to(most: int) -> "Callable[[str], int]":
    """Makes an argument type: a whole number from zero to `most`."""

    def number(text: str) -> int:
        return natural_int(text) and count_up_to(most)(text)

    return number


def _duration(text: str) -> float:
    """An argument type: seconds, above zero, of a load that somebody will see end."""
    seconds = positive_seconds(text)
    if seconds > _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is above {_SECONDS_MAX}")
    return seconds


def _seconds(text: str) -> float:
    """An argument type: seconds, zero or above."""
    return 0.0 if text in ("0", "0.0") else _duration(text)


def check_options(args: argparse.Namespace) -> None:
    """Raises CommandError for options that contradict each other."""
    checks: list[tuple[Callable[[], bool], str]] = [
        (
            lambda: args.operation != "consume" and args.partitions and not args.create,
            "--partitions needs --create",
        ),
        (
            lambda: args.operation != "consume" and args.config and not args.create,
            "--config needs --create",
        ),
        (
            lambda: args.operation == "produce" and args.linger_ms and not args.rate,
            "--linger-ms needs --rate: in a closed loop every batch is full",
        ),
        (
            lambda: (
                args.operation != "consume"
                and args.keys is not None
                and args.key_distribution == "none"
            ),
            "--keys needs --key-distribution",
        ),
        (
            lambda: (
                args.operation != "consume"
                and args.batch_records * args.record_size > _BATCH_BYTES_MAX
            ),
            f"a batch is at most {_BATCH_BYTES_MAX} bytes",
        ),
        (
            lambda: args.duration is not None and args.records is not None,
            "--duration and --records exclude each other",
        ),
        (
            lambda: args.operation == "end-to-end" and args.records is not None,
            "end-to-end ends by --duration, not by --records",
        ),
        (
            lambda: args.operation == "end-to-end" and args.record_size < _STAMP_BYTES,
            f"--record-size is {_STAMP_BYTES} or more: records carry when they were due",
        ),
        (
            lambda: args.operation == "end-to-end" and args.acks == "0",
            "end-to-end needs --acks 1 or all, to know what must arrive",
        ),
    ]
    for is_wrong, message in checks:
        if is_wrong():
            raise CommandError(message, EXIT_USAGE)
    for name, value in args.properties:
        _check_property(name, value)


def _check_property(name: str, value: str) -> None:
    """Refuses what the native connections would not heed."""
    if name == "security.protocol":
        if value.upper() != "PLAINTEXT":
            raise CommandError("bench speaks PLAINTEXT only", EXIT_USAGE)
    elif name == "bootstrap.servers":
        raise CommandError("-X bootstrap.servers: give them with --bootstrap-server", EXIT_USAGE)
    elif not name.startswith(_ADMIN_PROPERTIES):
        raise CommandError(
            f"-X {name} does nothing here: the load does not come from librdkafka, see --help",
            EXIT_USAGE,
        )


def settle_times(args: argparse.Namespace) -> None:
    """Fills in what ends the load: a time, unless records or the topics' ends do."""
    ends_by_itself = args.operation == "consume" and not args.repeat
    if args.duration is None and args.records is None and not ends_by_itself:
        args.duration = DEFAULT_DURATION_S
    if args.warm_up is None:
        args.warm_up = DEFAULT_WARM_UP_S if args.duration is not None else 0.0


def run(args: argparse.Namespace) -> int:
    """Runs the load and reports; exit code 1 when the broker answered with errors."""
    check_options(args)
    settle_times(args)
    from barnabas.cli.bench_run import run_bench

    return run_bench(args)
