"""SyncGroup: the leader hands in the assignment, every member takes its part."""

from dataclasses import dataclass

from kio.schema.errors import ErrorCode

from barnabas.state.effects import Token
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.effects import Effects, Instant, TimerKind
from barnabas.state.group.group import Group, GroupState
from barnabas.state.group.rebalance import prepare_rebalance, propagate_assignment
from barnabas.state.group.records import GroupRecord
from barnabas.state.group.responses import SyncResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """SyncGroupRequest. Before version 5 the protocol type and name are None: not checked."""

    group_id: str
    generation_id: int
    member_id: str
    group_instance_id: str | None
    protocol_type: str | None
    protocol_name: str | None
    assignments: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class AssignmentAppend:
    """The append of a generation with its assignment, which makes the group stable."""

    group_id: str
    generation_id: int
    assignments: dict[str, bytes]


def sync_group(group: Group, request: SyncRequest, token: Token, effects: Effects) -> None:
    """Handles a SyncGroup: parks it until the assignment is stored, or answers at once."""
    error = _sync_error(group, request)
    if error is not ErrorCode.none:
        effects.reply(token, SyncResponse(error=error))
        return
    member = group.members[request.member_id]
    group.pending_sync_members.discard(member.member_id)
    if not group.pending_sync_members:
        effects.cancel_timer(group.timer_key(TimerKind.SYNC))
    if group.state is GroupState.STABLE:
        response = SyncResponse(
            protocol_type=group.protocol_type,
            protocol_name=group.protocol_name,
            assignment=member.assignment,
        )
        effects.reply(token, response)
        return
    is_retry = member.awaiting_sync is not None  # and its assignment is already being stored
    group.park_sync(member, token, effects)
    if member.member_id == group.leader_id and not is_retry:
        # Members the leader forgot get nothing; strangers it named are dropped.
        assignments = {name: request.assignments.get(name, b"") for name in group.members}
        effects.append(
            (GroupRecord(group.group_id, group.to_value(assignments)),),
            AssignmentAppend(group.group_id, group.generation_id, assignments),
        )


def assignment_appended(
    group: Group, outcome: AssignmentAppend, now: Instant, effects: Effects
) -> None:
    """The assignment is stored: everybody gets theirs. Void if a new rebalance has begun."""
    if not _is_current(group, outcome):
        return
    for member in group.members.values():
        member.assignment = outcome.assignments.get(member.member_id, b"")
    propagate_assignment(group, now, effects, ErrorCode.none)
    group.transition_to(GroupState.STABLE, now)


def assignment_append_failed(
    group: Group,
    outcome: AssignmentAppend,
    error: ErrorCode,
    *,
    now: Instant,
    config: GroupConfig,
    effects: Effects,
) -> None:
    """The assignment could not be stored: whoever waits for it learns why, and all rejoin."""
    if not _is_current(group, outcome):
        return
    for member in group.members.values():
        member.assignment = b""
    propagate_assignment(group, now, effects, error)
    prepare_rebalance(group, now, config, effects)


def _is_current(group: Group, outcome: AssignmentAppend) -> bool:
    return (
        group.state is GroupState.COMPLETING_REBALANCE
        and group.generation_id == outcome.generation_id
    )


def _sync_error(group: Group, request: SyncRequest) -> ErrorCode:
    if group.state is GroupState.DEAD:
        return ErrorCode.coordinator_not_available
    error = group.member_error(request.member_id, request.group_instance_id)
    if error is not ErrorCode.none:
        return error
    if request.generation_id != group.generation_id:
        return ErrorCode.illegal_generation
    if _is_inconsistent(request.protocol_type, group.protocol_type) or _is_inconsistent(
        request.protocol_name, group.protocol_name
    ):
        return ErrorCode.inconsistent_group_protocol
    if group.state is GroupState.PREPARING_REBALANCE:
        return ErrorCode.rebalance_in_progress
    return ErrorCode.none


def _is_inconsistent(asked: str | None, actual: str | None) -> bool:
    return asked is not None and actual is not None and asked != actual
