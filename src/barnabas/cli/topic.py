"""`barnabas topic`: create, list, describe, alter and delete topics."""

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from barnabas.cli import topic_records
from barnabas.cli.admin import (
    Partition,
    alter_config,
    changes_of,
    end_offsets,
    report_each,
    start_offsets,
    topic_names,
)
from barnabas.cli.cluster import (
    REQUEST_TIMEOUT_S,
    add_cluster_options,
    connect_admin,
    error_text,
    result_of,
)
from barnabas.cli.failure import EXIT_FAILURE, CommandError
from barnabas.cli.output import (
    Cell,
    add_json_option,
    print_json,
    print_names,
    print_table,
    warn,
)
from barnabas.cli.parser import add_command_group, count_up_to, key_value, nonempty
from barnabas.wording import counted

if TYPE_CHECKING:
    from confluent_kafka import TopicPartitionInfo
    from confluent_kafka.admin import AdminClient, TopicDescription

_BROKER_DEFAULT = -1  # KIP-464: the broker's num.partitions and default.replication.factor
_PARTITIONS_MAX: Final = 100_000  # librdkafka asks for no more
_REPLICAS_MAX: Final = 10_000  # likewise


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds `barnabas topic`."""
    commands = add_command_group(
        subparsers, "topic", "create, list, describe, alter, delete topics"
    )
    _add_create(commands)
    _add_list(commands)
    _add_describe(commands)
    _add_alter(commands)
    _add_delete(commands)
    topic_records.add_parser(commands)


def _add_create(commands: "argparse._SubParsersAction[Any]") -> None:
    parser = commands.add_parser(
        "create",
        help="make topics",
        description="Makes topics.",
        epilog="example:\n  barnabas topic create events -p 3 --config retention.ms=60000",
    )
    parser.add_argument("topics", nargs="+", type=nonempty, metavar="TOPIC")
    parser.add_argument(
        "-p",
        "--partitions",
        type=count_up_to(_PARTITIONS_MAX),
        default=_BROKER_DEFAULT,
        metavar="N",
        help="how many partitions (default: the broker's num.partitions)",
    )
    parser.add_argument(
        "-r",
        "--replication-factor",
        type=count_up_to(_REPLICAS_MAX),
        default=_BROKER_DEFAULT,
        metavar="N",
        help="how many copies (default: the broker's default.replication.factor)",
    )
    _add_config_option(parser)
    parser.add_argument(
        "--if-not-exists", action="store_true", help="a topic that is there already is no error"
    )
    add_cluster_options(parser)
    parser.set_defaults(run=create)


def _add_config_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=key_value,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a topic configuration; repeatable",
    )


def create(args: argparse.Namespace) -> int:
    """Makes the topics; an existing one is an error unless --if-not-exists."""
    from confluent_kafka import KafkaError
    from confluent_kafka.admin import NewTopic

    admin = connect_admin(args)
    topics = [
        NewTopic(
            name,
            num_partitions=args.partitions,
            replication_factor=args.replication_factor,
            config=dict(args.config),
        )
        for name in dict.fromkeys(args.topics)
    ]
    futures = admin.create_topics(
        topics, operation_timeout=REQUEST_TIMEOUT_S, request_timeout=REQUEST_TIMEOUT_S
    )
    accepted = {}
    if args.if_not_exists:
        accepted[KafkaError.TOPIC_ALREADY_EXISTS] = "topic {} exists already"
    return report_each(futures, "cannot create topic {}", "created topic {}", accepted)


def _add_list(commands: "argparse._SubParsersAction[Any]") -> None:
    parser = commands.add_parser(
        "list",
        help="name the topics",
        description="Names the topics; in a pipe, one bare name a line.",
    )
    parser.add_argument("--internal", action="store_true", help="Kafka's internal topics as well")
    add_json_option(parser)
    add_cluster_options(parser)
    parser.set_defaults(run=list_)


def list_(args: argparse.Namespace) -> int:
    """Names the topics."""
    admin = connect_admin(args)
    topics = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    rows = []
    for name in topic_names(admin, args.internal):
        partitions = topics[name].partitions if name in topics else {}
        replicas = max((len(partition.replicas) for partition in partitions.values()), default=0)
        rows.append((name, len(partitions), replicas))
    columns = ("topic", "partitions", "replication_factor")
    if args.json:
        for row in rows:
            print_json(dict(zip(columns, row, strict=True)))
    else:
        print_names(columns, rows, "there are no topics")
    return 0


def _add_describe(commands: "argparse._SubParsersAction[Any]") -> None:
    parser = commands.add_parser(
        "describe",
        help="show partitions, offsets and configuration",
        description="Shows the partitions of topics with their leaders, replicas and offsets, and "
        "what is configured for the topic itself.",
    )
    parser.add_argument(
        "topics", nargs="*", type=nonempty, metavar="TOPIC", help="(default: all of them)"
    )
    add_json_option(parser)
    add_cluster_options(parser)
    parser.set_defaults(run=describe)


def describe(args: argparse.Namespace) -> int:
    """Shows the topics; exit code 1 when one does not exist."""
    from confluent_kafka import KafkaException, TopicCollection

    admin = connect_admin(args)
    names = list(dict.fromkeys(args.topics)) or topic_names(admin, with_internal=False)
    if not names:
        return 0
    exit_code = 0
    futures = admin.describe_topics(TopicCollection(names), request_timeout=REQUEST_TIMEOUT_S)
    descriptions: list[TopicDescription] = []
    for name, future in futures.items():
        try:
            descriptions.append(future.result())
        except KafkaException as error:
            warn(f"topic {name}: {error_text(error)}")
            exit_code = EXIT_FAILURE
    if descriptions:
        _print_topics(admin, descriptions, args.json)
    return exit_code


_URL_SAFE: Final = str.maketrans("+/", "-_")
_COLUMNS = ("topic", "partition", "leader", "replicas", "isr", "start", "end")


def _print_topics(
    admin: "AdminClient", descriptions: "list[TopicDescription]", as_json: bool
) -> None:
    led = [(d.name, p.id) for d in descriptions for p in d.partitions if _leader(p) is not None]
    starts, ends = start_offsets(admin, led), end_offsets(admin, led)
    tables = {
        description.name: [
            _partition(description.name, partition, starts, ends)
            for partition in sorted(description.partitions, key=lambda p: p.id)
        ]
        for description in descriptions
    }
    if not as_json and not sys.stdout.isatty():
        print_table(_COLUMNS, [_cells(row) for rows in tables.values() for row in rows])
        return
    overrides = _overrides(admin, list(tables))
    for description in descriptions:
        rows = tables[description.name]
        config = overrides[description.name]
        if as_json:
            print_json(
                {
                    "topic": description.name,
                    "topic_id": _topic_id(description),
                    "internal": description.is_internal,
                    "config": config,
                    "partitions": [dict(zip(_COLUMNS[1:], row[1:], strict=True)) for row in rows],
                }
            )
        else:
            print(
                f"{description.name}: {counted(len(rows), 'partition')}, "
                f"id {_topic_id(description)}"
            )
            for key, value in config.items():
                print(f"  {key} = {value}")
            print_table(_COLUMNS[1:], [_cells(row)[1:] for row in rows])


def _topic_id(description: "TopicDescription") -> str:
    """As Kafka's own tools write it: in the alphabet of base64 that is safe in URLs."""
    return str(description.topic_id).translate(_URL_SAFE)


def _partition(
    topic: str,
    partition: "TopicPartitionInfo",
    starts: dict[Partition, int],
    ends: dict[Partition, int],
) -> tuple[Any, ...]:
    at = (topic, partition.id)
    return (
        topic,
        partition.id,
        _leader(partition),
        [node.id for node in partition.replicas],
        [node.id for node in partition.isr],
        starts.get(at),
        ends.get(at),
    )


def _leader(partition: "TopicPartitionInfo") -> int | None:
    leader = partition.leader
    return None if leader is None or leader.id < 0 else int(leader.id)


def _cells(row: tuple[Any, ...]) -> tuple[Cell, ...]:
    return tuple(",".join(map(str, cell)) if isinstance(cell, list) else cell for cell in row)


def _overrides(admin: "AdminClient", topics: list[str]) -> dict[str, dict[str, str]]:
    """Per topic, what is configured for the topic itself."""
    from confluent_kafka.admin import ConfigResource, ConfigSource

    resources = {name: ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics}
    if not resources:
        return {}
    futures = admin.describe_configs(list(resources.values()), request_timeout=REQUEST_TIMEOUT_S)
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    found = {}
    for name, resource in resources.items():
        entries = result_of(futures[resource], f"configuration of topic {name}")
        found[name] = {
            key: entry.value for key, entry in sorted(entries.items()) if entry.source == own
        }
    return found


def _add_alter(commands: "argparse._SubParsersAction[Any]") -> None:
    parser = commands.add_parser(
        "alter",
        help="add partitions, change the configuration",
        description="Adds partitions to a topic and changes its configuration.",
    )
    parser.add_argument("topic", type=nonempty, metavar="TOPIC")
    parser.add_argument(
        "-p",
        "--partitions",
        type=count_up_to(_PARTITIONS_MAX),
        metavar="N",
        help="how many partitions there shall be; never fewer than there are",
    )
    _add_config_option(parser)
    parser.add_argument(
        "--delete-config",
        action="append",
        default=[],
        metavar="KEY",
        help="go back to the default; repeatable",
    )
    add_cluster_options(parser)
    parser.set_defaults(run=alter)


def alter(args: argparse.Namespace) -> int:
    """Changes the configuration first, then adds partitions."""
    from confluent_kafka.admin import ConfigResource, NewPartitions

    changes = changes_of(args.config, args.delete_config)
    if not changes and args.partitions is None:
        raise CommandError("nothing to alter: give --partitions, --config or --delete-config")
    admin = connect_admin(args)
    failed = f"cannot alter topic {args.topic}"
    if changes:
        resource = ConfigResource(ConfigResource.Type.TOPIC, args.topic)
        alter_config(admin, resource, changes, failed)
    if args.partitions is not None:
        futures = admin.create_partitions(
            [NewPartitions(args.topic, args.partitions)],
            operation_timeout=REQUEST_TIMEOUT_S,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        result_of(futures[args.topic], failed)
    print(f"altered topic {args.topic}")
    return 0


def _add_delete(commands: "argparse._SubParsersAction[Any]") -> None:
    parser = commands.add_parser(
        "delete",
        help="delete topics and all their records",
        description="Deletes topics and all their records, without asking.",
    )
    parser.add_argument("topics", nargs="+", type=nonempty, metavar="TOPIC")
    parser.add_argument(
        "--if-exists", action="store_true", help="a topic that is not there is no error"
    )
    add_cluster_options(parser)
    parser.set_defaults(run=delete)


def delete(args: argparse.Namespace) -> int:
    """Deletes the topics; a missing one is an error unless --if-exists."""
    admin = connect_admin(args)
    names = list(dict.fromkeys(args.topics))
    if args.if_exists:
        existing = set(topic_names(admin, with_internal=True))
        names = [name for name in names if name in existing]
    if not names:
        return 0
    futures = admin.delete_topics(
        names, operation_timeout=REQUEST_TIMEOUT_S, request_timeout=REQUEST_TIMEOUT_S
    )
    return report_each(futures, "cannot delete topic {}", "deleted topic {}")
