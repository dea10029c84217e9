"""The groups of one partition of `__consumer_offsets`: the entrance to the state machine.

Every public method handles one event and returns its `Effects`. Requests that may have to wait
carry a token; its one answer is in the effects of this event or of a later one. A request that is
refused changes nothing.
"""

from collections.abc import Iterable, Mapping, Set

from kio.schema.errors import ErrorCode

from barnabas.state.effects import CANNOT_BE_STORED, Marker, Producer, Token
from barnabas.state.group import commit as commits
from barnabas.state.group import join as joins
from barnabas.state.group import sync as syncs
from barnabas.state.group.admin import describe_group, list_groups
from barnabas.state.group.commit import (
    CommitRequest,
    OffsetsAppend,
    TombstonesAppend,
    TransactionEnd,
)
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.effects import Effects, Instant, TimerKey, TimerKind
from barnabas.state.group.group import Group, GroupState
from barnabas.state.group.join import Join, JoinRequest, StaticMemberAppend
from barnabas.state.group.liveness import Leaver, heartbeat, leave_group, on_session_timer
from barnabas.state.group.member import UNKNOWN_MEMBER_ID
from barnabas.state.group.rebalance import (
    EmptyGroupAppend,
    on_join_timer,
    on_sync_timer,
    prepare_rebalance,
)
from barnabas.state.group.records import CommittedOffset, OffsetRecord, Record
from barnabas.state.group.replay import replay
from barnabas.state.group.responses import (
    CommitResponse,
    DeleteOffsetsResponse,
    DescribedGroup,
    JoinResponse,
    LeaveResponse,
    LeftMember,
    ListedGroup,
    SyncResponse,
)
from barnabas.state.group.sync import AssignmentAppend, SyncRequest

Offsets = Mapping[str, Mapping[int, CommittedOffset]]


class GroupShard:
    """The state machine of the groups that live in one partition of `__consumer_offsets`."""

    def __init__(self, config: GroupConfig) -> None:
        self.config = config
        self.groups: dict[str, Group] = {}
        # By producer id: the groups that its open transaction has offsets of.
        self._open_transactions: dict[int, set[str]] = {}

    # -- membership

    def join(
        self, request: JoinRequest, token: Token, now: Instant, new_member_uuid: str
    ) -> Effects:
        """JoinGroup. Replies with a `JoinResponse`, perhaps when the join phase ends."""
        effects = Effects()
        config = self.config
        error = ErrorCode.none
        if not request.group_id:
            error = ErrorCode.invalid_group_id
        elif not (
            config.min_session_timeout_ms
            <= request.session_timeout_ms
            <= config.max_session_timeout_ms
        ):
            error = ErrorCode.invalid_session_timeout
        elif request.group_id not in self.groups and request.member_id != UNKNOWN_MEMBER_ID:
            error = ErrorCode.unknown_member_id
        if error is not ErrorCode.none:
            effects.reply(token, JoinResponse(error=error, member_id=request.member_id))
            return effects
        group = self.groups.get(request.group_id) or Group(request.group_id, now.wall_ms)
        joins.join_group(Join(group, request, token, now, config, effects), new_member_uuid)
        if group.members or group.pending_members:
            self.groups[group.group_id] = group
        return effects

    def sync(self, request: SyncRequest, token: Token, now: Instant) -> Effects:
        """SyncGroup. Replies with a `SyncResponse`, perhaps when the assignment is stored."""
        effects = Effects()
        group = self.groups.get(request.group_id)
        if not request.group_id:
            effects.reply(token, SyncResponse(error=ErrorCode.invalid_group_id))
        elif group is None or group.state is GroupState.EMPTY:
            effects.reply(token, SyncResponse(error=ErrorCode.unknown_member_id))
        else:
            syncs.sync_group(group, request, token, effects)
        return effects

    def heartbeat(
        self,
        group_id: str,
        member_id: str,
        group_instance_id: str | None,
        generation_id: int,
        monotonic_ms: int,
    ) -> ErrorCode:
        """Heartbeat. Answered at once."""
        group = self.groups.get(group_id)
        if group is None:
            return ErrorCode.unknown_member_id if group_id else ErrorCode.invalid_group_id
        return heartbeat(group, member_id, group_instance_id, generation_id, monotonic_ms)

    def leave(
        self, group_id: str, leavers: tuple[Leaver, ...], token: Token, now: Instant
    ) -> Effects:
        """LeaveGroup. Replies with a `LeaveResponse`: at once, or when it is stored that the group
        is empty.
        """
        effects = Effects()
        group = self.groups.get(group_id)
        if not group_id:
            effects.reply(token, LeaveResponse(error=ErrorCode.invalid_group_id))
        elif group is None:
            unknown = ErrorCode.unknown_member_id
            left = tuple(LeftMember(*leaver, unknown) for leaver in leavers)
            effects.reply(token, LeaveResponse(members=left))
        else:
            leave_group(group, leavers, token, now=now, config=self.config, effects=effects)
        return effects

    # -- offsets

    def commit(self, request: CommitRequest, token: Token, now: Instant) -> Effects:
        """OffsetCommit and, as part of a transaction, TxnOffsetCommit. Replies with a
        `CommitResponse` when the offsets are stored.
        """
        effects = Effects()
        group = self.groups.get(request.group_id)
        if group is not None:
            error = commits.commit_error(group, request)
        elif request.generation_id < 0:
            error = ErrorCode.none
            group = Group(request.group_id, now.wall_ms)
        elif request.knows_group_id_not_found:
            error = ErrorCode.group_id_not_found
        else:
            error = ErrorCode.illegal_generation
        if group is None or error is not ErrorCode.none:
            effects.reply(token, CommitResponse(error=error))
            return effects
        commits.commit_offsets(group, request, token, now=now, config=self.config, effects=effects)
        if effects.appends:
            self.groups[group.group_id] = group
        return effects

    def committed(self, group_id: str) -> Offsets:
        """All committed offsets of a group, by topic and partition (OffsetFetch)."""
        group = self.groups.get(group_id)
        return {} if group is None or group.state is GroupState.DEAD else group.offsets.topics()

    def is_unstable(self, group_id: str, topic: str, partition: int) -> bool:
        """Whether a commit for the partition is on its way, or part of an open transaction."""
        group = self.groups.get(group_id)
        return group is not None and group.offsets.is_unstable(topic, partition)

    def end_transaction(self, marker: Marker, token: Token) -> Effects:
        """The end of a producer's transaction. Replies with an `ErrorCode` when it is stored: its
        offsets count from then on, or are forgotten.
        """
        effects = Effects()
        end = TransactionEnd(marker.producer.producer_id, marker.is_commit, token)
        effects.append_marker(marker, end)
        return effects

    def _end_transaction(self, producer_id: int, is_commit: bool) -> None:
        for group_id in self._open_transactions.pop(producer_id, ()):
            group = self.groups.get(group_id)
            if group is None:
                continue
            group.offsets.end_transaction(producer_id, is_commit)
            if group.is_simple and not group.offsets:
                del self.groups[group_id]

    def delete_offsets(
        self, group_id: str, partitions: Iterable[tuple[str, int]], token: Token
    ) -> Effects:
        """OffsetDelete. Replies with a `DeleteOffsetsResponse` when the tombstones are stored."""
        effects = Effects()
        group = self.groups.get(group_id)
        if not group_id:
            effects.reply(token, DeleteOffsetsResponse(error=ErrorCode.invalid_group_id))
        elif group is None:
            effects.reply(token, DeleteOffsetsResponse(error=ErrorCode.group_id_not_found))
        else:
            commits.delete_offsets(group, partitions, token, effects)
        return effects

    def expire(self, now: Instant) -> Effects:
        """Drops offsets past their retention, and Empty groups that have none left."""
        effects = Effects()
        for group in self.groups.values():
            if group.state is GroupState.DEAD:
                continue
            expired = commits.expired_partitions(group, now, self.config)
            is_unused = (
                group.state is GroupState.EMPTY
                and not group.pending_members
                and len(expired) == len(group.offsets.all_partitions())
            )
            if is_unused:
                group.transition_to(GroupState.DEAD, now)
            if expired or is_unused:
                commits.append_tombstones(group, expired, effects, deletes_group=is_unused)
        return effects

    def delete_topics(self, topics: Set[str]) -> Effects:
        """Drops all offsets of topics that are no more."""
        effects = Effects()
        for group in self.groups.values():
            partitions = group.offsets.partitions_of(topics)
            if partitions and group.state is not GroupState.DEAD:
                commits.append_tombstones(group, partitions, effects)
        return effects

    # -- administration

    def describe(self, group_id: str) -> DescribedGroup | None:
        """DescribeGroups, for one group; None if there is no such group."""
        group = self.groups.get(group_id)
        return None if group is None else describe_group(group)

    def listed(self, states: Iterable[str] = (), types: Iterable[str] = ()) -> list[ListedGroup]:
        """ListGroups, for the groups of this shard."""
        return list_groups(self.groups.values(), states, types)

    def delete_group(self, group_id: str, token: Token, now: Instant) -> Effects:
        """DeleteGroups, for one group. Replies with an `ErrorCode`."""
        effects = Effects()
        group = self.groups.get(group_id)
        if group is None or group.state is GroupState.DEAD:
            effects.reply(token, ErrorCode.group_id_not_found)
        elif group.state is not GroupState.EMPTY:
            effects.reply(token, ErrorCode.non_empty_group)
        else:
            group.transition_to(GroupState.DEAD, now)
            commits.append_tombstones(
                group,
                group.offsets.all_partitions(),
                effects,
                deletes_group=True,
                token=token,
                response=ErrorCode.none,
            )
        return effects

    # -- what the driver feeds back

    def on_timer(self, key: TimerKey, now: Instant) -> Effects:
        """A timer set by earlier effects has fired."""
        effects = Effects()
        group = self.groups.get(key.group_id)
        if group is None or group.state is GroupState.DEAD:
            return effects
        if key.kind is TimerKind.SESSION:
            on_session_timer(group, key.member_id, now, self.config, effects)
        elif key.kind is TimerKind.JOIN:
            on_join_timer(group, now, self.config, effects)
        else:
            on_sync_timer(group, now, self.config, effects)
        return effects

    def appended(self, outcome: object, now: Instant) -> Effects:
        """The append with this outcome is stored."""
        effects = Effects()
        match outcome:
            case OffsetsAppend(group_id=group_id):
                commits.offsets_appended(self.groups[group_id], outcome, effects)
                self._note_open_transaction(group_id, outcome.producer)
            case TransactionEnd(producer_id=producer_id, is_commit=is_commit, token=token):
                self._end_transaction(producer_id, is_commit)
                effects.reply(token, ErrorCode.none)
            case EmptyGroupAppend(token=token, response=response) if token is not None:
                effects.reply(token, response)
            case AssignmentAppend(group_id=group_id) if group_id in self.groups:
                syncs.assignment_appended(self.groups[group_id], outcome, now, effects)
            case StaticMemberAppend(group_id=group_id) if group_id in self.groups:
                joins.static_member_appended(self.groups[group_id], outcome, now, effects)
            case TombstonesAppend():
                self._tombstones_appended(outcome, effects)
        return effects

    def append_failed(self, outcome: object, error: ErrorCode, now: Instant) -> Effects:
        """The append with this outcome is not stored; `error` is what clients are to be told."""
        effects = Effects()
        if error is CANNOT_BE_STORED:
            if isinstance(outcome, TombstonesAppend):
                # What cannot be written has never been stored: memory is all there is to clear.
                self._tombstones_appended(outcome, effects)
                return effects
            error = ErrorCode.unknown_server_error
        match outcome:
            case TransactionEnd(token=token):
                effects.reply(token, error)
            case EmptyGroupAppend(token=token) if token is not None:
                effects.reply(token, LeaveResponse(error=error))
            case OffsetsAppend(group_id=group_id):
                group = self.groups[group_id]
                commits.offsets_append_failed(group, outcome, error, effects)
                if group.is_simple and not group.offsets:
                    del self.groups[group_id]
            case AssignmentAppend(group_id=group_id) if group_id in self.groups:
                syncs.assignment_append_failed(
                    self.groups[group_id],
                    outcome,
                    error,
                    now=now,
                    config=self.config,
                    effects=effects,
                )
            case StaticMemberAppend(group_id=group_id) if group_id in self.groups:
                joins.static_member_append_failed(
                    self.groups[group_id], outcome, error, now, effects
                )
            case TombstonesAppend():
                self._tombstones_append_failed(outcome, error, now, effects)
        return effects

    def _tombstones_appended(self, outcome: TombstonesAppend, effects: Effects) -> None:
        group = self.groups.get(outcome.group_id)
        if group is not None:
            for topic, partition in outcome.partitions:
                group.offsets.remove(topic, partition)
        if outcome.deletes_group:
            del self.groups[outcome.group_id]
        if outcome.token is not None:
            effects.reply(outcome.token, outcome.response)

    def _tombstones_append_failed(
        self, outcome: TombstonesAppend, error: ErrorCode, now: Instant, effects: Effects
    ) -> None:
        if outcome.deletes_group:
            group = self.groups[outcome.group_id]
            group.transition_to(GroupState.EMPTY, now)
        if outcome.token is not None:
            effects.reply(
                outcome.token,
                error if outcome.deletes_group else DeleteOffsetsResponse(error=error),
            )

    # -- loading

    def replay(self, record: Record, producer: Producer | None = None) -> None:
        """Applies a record read back from the log, before any request is let in. `producer`: the
        record is part of a transaction of its.
        """
        replay(self.groups, record, producer)
        if isinstance(record, OffsetRecord):
            self._note_open_transaction(record.group_id, producer)

    def replay_marker(self, marker: Marker) -> None:
        """Applies the end of a transaction read back from the log."""
        self._end_transaction(marker.producer.producer_id, marker.is_commit)

    def _note_open_transaction(self, group_id: str, producer: Producer | None) -> None:
        if producer is not None:
            self._open_transactions.setdefault(producer.producer_id, set()).add(group_id)

    def loaded(self, now: Instant) -> Effects:
        """The log has been read: members have a session timeout to show that they still live."""
        effects = Effects()
        for group in self.groups.values():
            for member in group.members.values():
                group.restart_session(member, now, effects)
            if len(group.members) > self.config.max_size:
                prepare_rebalance(group, now, self.config, effects)
        return effects

    def unloaded(self) -> Effects:
        """The log is no more, and the groups with it: members have to look for a coordinator."""
        effects = Effects()
        error = ErrorCode.not_coordinator
        for group in self.groups.values():
            for member in group.members.values():
                unjoined = JoinResponse(error=error, member_id=member.member_id)
                group.answer_join(member, unjoined, effects)
                group.answer_sync(member, SyncResponse(error=error), effects)
        return effects
