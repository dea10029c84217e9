"""JoinGroup: who gets in, under which member id, and whether that starts a rebalance."""

from dataclasses import dataclass

from kio.schema.errors import ErrorCode

from barnabas.state.effects import Token
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.effects import Effects, Instant, TimerKind
from barnabas.state.group.group import Group, GroupState
from barnabas.state.group.member import UNKNOWN_MEMBER_ID, Member, Protocol
from barnabas.state.group.rebalance import (
    complete_join_if_all_joined,
    prepare_rebalance,
    rebalance_or_complete_join,
)
from barnabas.state.group.records import GroupRecord
from barnabas.state.group.responses import JoinResponse
from barnabas.state.units import MINUTE_MS

MEMBER_ID_PREFIX_MAX = 8_000  # characters, of four bytes at most: a string has 32,767 at most
# In its first JoinGroup; not configurable in Kafka either.
NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * MINUTE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """JoinGroupRequest. What depends on its version is spelled out in the two flags."""

    group_id: str
    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: tuple[Protocol, ...]
    requires_known_member_id: bool  # version 4 and up (KIP-394)
    supports_skip_assignment: bool  # version 9 and up (KIP-814)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticMemberAppend:
    """The append of a static member's new id in a stable group; its JoinGroup waits for that.

    Holds what to go back to if it fails.
    """

    group_id: str
    generation_id: int
    group_instance_id: str
    member_id: str
    old_member_id: str
    old_protocols: tuple[Protocol, ...]
    old_rebalance_timeout_ms: int
    old_session_timeout_ms: int
    old_leader_id: str
    supports_skip_assignment: bool


@dataclass(slots=True)
class Join:
    """One JoinGroup request being handled, and what all steps of that need."""

    group: Group
    request: JoinRequest
    token: Token
    now: Instant
    config: GroupConfig
    effects: Effects

    def refuse(self, error: ErrorCode, member_id: str = UNKNOWN_MEMBER_ID) -> None:
        """Answers with an error, changing nothing."""
        self.effects.reply(self.token, JoinResponse(error=error, member_id=member_id))

    def rebalance_or_complete(self) -> None:
        """Starts a rebalance, or ends the join phase if it waited only for this member."""
        rebalance_or_complete_join(self.group, self.now, self.config, self.effects)


def join_group(join: Join, new_member_uuid: str) -> None:
    """Handles a JoinGroup of a client that has a member id, or asks for one."""
    group, request = join.group, join.request
    names = [protocol.name for protocol in request.protocols]
    if group.state is GroupState.DEAD:
        join.refuse(ErrorCode.coordinator_not_available, request.member_id)
    elif not _has_room(group, request.member_id, join.config.max_size):
        _turn_away(join)
    elif not group.supports_protocols(request.protocol_type, names):
        join.refuse(ErrorCode.inconsistent_group_protocol, request.member_id)
    elif request.member_id != UNKNOWN_MEMBER_ID:
        _join_with_member_id(join)
    elif request.group_instance_id is not None:
        member_id = _member_id(request.group_instance_id, new_member_uuid)
        if request.group_instance_id in group.static_members:
            _replace_static_member(join, member_id)
        else:
            _add_member(join, member_id)
    elif request.requires_known_member_id:
        _add_pending_member(join, _member_id(request.client_id, new_member_uuid))
    else:
        _add_member(join, _member_id(request.client_id, new_member_uuid))


def _member_id(prefix: str, new_member_uuid: str) -> str:
    """A new member's id. An id that no message could carry would make its group unusable."""
    return f"{prefix[:MEMBER_ID_PREFIX_MAX]}-{new_member_uuid}"


def _has_room(group: Group, member_id: str, max_size: int) -> bool:
    """Whether `group.max.size` lets this member in.

    While members rejoin, those already waiting are counted, not those there were: the group may be
    over its limit because the limit was lowered, and then the last to rejoin have to go.
    """
    member = group.members.get(member_id)
    if group.state is GroupState.EMPTY:
        return True
    if group.state is GroupState.PREPARING_REBALANCE:
        is_waiting = member is not None and member.awaiting_join is not None
        return is_waiting or group.num_awaiting_join < max_size
    return member is not None or len(group.members) < max_size


def _turn_away(join: Join) -> None:
    group, member_id = join.group, join.request.member_id
    error = group.member_error(member_id, join.request.group_instance_id)
    if error is ErrorCode.none or member_id in group.pending_members:
        group.remove(member_id, join.effects)
        complete_join_if_all_joined(group, join.now, join.effects)
    join.refuse(ErrorCode.group_max_size_reached)


def _add_pending_member(join: Join, member_id: str) -> None:
    """Makes a client come back with its id, so that a client that gives up on a slow JoinGroup and
    retries does not leave a member behind each time.
    """
    join.group.pending_members.add(member_id)
    join.effects.set_timer(
        join.group.timer_key(TimerKind.SESSION, member_id),
        join.now.monotonic_ms + join.request.session_timeout_ms,
    )
    join.refuse(ErrorCode.member_id_required, member_id)


def _add_member(join: Join, member_id: str) -> None:
    group, request = join.group, join.request
    member = Member(
        member_id=member_id,
        group_instance_id=request.group_instance_id,
        client_id=request.client_id,
        client_host=request.client_host,
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        session_timeout_ms=request.session_timeout_ms,
        protocol_type=request.protocol_type,
        protocols=request.protocols,
        is_new=True,
    )
    was_initial = (
        group.state is GroupState.PREPARING_REBALANCE and group.previous_state is GroupState.EMPTY
    )
    group.add(member)
    group.park_join(member, join.token, join.effects)
    group.new_member_added = group.new_member_added or was_initial
    # It cannot send heartbeats yet. If the client has gone, only this ends its parked request.
    group.restart_session(member, join.now, join.effects, NEW_MEMBER_JOIN_TIMEOUT_MS)
    join.rebalance_or_complete()


def _join_with_member_id(join: Join) -> None:
    group, request = join.group, join.request
    member_id = request.member_id
    if member_id in group.pending_members and request.group_instance_id is None:
        _add_member(join, member_id)
        return
    error = group.member_error(member_id, request.group_instance_id)
    if error is not ErrorCode.none:
        join.refuse(error, member_id)
        return
    member = group.members[member_id]
    has_changed = member.protocols != request.protocols
    is_leader = member_id == group.leader_id
    if (
        group.state is GroupState.PREPARING_REBALANCE
        or has_changed
        # A leader rejoins also for what its own metadata does not show, such as new partitions.
        or (group.state is GroupState.STABLE and is_leader)
    ):
        _update_member(join, member)
        join.rebalance_or_complete()
    else:
        # It has missed the answer to its JoinGroup: this generation is still the current one.
        with_members = is_leader and group.state is GroupState.COMPLETING_REBALANCE
        join.effects.reply(join.token, group.join_response(member, with_members=with_members))


def _update_member(join: Join, member: Member) -> None:
    request = join.request
    join.group.update_member(
        member, request.protocols, request.rebalance_timeout_ms, request.session_timeout_ms
    )
    join.group.park_join(member, join.token, join.effects)


def _replace_static_member(join: Join, new_member_id: str) -> None:
    """A static member is back after a restart, with a new member id. If nothing that matters has
    changed, its old assignment is still right and nobody else need notice.
    """
    group, request = join.group, join.request
    assert request.group_instance_id is not None
    old_member_id = group.static_members[request.group_instance_id]
    old = group.members[old_member_id]
    outcome = StaticMemberAppend(
        group_id=group.group_id,
        generation_id=group.generation_id,
        group_instance_id=request.group_instance_id,
        member_id=new_member_id,
        old_member_id=old_member_id,
        old_protocols=old.protocols,
        old_rebalance_timeout_ms=old.rebalance_timeout_ms,
        old_session_timeout_ms=old.session_timeout_ms,
        old_leader_id=group.leader_id or "",
        supports_skip_assignment=request.supports_skip_assignment,
    )
    member = group.replace_static_member(request.group_instance_id, new_member_id, join.effects)
    _update_member(join, member)
    group.restart_session(member, join.now, join.effects)
    if group.state is GroupState.STABLE and group.select_protocol() == group.protocol_name:
        join.effects.append((GroupRecord(group.group_id, group.to_value()),), outcome)
    elif group.state is GroupState.PREPARING_REBALANCE:
        complete_join_if_all_joined(group, join.now, join.effects)
    else:
        # CompletingRebalance too: the leader may be assigning to the old member id right now.
        prepare_rebalance(group, join.now, join.config, join.effects)


def static_member_appended(
    group: Group, outcome: StaticMemberAppend, now: Instant, effects: Effects
) -> None:
    """Answers the JoinGroup of a replaced static member, unless a rebalance has begun that will."""
    member = group.members.get(outcome.member_id)
    if not _is_current(group, outcome) or member is None:
        return
    is_leader = outcome.member_id == group.leader_id
    if outcome.supports_skip_assignment:
        response = group.join_response(member, with_members=is_leader, skip_assignment=is_leader)
    else:
        # An old client that is told it leads would assign anew: name the id it had before.
        response = group.join_response(member, leader_id=outcome.old_leader_id)
    group.answer_join(member, response, effects)
    group.restart_session(member, now, effects)


def static_member_append_failed(
    group: Group, outcome: StaticMemberAppend, error: ErrorCode, now: Instant, effects: Effects
) -> None:
    """Gives a static member its old id back; the client that came is told to try again. Not if a
    rebalance has begun: that has a record of its own.
    """
    member = group.members.get(outcome.member_id)
    if not _is_current(group, outcome) or member is None:
        return
    group.answer_join(member, JoinResponse(error=error), effects)
    group.update_member(
        member,
        outcome.old_protocols,
        outcome.old_rebalance_timeout_ms,
        outcome.old_session_timeout_ms,
    )
    member = group.replace_static_member(outcome.group_instance_id, outcome.old_member_id, effects)
    group.restart_session(member, now, effects)


def _is_current(group: Group, outcome: StaticMemberAppend) -> bool:
    return group.state is GroupState.STABLE and group.generation_id == outcome.generation_id
