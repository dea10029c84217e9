"""What administrators see of groups: descriptions and listings."""

from collections.abc import Iterable

from barnabas.state.group.group import Group, GroupState
from barnabas.state.group.responses import DescribedGroup, DescribedMember, ListedGroup

CLASSIC_TYPE = "classic"
"""The group type of groups of the classic protocol, as ListGroups says it."""


def describe_group(group: Group) -> DescribedGroup:
    """A group with its members; their metadata is known only while the group is stable."""
    protocol_name = group.protocol_name if group.state is GroupState.STABLE else None
    return DescribedGroup(
        group_id=group.group_id,
        state=group.state.value,
        protocol_type=group.protocol_type or "",
        protocol_name=protocol_name or "",
        members=tuple(
            DescribedMember(
                member_id=member.member_id,
                group_instance_id=member.group_instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                metadata=member.metadata(protocol_name),
                assignment=member.assignment,
            )
            for member in group.members.values()
        ),
    )


def list_groups(
    groups: Iterable[Group], states: Iterable[str] = (), types: Iterable[str] = ()
) -> list[ListedGroup]:
    """The groups in one of `states` and of one of `types`, without regard to case; empty: all."""
    wanted_states = {state.strip().lower() for state in states}
    wanted_types = {group_type.strip().lower() for group_type in types}
    if wanted_types and CLASSIC_TYPE not in wanted_types:
        return []
    return [
        ListedGroup(group.group_id, group.protocol_type or "", group.state.value, CLASSIC_TYPE)
        for group in groups
        if not wanted_states or group.state.value.lower() in wanted_states
    ]
