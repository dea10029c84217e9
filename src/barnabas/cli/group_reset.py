"""`barnabas group reset-offsets`: plans new offsets for a group, and commits them if told to.

Without --execute it only shows what it would do, as Kafka's own tool. New offsets are kept between
the start and the end of their partition.
"""

import argparse
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from barnabas.cli.admin import (
    Partition,
    committed_offsets,
    describe_groups,
    end_offsets,
    offsets_at,
    partition_counts,
    start_offsets,
)
from barnabas.cli.cluster import (
    REQUEST_TIMEOUT_S,
    add_cluster_options,
    connect_admin,
    error_text,
    result_of,
)
from barnabas.cli.failure import CommandError
from barnabas.cli.output import add_json_option, print_json, print_table, warn
from barnabas.cli.parser import natural_int, nonempty, whole_number
from barnabas.cli.times import datetime_ms, duration_ms
from barnabas.wording import counted

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_COLUMNS = ("group", "topic", "partition", "committed", "new")


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds `barnabas group reset-offsets`."""
    parser = commands.add_parser(
        "reset-offsets",
        help="commit other offsets for a group",
        usage="%(prog)s GROUP (--topic TOPIC[:P,…] | --all-topics)\n"
        "    (--to-earliest | --to-latest | --to-offset OFFSET | --to-datetime TIME |\n"
        "     --by-duration DURATION | --shift-by N) [--execute] [OPTION…]",
        description="Commits other offsets for a group that has no members. Shows what it would "
        "do, and does it only with --execute.",
        epilog="examples:\n"
        "  barnabas group reset-offsets readers --topic events --to-earliest --execute\n"
        "  barnabas group reset-offsets readers --topic events:0,1 --shift-by -10\n"
        "  barnabas group reset-offsets readers --all-topics --to-datetime 2026-11-24T18:00:00Z",
    )
    parser.add_argument("group", type=nonempty, metavar="GROUP")
    parser.add_argument(
        "--topic",
        dest="topics",
        type=_topic_and_partitions,
        action="append",
        default=[],
        metavar="TOPIC[:P,…]",
        help="a topic, or some of its partitions; repeatable",
    )
    parser.add_argument(
        "--all-topics", action="store_true", help="all that the group has committed offsets for"
    )
    to = parser.add_argument_group("where to").add_mutually_exclusive_group(required=True)
    to.add_argument("--to-earliest", action="store_true", help="to the first record")
    to.add_argument("--to-latest", action="store_true", help="after the last record")
    to.add_argument("--to-offset", type=natural_int, metavar="OFFSET", help="to this offset")
    to.add_argument(
        "--to-datetime",
        type=datetime_ms,
        metavar="TIME",
        help="to the first record at or after an ISO 8601 time (UTC if it names no zone)",
    )
    to.add_argument(
        "--by-duration",
        type=duration_ms,
        metavar="DURATION",
        help="to the first record of the last 90s, 1h30m, P7D, …",
    )
    to.add_argument(
        "--shift-by",
        type=whole_number,
        metavar="N",
        help="N records on from what is committed, or back",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--dry-run", action="store_true", help="only show what would be done (the default)"
    )
    what.add_argument("--execute", action="store_true", help="do it")
    add_json_option(parser)
    add_cluster_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Shows the plan, and commits it with --execute."""
    if bool(args.topics) == args.all_topics:
        raise CommandError("say which topics: either --topic TOPIC or --all-topics")
    admin = connect_admin(args)
    committed = committed_offsets(admin, args.group)
    partitions = _partitions(admin, args, committed)
    members = _member_count(admin, args.group)
    if members and args.execute:
        raise CommandError(
            f"group {args.group} has {counted(members, 'member')}; "
            "its offsets can be reset once all have left"
        )
    plan = _plan(admin, args, committed, partitions)
    if args.execute:
        _commit(admin, args.group, plan)
    rows = [(args.group, *at, committed.get(at), plan[at]) for at in sorted(plan)]
    if args.json:
        for row in rows:
            print_json({**dict(zip(_COLUMNS, row, strict=True)), "executed": args.execute})
        return 0
    print_table(_COLUMNS, rows)
    if not args.execute:
        warn("nothing was changed; add --execute to commit the new offsets")
    return 0


def _topic_and_partitions(text: str) -> tuple[str, list[int] | None]:
    """An argument type: `events` or `events:0,3`."""
    topic, colon, numbers = text.partition(":")
    if not topic:
        raise argparse.ArgumentTypeError(f"{text!r} names no topic")
    if not colon:
        return topic, None
    parts = numbers.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{numbers!r} is not a list of partitions such as 0,3")
    return topic, [int(part) for part in parts]


def _partitions(
    admin: "AdminClient", args: argparse.Namespace, committed: Iterable[Partition]
) -> list[Partition]:
    if args.all_topics:
        counts = partition_counts(admin, {topic for topic, _ in committed})
        wanted = [at for at in committed if at[1] < counts.get(at[0], 0)]
        if not wanted:
            raise CommandError(f"group {args.group} has committed no offsets")
        return sorted(wanted)
    counts = partition_counts(admin, [topic for topic, _ in args.topics])
    wanted = []
    for topic, numbers in args.topics:
        if topic not in counts:
            raise CommandError(f"there is no topic {topic}")
        for number in range(counts[topic]) if numbers is None else numbers:
            if number >= counts[topic]:
                raise CommandError(f"topic {topic} has no partition {number}")
            wanted.append((topic, number))
    return sorted(set(wanted))


def _member_count(admin: "AdminClient", group: str) -> int:
    description = describe_groups(admin, [group])[group]
    return 0 if description is None else len(description.members)


def _plan(
    admin: "AdminClient",
    args: argparse.Namespace,
    committed: Mapping[Partition, int],
    partitions: list[Partition],
) -> dict[Partition, int]:
    starts, ends = start_offsets(admin, partitions), end_offsets(admin, partitions)
    if args.to_earliest:
        wanted = starts
    elif args.to_latest:
        wanted = ends
    elif args.to_datetime is not None:
        wanted = offsets_at(admin, partitions, args.to_datetime)
    elif args.by_duration is not None:
        since_ms = int(time.time() * 1000) - args.by_duration
        wanted = offsets_at(admin, partitions, max(0, since_ms))
    elif args.to_offset is not None:
        wanted = dict.fromkeys(partitions, args.to_offset)
    else:
        for topic, number in partitions:
            if (topic, number) not in committed:
                raise CommandError(
                    f"cannot shift: {args.group} has committed nothing for "
                    f"topic {topic}, partition {number}"
                )
        wanted = {at: committed[at] + args.shift_by for at in partitions}
    plan = {at: min(max(wanted[at], starts[at]), ends[at]) for at in partitions}
    for topic, number in partitions:
        at = (topic, number)
        if plan[at] != wanted[at]:
            warn(
                f"topic {topic}, partition {number} holds offsets {starts[at]} to {ends[at]}: "
                f"{plan[at]} is taken instead of {wanted[at]}"
            )
    return plan


def _commit(admin: "AdminClient", group: str, plan: Mapping[Partition, int]) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

    offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in plan.items()]
    futures = admin.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, offsets)], request_timeout=REQUEST_TIMEOUT_S
    )
    failed = f"cannot reset the offsets of group {group}"
    for result in result_of(futures[group], failed).topic_partitions:
        if result.error is not None:
            raise CommandError(
                f"{failed}, {result.topic} partition {result.partition}: {error_text(result.error)}"
            )
