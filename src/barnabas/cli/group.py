"""`barnabas group`: list, describe and delete consumer groups, reset their offsets."""

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from barnabas.cli import group_reset
from barnabas.cli.admin import (
    Partition,
    committed_offsets,
    describe_groups,
    end_offsets,
    partition_counts,
    report_each,
)
from barnabas.cli.cluster import (
    REQUEST_TIMEOUT_S,
    add_cluster_options,
    connect_admin,
    error_text,
)
from barnabas.cli.failure import EXIT_FAILURE
from barnabas.cli.output import (
    add_json_option,
    print_json,
    print_names,
    print_table,
    warn,
)
from barnabas.cli.parser import add_command_group, nonempty
from barnabas.wording import counted

if TYPE_CHECKING:
    from confluent_kafka.admin import (
        AdminClient,
        ConsumerGroupDescription,
        MemberDescription,
    )

_STATES: Final = ("stable", "empty", "preparing_rebalancing", "completing_rebalancing", "dead")
_LAG_COLUMNS: Final = (
    "group",
    "topic",
    "partition",
    "committed",
    "end",
    "lag",
    "member",
    "client",
    "host",
)
_STATE_COLUMNS: Final = ("group", "state", "type", "assignor", "coordinator", "members", "lag")
_MEMBER_COLUMNS: Final = ("group", "member", "instance", "client", "host", "partitions")


@dataclass(frozen=True)
class GroupView:
    """One group with what its partitions look like; rows follow the column names above."""

    description: "ConsumerGroupDescription"
    lag_rows: list[tuple[str | int | None, ...]]
    member_rows: list[tuple[str | None, ...]]

    @property
    def total_lag(self) -> int:
        """How many records the group has not committed, over the partitions it committed."""
        return sum(row[5] for row in self.lag_rows if isinstance(row[5], int))


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds `barnabas group`."""
    commands = add_command_group(
        subparsers, "group", "list, describe, delete consumer groups; reset their offsets"
    )
    parser = commands.add_parser(
        "list",
        help="name the groups",
        description="Names the groups; in a pipe, one bare name a line, or with --state alone "
        "their states and types as well.",
    )
    parser.add_argument(
        "--state",
        choices=_STATES,
        nargs="?",
        action="append",
        help="show states; or only groups in this state, repeatable",
    )
    add_json_option(parser)
    add_cluster_options(parser)
    parser.set_defaults(run=list_)

    parser = commands.add_parser(
        "describe",
        help="show members, assignments and lag",
        description="Shows what a group has committed and how far behind it is, partition by "
        "partition, and its members. A pipe gets the partitions, or with --members the members, or "
        "with --state a line a group.",
    )
    parser.add_argument("groups", nargs="+", type=nonempty, metavar="GROUP")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--members", action="store_true", help="only the members")
    what.add_argument(
        "--state", action="store_true", help="only state, type, assignor, coordinator, totals"
    )
    add_json_option(parser)
    add_cluster_options(parser)
    parser.set_defaults(run=describe)

    group_reset.add_parser(commands)

    parser = commands.add_parser(
        "delete",
        help="delete groups and their offsets",
        description="Deletes groups that have no members, with all they have committed.",
    )
    parser.add_argument("groups", nargs="+", type=nonempty, metavar="GROUP")
    add_cluster_options(parser)
    parser.set_defaults(run=delete)


def list_(args: argparse.Namespace) -> int:
    """Names the groups; exit code 1 when a broker could not be asked."""
    from confluent_kafka import ConsumerGroupState

    asked: list[str | None] = args.state or []
    states = {ConsumerGroupState[name.upper()] for name in asked if name is not None}
    admin = connect_admin(args)
    options = {"states": states} if states else {}
    found = admin.list_consumer_groups(request_timeout=REQUEST_TIMEOUT_S, **options).result()
    rows = sorted((group.group_id, _name(group.state), _name(group.type)) for group in found.valid)
    columns = ("group", "state", "type")
    if args.json:
        for row in rows:
            print_json(dict(zip(columns, row, strict=True)))
    elif None in asked and rows:
        print_table(columns, rows)
    else:
        print_names(columns, rows, "there are no groups")
    for error in found.errors:
        warn(f"a broker did not list its groups: {error_text(error)}")
    return EXIT_FAILURE if found.errors else 0


def describe(args: argparse.Namespace) -> int:
    """Shows the groups; exit code 1 when one does not exist."""
    admin = connect_admin(args)
    exit_code = 0
    views = []
    for name, description in describe_groups(admin, list(dict.fromkeys(args.groups))).items():
        if description is None:
            warn(f"there is no group {name}")
            exit_code = EXIT_FAILURE
        else:
            views.append(_view(admin, description))
    if not views:
        return exit_code
    if args.json:
        for view in views:
            print_json(_as_json(view))
    elif args.state:
        print_table(_STATE_COLUMNS, [_state_row(view) for view in views])
    elif sys.stdout.isatty():
        for view in views:
            _print_for_people(view, args.members)
    elif args.members:
        print_table(_MEMBER_COLUMNS, [row for view in views for row in view.member_rows])
    else:
        print_table(_LAG_COLUMNS, [row for view in views for row in view.lag_rows])
    return exit_code


def delete(args: argparse.Namespace) -> int:
    """Deletes the groups; one with members, or one that there is not, is an error."""
    admin = connect_admin(args)
    futures = admin.delete_consumer_groups(
        list(dict.fromkeys(args.groups)), request_timeout=REQUEST_TIMEOUT_S
    )
    return report_each(futures, "cannot delete group {}", "deleted group {}")


def _view(admin: "AdminClient", description: "ConsumerGroupDescription") -> GroupView:
    group = description.group_id
    committed = committed_offsets(admin, group)
    owners: dict[Partition, MemberDescription] = {
        (owned.topic, owned.partition): member
        for member in description.members
        for owned in member.assignment.topic_partitions
    }
    partitions = sorted({*committed, *owners})
    # A topic that was deleted still has offsets, but no end.
    counts = partition_counts(admin, {topic for topic, _ in partitions})
    ends = end_offsets(admin, [at for at in partitions if at[1] < counts.get(at[0], 0)])
    lag_rows = []
    for at in partitions:
        offset, end, member = committed.get(at), ends.get(at), owners.get(at)
        lag = None if offset is None or end is None else max(0, end - offset)
        member_cells = (
            (None, None, None)
            if member is None
            else (member.member_id, member.client_id, _host(member))
        )
        lag_rows.append((group, *at, offset, end, lag, *member_cells))
    members = sorted(description.members, key=lambda member: member.member_id)
    return GroupView(description, lag_rows, [_member_row(group, member) for member in members])


def _member_row(group: str, member: "MemberDescription") -> tuple[str | None, ...]:
    owned: dict[str, list[int]] = {}
    for at in member.assignment.topic_partitions:
        owned.setdefault(at.topic, []).append(at.partition)
    partitions = " ".join(
        f"{topic}:{','.join(map(str, sorted(numbers)))}" for topic, numbers in sorted(owned.items())
    )
    return (
        group,
        member.member_id,
        member.group_instance_id,
        member.client_id,
        _host(member),
        partitions or None,
    )


def _state_row(view: GroupView) -> tuple[str | int | None, ...]:
    description = view.description
    return (
        description.group_id,
        _name(description.state),
        _name(description.type),
        description.partition_assignor or None,
        description.coordinator.id,
        len(view.member_rows),
        view.total_lag,
    )


def _as_json(view: GroupView) -> dict[str, object]:
    description = view.description
    return {
        "group": description.group_id,
        "state": _name(description.state),
        "type": _name(description.type),
        "assignor": description.partition_assignor,
        "coordinator": description.coordinator.id,
        "lag": view.total_lag,
        "partitions": [dict(zip(_LAG_COLUMNS[1:], row[1:], strict=True)) for row in view.lag_rows],
        "members": [
            {
                **dict(zip(_MEMBER_COLUMNS[1:5], row[1:5], strict=True)),
                "partitions": [
                    {"topic": owned.topic, "partition": owned.partition}
                    for owned in member.assignment.topic_partitions
                ],
            }
            for row, member in zip(
                view.member_rows,
                sorted(description.members, key=lambda member: member.member_id),
                strict=True,
            )
        ],
    }


def _print_for_people(view: GroupView, only_members: bool) -> None:
    description = view.description
    print(
        f"{description.group_id}: {_name(description.state)}, "
        f"{counted(len(view.member_rows), 'member')}, lag {view.total_lag:,}, "
        f"assignor {description.partition_assignor or '-'}, "
        f"coordinator {description.coordinator.id}"
    )
    if view.lag_rows and not only_members:
        print_table(_LAG_COLUMNS[1:7], [row[1:7] for row in view.lag_rows])
    if view.member_rows:
        print_table(_MEMBER_COLUMNS[1:], [row[1:] for row in view.member_rows])


def _host(member: "MemberDescription") -> str:
    return str(member.host).removeprefix("/")


def _name(state: Any) -> str:
    return str(state.name).lower()
