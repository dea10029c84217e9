"""A classic consumer group: its state table, its members and their protocols.

The operations of clients (join, sync, leave, …) are in modules of their own; this one keeps a group
consistent whatever they do. Invariants:

- Empty has no members; a group with members has a leader among them.
- `num_awaiting_join` counts the members with a parked JoinGroup.
- All members share at least one protocol, so one can always be selected.
"""

import enum
from collections import Counter
from collections.abc import Iterable

from kio.schema.errors import ErrorCode

from barnabas.state.effects import Token
from barnabas.state.group.effects import Effects, Instant, TimerKey, TimerKind
from barnabas.state.group.member import Member, Protocol
from barnabas.state.group.offsets import OffsetStore
from barnabas.state.group.records import NO_TIMESTAMP, GroupValue
from barnabas.state.group.responses import JoinedMember, JoinResponse, SyncResponse
from barnabas.state.group.subscription import CONSUMER_PROTOCOL_TYPE, subscribed_topics


class GroupState(enum.Enum):
    """The states of a classic group, by the names Kafka's tools show."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"  # waiting for the members to (re)join
    COMPLETING_REBALANCE = "CompletingRebalance"  # waiting for the leader's assignment
    STABLE = "Stable"
    DEAD = "Dead"  # its tombstone is being written


_PREVIOUS_STATES: dict[GroupState, frozenset[GroupState]] = {
    # From Dead when the tombstone could not be written.
    GroupState.EMPTY: frozenset({GroupState.PREPARING_REBALANCE, GroupState.DEAD}),
    GroupState.PREPARING_REBALANCE: frozenset(
        {GroupState.EMPTY, GroupState.COMPLETING_REBALANCE, GroupState.STABLE}
    ),
    GroupState.COMPLETING_REBALANCE: frozenset({GroupState.PREPARING_REBALANCE}),
    GroupState.STABLE: frozenset({GroupState.COMPLETING_REBALANCE}),
    GroupState.DEAD: frozenset({GroupState.EMPTY}),
}


class Group:
    """One group. `protocol_type` is None for a simple group: one that only stores offsets."""

    def __init__(self, group_id: str, state_timestamp_ms: int = NO_TIMESTAMP) -> None:
        self.group_id = group_id
        self.state = GroupState.EMPTY
        self.previous_state = GroupState.EMPTY
        self.state_timestamp_ms = state_timestamp_ms
        self.generation_id = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.leader_id: str | None = None
        self.members: dict[str, Member] = {}
        self.static_members: dict[str, str] = {}  # group instance id -> member id
        self.pending_members: set[str] = set()  # told their id, not yet back with it
        self.pending_sync_members: set[str] = set()
        self.num_awaiting_join = 0
        self.offsets = OffsetStore()
        # None: not known, so that no committed offset may be considered unused.
        self.subscribed_topics: frozenset[str] | None = None
        # Of the initial rebalance: what is left of the time in which more members may join.
        self.new_member_added = False
        self.initial_delay_ms = 0
        self.initial_remaining_ms = 0
        self._supported_protocols: Counter[str] = Counter()

    # -- state

    def is_in(self, *states: GroupState) -> bool:
        """Whether the group is in one of `states`."""
        return self.state in states

    def transition_to(self, state: GroupState, now: Instant) -> None:
        """Moves to `state`, which the table must allow. A group whose deletion fails has been Empty
        all the time.
        """
        assert self.state in _PREVIOUS_STATES[state], f"{self.state} -> {state}"
        self.previous_state = self.state
        self.state = state
        if GroupState.DEAD not in (state, self.previous_state):
            self.state_timestamp_ms = now.wall_ms

    @property
    def can_rebalance(self) -> bool:
        """Whether a rebalance may start now (one is not already being prepared)."""
        return self.state in _PREVIOUS_STATES[GroupState.PREPARING_REBALANCE]

    @property
    def is_simple(self) -> bool:
        """Whether it only stores offsets and nobody is joining it."""
        return (
            self.protocol_type is None
            and self.state is GroupState.EMPTY
            and not self.pending_members
        )

    @property
    def has_all_members_joined(self) -> bool:
        """Whether the join phase waits for nobody any more."""
        return len(self.members) == self.num_awaiting_join and not self.pending_members

    @property
    def uses_consumer_protocol(self) -> bool:
        """Whether the members are consumers, so that their subscriptions can be read."""
        return self.protocol_type == CONSUMER_PROTOCOL_TYPE

    @property
    def rebalance_timeout_ms(self) -> int:
        """The longest of the members' rebalance timeouts."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def timer_key(self, kind: TimerKind, member_id: str = "") -> TimerKey:
        """The key of a timer of this group."""
        return TimerKey(self.group_id, kind, member_id)

    # -- members

    def add(self, member: Member) -> None:
        """Adds a member, which must support the group's protocols."""
        assert member.member_id not in self.members
        if member.group_instance_id is not None:
            assert member.group_instance_id not in self.static_members
            self.static_members[member.group_instance_id] = member.member_id
        if not self.members:
            self.protocol_type = member.protocol_type
        if self.leader_id is None:
            self.leader_id = member.member_id
        self.members[member.member_id] = member
        self._supported_protocols.update(member.protocol_names)
        self.num_awaiting_join += member.awaiting_join is not None
        self.pending_members.discard(member.member_id)

    def remove(self, member_id: str, effects: Effects) -> None:
        """Removes a member or a pending member, cancels its timer and answers what it has parked
        with UNKNOWN_MEMBER_ID, which makes a client that still lives start anew.
        """
        self.pending_members.discard(member_id)
        self.pending_sync_members.discard(member_id)
        effects.cancel_timer(self.timer_key(TimerKind.SESSION, member_id))
        member = self.members.get(member_id)
        if member is None:
            return
        self.answer_join(member, JoinResponse(error=ErrorCode.unknown_member_id), effects)
        self.answer_sync(member, SyncResponse(error=ErrorCode.unknown_member_id), effects)
        del self.members[member_id]
        self._supported_protocols.subtract(member.protocol_names)
        self._supported_protocols = +self._supported_protocols
        if member.group_instance_id is not None:
            del self.static_members[member.group_instance_id]
        if self.leader_id == member_id:
            self.leader_id = next(iter(self.members), None)

    def update_member(
        self,
        member: Member,
        protocols: tuple[Protocol, ...],
        rebalance_timeout_ms: int,
        session_timeout_ms: int,
    ) -> None:
        """Replaces what a member supports and its timeouts."""
        self._supported_protocols.subtract(member.protocol_names)
        member.protocols = protocols
        self._supported_protocols.update(member.protocol_names)
        self._supported_protocols = +self._supported_protocols
        member.rebalance_timeout_ms = rebalance_timeout_ms
        member.session_timeout_ms = session_timeout_ms

    def replace_static_member(
        self, group_instance_id: str, new_member_id: str, effects: Effects
    ) -> Member:
        """Gives a static member a new id; whoever still waits under the old one is fenced."""
        old_member_id = self.static_members[group_instance_id]
        member = self.members[old_member_id]
        fenced = ErrorCode.fenced_instance_id
        self.answer_join(member, JoinResponse(error=fenced, member_id=old_member_id), effects)
        self.answer_sync(member, SyncResponse(error=fenced), effects)
        effects.cancel_timer(self.timer_key(TimerKind.SESSION, old_member_id))
        del self.members[old_member_id]
        member.member_id = new_member_id
        member.is_new = False
        member.session_wakeup_ms = None
        self.members[new_member_id] = member
        self.static_members[group_instance_id] = new_member_id
        if self.leader_id == old_member_id:
            self.leader_id = new_member_id
        if old_member_id in self.pending_sync_members:
            self.pending_sync_members.remove(old_member_id)
            self.pending_sync_members.add(new_member_id)
        return member

    def member_error(self, member_id: str, group_instance_id: str | None) -> ErrorCode:
        """UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID if this is no member, else none."""
        if group_instance_id is not None:
            current = self.static_members.get(group_instance_id)
            if current is None:
                return ErrorCode.unknown_member_id
            if current != member_id:
                return ErrorCode.fenced_instance_id
        return ErrorCode.none if member_id in self.members else ErrorCode.unknown_member_id

    def elect_joined_leader(self) -> bool:
        """Makes sure that the leader is one that has rejoined; False if nobody has."""
        leader = self.members.get(self.leader_id or "")
        if leader is not None and leader.awaiting_join is not None:
            return True
        for member in self.members.values():
            if member.awaiting_join is not None:
                self.leader_id = member.member_id
                return True
        return False

    # -- parked requests

    def park_join(self, member: Member, token: Token, effects: Effects) -> None:
        """Lets a JoinGroup wait for the end of the join phase."""
        if member.awaiting_join is None:
            self.num_awaiting_join += 1
        else:  # a retry: the client no longer waits for the earlier one
            retried = JoinResponse(
                error=ErrorCode.rebalance_in_progress, member_id=member.member_id
            )
            effects.reply(member.awaiting_join, retried)
        member.awaiting_join = token

    def park_sync(self, member: Member, token: Token, effects: Effects) -> None:
        """Lets a SyncGroup wait for the leader's assignment."""
        if member.awaiting_sync is not None:
            retried = SyncResponse(error=ErrorCode.rebalance_in_progress)
            effects.reply(member.awaiting_sync, retried)
        member.awaiting_sync = token

    def answer_join(self, member: Member, response: JoinResponse, effects: Effects) -> bool:
        """Answers a member's parked JoinGroup; False if there is none."""
        if member.awaiting_join is None:
            return False
        effects.reply(member.awaiting_join, response)
        member.awaiting_join = None
        self.num_awaiting_join -= 1
        return True

    def answer_sync(self, member: Member, response: SyncResponse, effects: Effects) -> bool:
        """Answers a member's parked SyncGroup; False if there is none."""
        if member.awaiting_sync is None:
            return False
        effects.reply(member.awaiting_sync, response)
        member.awaiting_sync = None
        return True

    # -- timers of members

    def restart_session(
        self, member: Member, now: Instant, effects: Effects, timeout_ms: int | None = None
    ) -> None:
        """Gives a member its session timeout (or `timeout_ms`) from now on."""
        timeout_ms = member.session_timeout_ms if timeout_ms is None else timeout_ms
        deadline_ms = now.monotonic_ms + timeout_ms
        member.session_deadline_ms = deadline_ms
        if member.session_wakeup_ms is None or deadline_ms < member.session_wakeup_ms:
            member.session_wakeup_ms = deadline_ms
            effects.set_timer(self.timer_key(TimerKind.SESSION, member.member_id), deadline_ms)

    # -- protocols

    def supports_protocols(self, protocol_type: str, names: Iterable[str]) -> bool:
        """Whether someone with these protocols can be, or stay, a member."""
        if self.state is GroupState.EMPTY:
            return bool(protocol_type) and any(True for _ in names)
        return self.protocol_type == protocol_type and any(
            self._supported_protocols[name] == len(self.members) for name in names
        )

    def select_protocol(self) -> str:
        """The protocol all members support that most of them vote for. Needs a member."""
        candidates = {
            name
            for name, supporters in self._supported_protocols.items()
            if supporters == len(self.members)
        }
        votes = Counter(member.vote(candidates) for member in self.members.values())
        return votes.most_common(1)[0][0]

    def init_next_generation(self, now: Instant) -> None:
        """Ends the join phase: Empty without members, else CompletingRebalance."""
        self.generation_id += 1
        self.pending_sync_members.clear()
        self.protocol_name = self.select_protocol() if self.members else None
        self.subscribed_topics = self.compute_subscribed_topics()
        self.transition_to(
            GroupState.COMPLETING_REBALANCE if self.members else GroupState.EMPTY, now
        )

    def compute_subscribed_topics(self) -> frozenset[str] | None:
        """The topics the members subscribe to; None if their metadata cannot be read."""
        if not self.uses_consumer_protocol:
            return None
        topics: set[str] = set()
        for member in self.members.values():
            subscription = subscribed_topics(member.metadata(self.protocol_name))
            if subscription is None:
                return None
            topics |= subscription
        return frozenset(topics)

    def is_subscribed_to(self, topic: str) -> bool:
        """Whether a member may be reading `topic`: yes, if that is not known."""
        if self.subscribed_topics is None:
            return self.uses_consumer_protocol
        return topic in self.subscribed_topics

    # -- views

    def joined_members(self) -> tuple[JoinedMember, ...]:
        """The members with their metadata, for the leader to assign partitions to."""
        return tuple(
            JoinedMember(
                member.member_id, member.group_instance_id, member.metadata(self.protocol_name)
            )
            for member in self.members.values()
        )

    def join_response(
        self,
        member: Member,
        *,
        with_members: bool = False,
        leader_id: str | None = None,
        skip_assignment: bool = False,
    ) -> JoinResponse:
        """The outcome of the current generation's join phase for `member`."""
        return JoinResponse(
            generation_id=self.generation_id,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol_name,
            leader_id=(self.leader_id or "") if leader_id is None else leader_id,
            skip_assignment=skip_assignment,
            member_id=member.member_id,
            members=self.joined_members() if with_members else (),
        )

    def to_value(self, assignments: dict[str, bytes] | None = None) -> GroupValue:
        """What is persisted: with `assignments` by member id, else with those in force."""
        return GroupValue(
            protocol_type=self.protocol_type or "",
            generation_id=self.generation_id,
            protocol_name=self.protocol_name,
            leader_id=self.leader_id,
            state_timestamp_ms=self.state_timestamp_ms,
            members=tuple(
                member.to_value(
                    self.protocol_name,
                    member.assignment
                    if assignments is None
                    else assignments.get(member.member_id, b""),
                )
                for member in self.members.values()
            ),
        )
