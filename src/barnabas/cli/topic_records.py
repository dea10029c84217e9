"""`barnabas topic delete-records`: the oldest records of a topic's partitions go."""

import argparse
from typing import TYPE_CHECKING, Any, Final

from barnabas.cli.admin import Partition, offsets_at, partition_counts
from barnabas.cli.cluster import (
    REQUEST_TIMEOUT_S,
    add_cluster_options,
    connect_admin,
    error_text,
)
from barnabas.cli.failure import EXIT_FAILURE, CommandError
from barnabas.cli.output import add_json_option, print_json, print_table, warn
from barnabas.cli.parser import add_partitions_option, natural_int, nonempty
from barnabas.cli.times import datetime_ms

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_HIGH_WATERMARK: Final = -1
_COLUMNS: Final = ("topic", "partition", "start")


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds `barnabas topic delete-records`."""
    parser = commands.add_parser(
        "delete-records",
        help="delete the oldest records",
        description="Deletes the records of a topic that are older than an offset or a time, "
        "without asking, and shows where its partitions start now.",
        epilog="examples:\n"
        "  barnabas topic delete-records events --partition 0 --before-offset 1000\n"
        "  barnabas topic delete-records events --before-datetime 2026-11-24T18:00:00Z",
    )
    parser.add_argument("topic", type=nonempty, metavar="TOPIC")
    add_partitions_option(parser, "-p", where="in this partition")
    before = parser.add_mutually_exclusive_group(required=True)
    before.add_argument(
        "--before-offset", type=natural_int, metavar="OFFSET", help="what lies below an offset"
    )
    before.add_argument(
        "--before-datetime",
        type=datetime_ms,
        metavar="TIME",
        help="what comes before the first record at or after a time",
    )
    before.add_argument("--all", action="store_true", help="everything")
    add_json_option(parser)
    add_cluster_options(parser)
    parser.set_defaults(run=delete_records)


def delete_records(args: argparse.Namespace) -> int:
    """Deletes the records; exit code 1 when a partition refused."""
    from confluent_kafka import KafkaException, TopicPartition

    admin = connect_admin(args)
    partitions = _partitions(admin, args)
    if args.all:
        offsets = dict.fromkeys(partitions, _HIGH_WATERMARK)
    elif args.before_offset is not None:
        offsets = dict.fromkeys(partitions, args.before_offset)
    else:
        offsets = offsets_at(admin, partitions, args.before_datetime)
    futures = admin.delete_records(
        [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()],
        operation_timeout=REQUEST_TIMEOUT_S,
        request_timeout=REQUEST_TIMEOUT_S,
    )
    exit_code = 0
    rows = []
    for at, future in futures.items():
        try:
            rows.append((at.topic, at.partition, future.result().low_watermark))
        except KafkaException as error:
            warn(
                f"cannot delete records of topic {at.topic}, partition {at.partition}: "
                f"{error_text(error)}"
            )
            exit_code = EXIT_FAILURE
    rows.sort()
    if args.json:
        for row in rows:
            print_json(dict(zip(_COLUMNS, row, strict=True)))
    elif rows:
        print_table(_COLUMNS, rows)
    return exit_code


def _partitions(admin: "AdminClient", args: argparse.Namespace) -> list[Partition]:
    count = partition_counts(admin, [args.topic]).get(args.topic)
    if count is None:
        raise CommandError(f"there is no topic {args.topic}")
    for number in args.partitions or ():
        if number >= count:
            raise CommandError(f"topic {args.topic} has no partition {number}")
    return [(args.topic, number) for number in dict.fromkeys(args.partitions or range(count))]
