"""`barnabas config`: read and change the configuration of topics and brokers."""

import argparse
from typing import TYPE_CHECKING, Any, Final

from barnabas.cli.admin import alter_config, changes_of, describe_config
from barnabas.cli.cluster import REQUEST_TIMEOUT_S, add_cluster_options, connect_admin
from barnabas.cli.failure import CommandError
from barnabas.cli.output import add_json_option, print_json, print_table
from barnabas.cli.parser import add_command_group, key_value, nonempty

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource

_SOURCES: Final = {
    "DYNAMIC_TOPIC_CONFIG": "topic",
    "DYNAMIC_BROKER_CONFIG": "broker",
    "DYNAMIC_DEFAULT_BROKER_CONFIG": "all brokers",
    "STATIC_BROKER_CONFIG": "broker's file",
    "DEFAULT_CONFIG": "default",
    "GROUP_CONFIG": "group",
}


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds `barnabas config`."""
    commands = add_command_group(
        subparsers, "config", "read and change the configuration of topics and brokers"
    )
    parser = commands.add_parser(
        "get",
        help="show what is in force",
        description="Shows what is in force, and where it comes from.",
        epilog="examples:\n  barnabas config get topic events\n"
        "  barnabas config get topic events retention.ms cleanup.policy\n"
        "  barnabas config get broker 1 --overrides",
    )
    _add_resource(parser)
    parser.add_argument("keys", nargs="*", metavar="KEY", help="only these keys (default: all)")
    parser.add_argument(
        "--overrides", action="store_true", help="only what is not the default of Kafka"
    )
    add_json_option(parser)
    add_cluster_options(parser)
    parser.set_defaults(run=get)

    parser = commands.add_parser(
        "set",
        help="change it",
        description="Sets keys, and deletes keys so that the default holds again.",
        epilog="example:\n  barnabas config set topic events retention.ms=60000 "
        "--delete cleanup.policy",
    )
    _add_resource(parser)
    parser.add_argument("settings", nargs="*", type=key_value, metavar="KEY=VALUE")
    parser.add_argument(
        "--delete",
        action="append",
        default=[],
        metavar="KEY",
        help="go back to the default; repeatable",
    )
    add_cluster_options(parser)
    parser.set_defaults(run=set_)


def _add_resource(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("topic", "broker"), help="topic or broker")
    parser.add_argument("name", type=nonempty, help="the topic's name or the broker's id")


def get(args: argparse.Namespace) -> int:
    """Shows the configuration; asking for a key that there is not is an error."""
    from confluent_kafka.admin import ConfigSource

    resource = _resource(args)
    admin = connect_admin(args)
    _check_broker(admin, args)
    entries = describe_config(admin, resource, f"configuration of {args.kind} {args.name}")
    unknown = [key for key in args.keys if key not in entries]
    if unknown:
        raise CommandError(f"{args.kind} {args.name} has no configuration {', '.join(unknown)}")
    rows = []
    for key, entry in entries.items():
        source = ConfigSource(entry.source).name
        if (args.keys and key not in args.keys) or (args.overrides and source == "DEFAULT_CONFIG"):
            continue
        if args.json:
            print_json({"key": key, "value": _value(entry), "source": source.lower()})
        rows.append((key, _value(entry), _SOURCES.get(source, source.lower())))
    if not args.json:
        print_table(("key", "value", "from"), rows)
    return 0


def set_(args: argparse.Namespace) -> int:
    """Changes the configuration, all keys or none."""
    changes = changes_of(args.settings, args.delete)
    if not changes:
        raise CommandError("nothing to change: give KEY=VALUE or --delete KEY")
    resource = _resource(args)
    failed = f"cannot configure {args.kind} {args.name}"
    admin = connect_admin(args)
    _check_broker(admin, args)
    alter_config(admin, resource, changes, failed)
    print(f"configured {args.kind} {args.name}")
    return 0


def _resource(args: argparse.Namespace) -> "ConfigResource":
    from confluent_kafka.admin import ConfigResource

    if args.kind == "topic":
        return ConfigResource(ConfigResource.Type.TOPIC, args.name)
    if not args.name.isdecimal():
        raise CommandError(f"a broker's name is its id, a number, not {args.name!r}")
    return ConfigResource(ConfigResource.Type.BROKER, args.name)


def _check_broker(admin: "AdminClient", args: argparse.Namespace) -> None:
    """The client would wait for a broker that the cluster does not have."""
    if args.kind != "broker":
        return
    ids = sorted(admin.list_topics(timeout=REQUEST_TIMEOUT_S).brokers)
    if int(args.name) not in ids:
        raise CommandError(f"there is no broker {args.name}; there is {', '.join(map(str, ids))}")


def _value(entry: "ConfigEntry") -> str | None:
    """What the broker shows; a password is never shown."""
    return "(hidden)" if entry.is_sensitive else entry.value
