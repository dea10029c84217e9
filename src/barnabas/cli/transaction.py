"""`barnabas transaction`: list and describe transactions, find and abort those that hang."""

import argparse
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from barnabas.cli.cluster import add_cluster_options
from barnabas.cli.failure import EXIT_FAILURE, CommandError
from barnabas.cli.output import add_json_option, print_json, print_names, print_table, warn
from barnabas.cli.parser import add_command_group, natural_int, nonempty, positive_seconds
from barnabas.state.units import MS_PER_S

if TYPE_CHECKING:
    from barnabas.cli.transaction_cluster import Cluster, OpenTransaction

_STATES: Final = (
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "PrepareEpochFence",
)
_LIST_COLUMNS: Final = ("transactional_id", "coordinator", "producer_id", "state")
_DESCRIBE_COLUMNS: Final = (
    "transactional_id",
    "coordinator",
    "producer_id",
    "producer_epoch",
    "state",
    "timeout_ms",
    "start",
    "partitions",
)
_HANGING_COLUMNS: Final = (
    "topic",
    "partition",
    "producer_id",
    "producer_epoch",
    "start_offset",
    "last_write",
)
_DEFAULT_TIMEOUT_S: Final = 900.0  # transaction.max.timeout.ms
Row = tuple[str | int | None, ...]


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds `barnabas transaction`."""
    commands = add_command_group(
        subparsers, "transaction", "list, describe transactions; find and abort hanging ones"
    )
    parser = commands.add_parser(
        "list",
        help="name the transactional ids",
        description="Names the transactional ids; in a pipe, one bare name a line.",
    )
    parser.add_argument(
        "--state", choices=_STATES, action="append", help="only those in this state; repeatable"
    )
    parser.add_argument(
        "--producer-id", type=natural_int, action="append", help="only this one's; repeatable"
    )
    parser.add_argument(
        "--longer-than", type=positive_seconds, metavar="SECONDS", help="only those open as long"
    )
    parser.add_argument("--pattern", type=nonempty, help="only ids that match it, as a whole")
    _add_options(parser, list_)

    parser = commands.add_parser(
        "describe",
        help="show state, producer and partitions",
        description="Shows the newest transaction of a transactional id.",
    )
    parser.add_argument("ids", nargs="+", type=nonempty, metavar="ID")
    _add_options(parser, describe)

    parser = commands.add_parser(
        "find-hanging",
        help="find transactions that nobody will end",
        description="Finds transactions that are open in a partition for longer than any may be, "
        "and that no coordinator knows of. They keep read_committed consumers waiting.",
    )
    parser.add_argument("topics", nargs="*", type=nonempty, metavar="TOPIC", help="default: all")
    parser.add_argument(
        "--max-timeout",
        type=positive_seconds,
        default=_DEFAULT_TIMEOUT_S,
        metavar="SECONDS",
        help="the brokers' transaction.max.timeout.ms (default: %(default)g)",
    )
    _add_options(parser, find_hanging)

    parser = commands.add_parser(
        "abort",
        help="abort a transaction in a partition",
        description="Ends a hanging transaction by a marker in its partition. One that a "
        "coordinator still knows of is not for this: its records would be lost although the "
        "producer may be told that they were committed.",
    )
    parser.add_argument("topic", type=nonempty, metavar="TOPIC")
    parser.add_argument("partition", type=natural_int, metavar="PARTITION")
    parser.add_argument("start_offset", type=natural_int, metavar="START-OFFSET")
    add_cluster_options(parser)
    parser.set_defaults(run=abort)


def _add_options(parser: argparse.ArgumentParser, run: Any) -> None:
    add_json_option(parser)
    add_cluster_options(parser)
    parser.set_defaults(run=run)


def list_(args: argparse.Namespace) -> int:
    """Names the transactional ids of the cluster."""
    from barnabas.cli.transaction_cluster import Cluster, Filters

    filters = Filters(
        states=tuple(args.state or ()),
        producer_ids=tuple(args.producer_id or ()),
        longer_than_ms=-1 if args.longer_than is None else int(args.longer_than * MS_PER_S),
        pattern=args.pattern,
    )
    with Cluster(args) as cluster:
        found = cluster.listed(filters)
    rows = [(f.transactional_id, f.coordinator, f.producer_id, f.state) for f in found]
    if args.json:
        _print_json_rows(_LIST_COLUMNS, rows)
    else:
        print_names(_LIST_COLUMNS, rows, "there are no transactions")
    return 0


def describe(args: argparse.Namespace) -> int:
    """Shows transactions; exit code 1 when one does not exist."""
    from barnabas.cli.transaction_cluster import Cluster

    exit_code = 0
    rows: list[Row] = []
    with Cluster(args) as cluster:
        for name, described in cluster.describe(dict.fromkeys(args.ids)).items():
            if described is None:
                warn(f"there is no transactional id {name}")
                exit_code = EXIT_FAILURE
            else:
                rows.append(_described_row(name, *described))
    if args.json:
        _print_json_rows(_DESCRIBE_COLUMNS, rows)
    elif rows:
        print_table(_DESCRIBE_COLUMNS, rows)
    return exit_code


def find_hanging(args: argparse.Namespace) -> int:
    """Shows hanging transactions; exit code 0 whether or not there are."""
    from barnabas.cli.transaction_cluster import Cluster

    with Cluster(args) as cluster:
        missing = set(args.topics) - {topic for topic, _ in cluster.leaders}
        if missing:
            raise CommandError(f"there is no topic {min(missing)}")
        partitions = sorted(at for at in cluster.leaders if not args.topics or at[0] in args.topics)
        latest_ms = time.time() * MS_PER_S - args.max_timeout * MS_PER_S
        suspects = [
            found
            for found in cluster.open_transactions(partitions)
            if found.last_timestamp_ms < latest_ms
        ]
        hanging = _without_coordinated(cluster, suspects)
    rows: list[Row] = [
        (
            found.topic,
            found.partition,
            found.producer_id,
            found.producer_epoch,
            found.start_offset,
            _iso_time(found.last_timestamp_ms),
        )
        for found in hanging
    ]
    if args.json:
        _print_json_rows(_HANGING_COLUMNS, rows)
    else:
        print_table(_HANGING_COLUMNS, rows)
    return 0


def abort(args: argparse.Namespace) -> int:
    """Aborts a transaction in one partition."""
    from barnabas.cli.transaction_cluster import Cluster

    at = (args.topic, args.partition)
    with Cluster(args) as cluster:
        for found in cluster.open_transactions([at]):
            if found.start_offset == args.start_offset:
                cluster.abort(found)
                print(f"aborted the transaction of producer {found.producer_id} in {at[0]}-{at[1]}")
                return 0
    raise CommandError(f"no open transaction of {at[0]}-{at[1]} begins at {args.start_offset}")


def _without_coordinated(
    cluster: "Cluster", suspects: "list[OpenTransaction]"
) -> "list[OpenTransaction]":
    """Those that are not part of a transaction that a coordinator will end."""
    from barnabas.cli.transaction_cluster import Filters

    if not suspects:
        return []
    wanted = tuple(sorted({suspect.producer_id for suspect in suspects}))
    ids = {
        item.producer_id: item.transactional_id
        for item in cluster.listed(Filters(producer_ids=wanted))
    }
    described = cluster.describe(set(ids.values()))
    coordinated = {
        (state.producer_id, topic.topic, partition)
        for _, state in filter(None, described.values())
        for topic in state.topics
        for partition in topic.partitions
    }
    return [s for s in suspects if (s.producer_id, s.topic, s.partition) not in coordinated]


def _described_row(name: str, coordinator: int, state: Any) -> Row:
    partitions = " ".join(
        f"{topic.topic}:{','.join(map(str, sorted(topic.partitions)))}" for topic in state.topics
    )
    start_ms = state.transaction_start_time
    return (
        name,
        coordinator,
        state.producer_id,
        state.producer_epoch,
        state.transaction_state,
        int(state.transaction_timeout.total_seconds() * MS_PER_S),
        _iso_time(start_ms) if start_ms > 0 else None,
        partitions or None,
    )


def _iso_time(timestamp_ms: int) -> str:
    moment = datetime.fromtimestamp(timestamp_ms / MS_PER_S, UTC)
    return moment.isoformat(timespec="milliseconds")


def _print_json_rows(columns: tuple[str, ...], rows: list[Any]) -> None:
    for row in rows:
        print_json(dict(zip(columns, row, strict=True)))
