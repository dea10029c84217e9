"""How members stay in a group and how they go: heartbeats, LeaveGroup, and silence."""

from typing import NamedTuple

from kio.schema.errors import ErrorCode

from barnabas.state.effects import Token
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.effects import Effects, Instant, TimerKind
from barnabas.state.group.group import Group, GroupState
from barnabas.state.group.member import UNKNOWN_MEMBER_ID
from barnabas.state.group.rebalance import (
    answer_leave,
    complete_join_if_all_joined,
    rebalance_or_complete_join,
)
from barnabas.state.group.responses import LeaveResponse, LeftMember


class Leaver(NamedTuple):
    """A member to remove: by member id, or by group instance id alone (an administrator)."""

    member_id: str
    group_instance_id: str | None


def heartbeat(
    group: Group,
    member_id: str,
    group_instance_id: str | None,
    generation_id: int,
    monotonic_ms: int,
) -> ErrorCode:
    """Handles a Heartbeat. On the hot path: it moves a deadline and sets no timer."""
    if group.state is GroupState.DEAD:
        return ErrorCode.coordinator_not_available
    error = group.member_error(member_id, group_instance_id)
    if error is not ErrorCode.none:
        return error
    if generation_id != group.generation_id:
        return ErrorCode.illegal_generation
    member = group.members[member_id]
    member.session_deadline_ms = monotonic_ms + member.session_timeout_ms
    if group.state is GroupState.PREPARING_REBALANCE:
        return ErrorCode.rebalance_in_progress
    return ErrorCode.none


def leave_group(
    group: Group,
    leavers: tuple[Leaver, ...],
    token: Token,
    *,
    now: Instant,
    config: GroupConfig,
    effects: Effects,
) -> None:
    """Handles a LeaveGroup: each member goes, or has its own error."""
    if group.state is GroupState.DEAD:
        effects.reply(token, LeaveResponse(error=ErrorCode.coordinator_not_available))
        return
    member_count = len(group.members)
    left = tuple(LeftMember(*leaver, _remove_leaver(group, leaver, effects)) for leaver in leavers)
    if len(group.members) < member_count:
        _after_removal(group, now, config, effects)
    else:
        complete_join_if_all_joined(group, now, effects)
    answer_leave(token, LeaveResponse(members=left), effects)


def on_session_timer(
    group: Group, member_id: str, now: Instant, config: GroupConfig, effects: Effects
) -> None:
    """Removes a member that was not heard of, or a pending one that did not come back."""
    if member_id in group.pending_members:
        group.remove(member_id, effects)
        complete_join_if_all_joined(group, now, effects)
        return
    member = group.members.get(member_id)
    if member is None:
        return
    member.session_wakeup_ms = None
    if now.monotonic_ms < member.session_deadline_ms:
        member.session_wakeup_ms = member.session_deadline_ms
        key = group.timer_key(TimerKind.SESSION, member_id)
        effects.set_timer(key, member.session_deadline_ms)
    elif not member.is_excused_from_heartbeat:
        group.remove(member_id, effects)
        _after_removal(group, now, config, effects)


def _remove_leaver(group: Group, leaver: Leaver, effects: Effects) -> ErrorCode:
    member_id, group_instance_id = leaver
    if member_id == UNKNOWN_MEMBER_ID:
        if group_instance_id not in group.static_members:
            return ErrorCode.unknown_member_id
        member_id = group.static_members[group_instance_id]
    elif member_id not in group.pending_members:
        error = group.member_error(member_id, group_instance_id)
        if error is not ErrorCode.none:
            return error
    group.remove(member_id, effects)
    return ErrorCode.none


def _after_removal(group: Group, now: Instant, config: GroupConfig, effects: Effects) -> None:
    """A member less: the others share its partitions, or need not wait for it any longer."""
    if group.is_in(GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
        rebalance_or_complete_join(group, now, config, effects)
    else:
        complete_join_if_all_joined(group, now, effects)
