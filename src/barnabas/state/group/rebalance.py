"""The two phases of a rebalance: everybody joins, then everybody gets the leader's assignment.

Empty ──join──▶ PreparingRebalance ──all joined, or time is up──▶ CompletingRebalance
                    ▲      │ nobody left                               │ leader's SyncGroup
                    │      ▼                                           ▼
                    │    Empty                                       Stable
                    └───────── join, leave, expiry ────────────────────┘
"""

from dataclasses import dataclass

from kio.schema.errors import ErrorCode

from barnabas.state.effects import Token
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.effects import Effects, Instant, TimerKind
from barnabas.state.group.group import Group, GroupState
from barnabas.state.group.records import GroupRecord
from barnabas.state.group.responses import LeaveResponse, SyncResponse


@dataclass(frozen=True, slots=True)
class EmptyGroupAppend:
    """The append of a group that lost its last member: without the record, a restart brings back
    members that time out. A LeaveGroup that led to it waits for it.
    """

    token: Token | None = None
    response: LeaveResponse | None = None


def rebalance_or_complete_join(
    group: Group, now: Instant, config: GroupConfig, effects: Effects
) -> None:
    """Starts a rebalance, or ends the join phase if it waited only for this event."""
    if group.can_rebalance:
        prepare_rebalance(group, now, config, effects)
    else:
        complete_join_if_all_joined(group, now, effects)


def prepare_rebalance(group: Group, now: Instant, config: GroupConfig, effects: Effects) -> None:
    """Enters the join phase. The first one of a group gives others time to turn up."""
    if group.state is GroupState.COMPLETING_REBALANCE:
        for member in group.members.values():
            member.assignment = b""
        propagate_assignment(group, now, effects, ErrorCode.rebalance_in_progress)
    group.pending_sync_members.clear()
    effects.cancel_timer(group.timer_key(TimerKind.SYNC))
    is_initial = group.state is GroupState.EMPTY
    group.transition_to(GroupState.PREPARING_REBALANCE, now)
    if is_initial:
        delay_ms = config.initial_rebalance_delay_ms
        group.new_member_added = False
        group.initial_delay_ms = delay_ms
        group.initial_remaining_ms = max(group.rebalance_timeout_ms - delay_ms, 0)
        effects.set_timer(group.timer_key(TimerKind.JOIN), now.monotonic_ms + delay_ms)
    elif group.has_all_members_joined:
        complete_join(group, now, effects)
    else:
        _set_join_timer(group, now, effects)


def complete_join_if_all_joined(group: Group, now: Instant, effects: Effects) -> None:
    """Ends the join phase if nobody is missing; the initial one lasts its whole delay."""
    if (
        group.state is GroupState.PREPARING_REBALANCE
        and group.previous_state is not GroupState.EMPTY
        and group.has_all_members_joined
    ):
        complete_join(group, now, effects)


def on_join_timer(group: Group, now: Instant, config: GroupConfig, effects: Effects) -> None:
    """Time is up for the join phase; the initial one is extended while members keep coming."""
    if group.state is not GroupState.PREPARING_REBALANCE:
        return
    is_initial = group.previous_state is GroupState.EMPTY
    if is_initial and group.new_member_added and group.initial_remaining_ms > 0:
        group.new_member_added = False
        delay_ms = min(config.initial_rebalance_delay_ms, group.initial_remaining_ms)
        group.initial_remaining_ms = max(group.initial_remaining_ms - group.initial_delay_ms, 0)
        group.initial_delay_ms = delay_ms
        effects.set_timer(group.timer_key(TimerKind.JOIN), now.monotonic_ms + delay_ms)
    else:
        complete_join(group, now, effects)


def complete_join(group: Group, now: Instant, effects: Effects) -> None:
    """Ends the join phase: dynamic members that did not rejoin are out, the others learn the new
    generation. Static members may be away and stay, but somebody has to be there to lead.
    """
    effects.cancel_timer(group.timer_key(TimerKind.JOIN))
    missing = [
        member.member_id
        for member in group.members.values()
        if member.awaiting_join is None and not member.is_static
    ]
    for member_id in missing:
        group.remove(member_id, effects)
    if group.members and not group.elect_joined_leader():
        _set_join_timer(group, now, effects)
        return
    group.init_next_generation(now)
    if group.state is GroupState.EMPTY:
        record = GroupRecord(group.group_id, group.to_value())
        effects.append((record,), EmptyGroupAppend())
        return
    for member in group.members.values():
        is_leader = member.member_id == group.leader_id
        group.answer_join(member, group.join_response(member, with_members=is_leader), effects)
        group.restart_session(member, now, effects)
        member.is_new = False
        group.pending_sync_members.add(member.member_id)
    effects.set_timer(
        group.timer_key(TimerKind.SYNC), now.monotonic_ms + group.rebalance_timeout_ms
    )


def answer_leave(token: Token, response: LeaveResponse, effects: Effects) -> None:
    """Answers a LeaveGroup: when the last member has left, once that is stored."""
    for number, append in enumerate(effects.appends):
        if isinstance(append.outcome, EmptyGroupAppend):
            effects.appends[number] = append._replace(outcome=EmptyGroupAppend(token, response))
            return
    effects.reply(token, response)


def on_sync_timer(group: Group, now: Instant, config: GroupConfig, effects: Effects) -> None:
    """Removes the members that joined and then never asked for their assignment."""
    if not group.is_in(GroupState.COMPLETING_REBALANCE, GroupState.STABLE):
        return
    late = sorted(group.pending_sync_members)
    for member_id in late:
        group.remove(member_id, effects)
    if late:
        prepare_rebalance(group, now, config, effects)


def propagate_assignment(group: Group, now: Instant, effects: Effects, error: ErrorCode) -> None:
    """Answers every parked SyncGroup, with the assignments unless there is an error."""
    is_ok = error is ErrorCode.none
    for member in group.members.values():
        response = SyncResponse(
            error=error,
            protocol_type=group.protocol_type if is_ok else None,
            protocol_name=group.protocol_name if is_ok else None,
            assignment=member.assignment,
        )
        if group.answer_sync(member, response, effects):
            # A session that ran out while the member waited was forgiven and has no timer.
            group.restart_session(member, now, effects)


def _set_join_timer(group: Group, now: Instant, effects: Effects) -> None:
    effects.set_timer(
        group.timer_key(TimerKind.JOIN), now.monotonic_ms + group.rebalance_timeout_ms
    )
