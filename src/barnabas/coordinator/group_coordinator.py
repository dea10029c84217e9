"""GroupCoordinator: finds the partition of a group, and looks after all partitions.

Requests come as the state machine's values with a `reply` callback, which is called exactly once,
perhaps before the method returns. A partition that is being loaded says so instead of answering as
if its groups did not exist.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from kio.schema.errors import ErrorCode

from barnabas.coordinator.partitions import CoordinatorPartitions, CoordinatorTopic
from barnabas.coordinator.routing import partition_for
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.records import NO_TOPIC_ID
from barnabas.state.group.responses import (
    CommitResponse,
    DeleteOffsetsResponse,
    DescribedGroup,
    JoinResponse,
    LeaveResponse,
    ListedGroup,
    SyncResponse,
)
from barnabas.state.internal_topics import CONSUMER_OFFSETS
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.units import MS_PER_S

if TYPE_CHECKING:  # a broker without groups does not wait for these
    from barnabas.coordinator.group_partition import GroupPartition
    from barnabas.coordinator.hand_over import HandOver
    from barnabas.coordinator.partition_log import PartitionLog
    from barnabas.state.effects import Marker
    from barnabas.state.group.commit import CommitRequest, OffsetToCommit
    from barnabas.state.group.join import JoinRequest
    from barnabas.state.group.liveness import Leaver
    from barnabas.state.group.shard import Offsets
    from barnabas.state.group.sync import SyncRequest


class OffsetsTopic(CoordinatorTopic, Protocol):
    """`__consumer_offsets`, and what the coordinator needs to know of other topics."""

    def has_topic(self, topic: str) -> bool:
        """Whether a topic exists."""

    def topic_id(self, topic: str) -> bytes | None:
        """None when there is no such topic here."""

    def partition_error(self, topic: str, partition: int, topic_id: bytes) -> ErrorCode:
        """Why nothing can be committed for a partition: UNKNOWN_TOPIC_OR_PARTITION, or
        UNKNOWN_TOPIC_ID when the topic of that name is not the one with the id, if there is one.
        """


class GroupCoordinator:
    """All groups of this broker. To be used on the broker loop's thread only."""

    def __init__(
        self,
        core: PartitionLog,
        hand_over: HandOver,
        config: GroupConfig,
        offsets_topic: OffsetsTopic,
    ) -> None:
        self._core = core
        self._hand_over = hand_over
        self._config = config
        self._offsets_topic = offsets_topic
        self._loop: asyncio.AbstractEventLoop  # from start() on
        self._partitions: CoordinatorPartitions[GroupPartition] = CoordinatorPartitions(
            offsets_topic, self._make_partition
        )
        self._expiry: asyncio.TimerHandle | None = None

    # -- life

    async def start(self) -> None:
        """Starts reading `__consumer_offsets` back, in the background. Until a group's partition
        has been read, requests for the group are told to wait.
        """
        self._loop = asyncio.get_running_loop()
        self._schedule_expiry()
        self._partitions.start(self._drop_orphans)

    async def ensure_topic(self) -> None:
        """Creates `__consumer_offsets` if it does not exist, and takes requests from then on."""
        await self._partitions.ensure_topic()

    @property
    def is_open(self) -> bool:
        """Whether `__consumer_offsets` exists."""
        return bool(self._partitions)

    async def stop(self) -> None:
        """Stops timers and loading. Parked requests are not answered: connections close anyway."""
        if self._expiry is not None:
            self._expiry.cancel()
        await self._partitions.stop()

    # -- membership

    def join(self, request: JoinRequest, reply: Callable[[JoinResponse], None]) -> None:
        """JoinGroup."""
        partition, error = self._partitions.find(request.group_id)
        if partition is None:
            reply(JoinResponse(error=error, member_id=request.member_id))
            return
        now, member_uuid = partition.now(), str(uuid.uuid4())
        partition.perform(partition.machine.join(request, reply, now, member_uuid))

    def sync(self, request: SyncRequest, reply: Callable[[SyncResponse], None]) -> None:
        """SyncGroup."""
        partition, error = self._partitions.find(request.group_id)
        if partition is None:
            reply(SyncResponse(error=error))
            return
        partition.perform(partition.machine.sync(request, reply, partition.now()))

    def heartbeat(
        self, group_id: str, member_id: str, group_instance_id: str | None, generation_id: int
    ) -> ErrorCode:
        """Heartbeat."""
        partition, error = self._partitions.find(group_id)
        if partition is None:
            # A member of a group that is being loaded must not think that it was thrown out.
            is_loading = error is ErrorCode.coordinator_load_in_progress
            return ErrorCode.none if is_loading else error
        return partition.machine.heartbeat(
            group_id, member_id, group_instance_id, generation_id, partition.monotonic_ms()
        )

    def leave(
        self, group_id: str, leavers: tuple[Leaver, ...], reply: Callable[[LeaveResponse], None]
    ) -> None:
        """LeaveGroup."""
        partition, error = self._partitions.find(group_id)
        if partition is None:
            reply(LeaveResponse(error=error))
            return
        partition.perform(partition.machine.leave(group_id, leavers, reply, partition.now()))

    # -- offsets

    def commit(
        self,
        request: CommitRequest,
        reply: Callable[[CommitResponse], None],
        error: ErrorCode = ErrorCode.none,
    ) -> None:
        """OffsetCommit, or TxnOffsetCommit with a producer. Offsets of partitions that do not exist
        are refused, each for itself; `error`: why the others are, too.
        """
        refused = self._refused(request.offsets)
        kept = [
            self._with_topic_id(offset)
            for offset in request.offsets
            if (offset.topic, offset.partition) not in refused
        ]
        partition = None
        if error is ErrorCode.none and kept:
            partition, error = self._partitions.find(request.group_id)
        if partition is None:
            reply(CommitResponse(error, refused or None))
            return
        request = replace(request, offsets=kept)
        if refused:
            reply = partial(_reply_with, refused, reply)
        partition.perform(partition.machine.commit(request, reply, partition.now()))

    def has_any(self, offsets: Collection[OffsetToCommit]) -> bool:
        """Whether one of the partitions, at least, exists."""
        refused = self._refused(offsets)
        return any((o.topic, o.partition) not in refused for o in offsets)

    def _refused(self, offsets: Iterable[OffsetToCommit]) -> dict[tuple[str, int], ErrorCode]:
        check = self._offsets_topic.partition_error
        return {
            (offset.topic, offset.partition): error
            for offset in offsets
            if (error := check(offset.topic, offset.partition, offset.topic_id))
            is not ErrorCode.none
        }

    def committed(self, group_id: str) -> tuple[Offsets, ErrorCode]:
        """OffsetFetch: all committed offsets of a group, by topic and partition. Those of an
        earlier topic of the same name, which its deletion could not reach, do not count.
        """
        partition, error = self._partitions.find(group_id)
        if partition is None:
            return {}, error
        return self._in_force(partition.machine.committed(group_id)), error

    def _in_force(self, offsets: Offsets) -> Offsets:
        stale = {}
        for topic, values in offsets.items():
            topic_id = self._offsets_topic.topic_id(topic)
            if topic_id is None or all(value.belongs_to(topic_id) for value in values.values()):
                continue
            stale[topic] = {p: v for p, v in values.items() if v.belongs_to(topic_id)}
        return {**offsets, **stale} if stale else offsets

    def _with_topic_id(self, offset: OffsetToCommit) -> OffsetToCommit:
        """A client may name a topic by name alone; the record says which one it was, unless it has
        a retention of its own: that one's format has no room for it.
        """
        topic_id = self._offsets_topic.topic_id(offset.topic)
        if offset.topic_id != NO_TOPIC_ID or topic_id is None:
            return offset
        return offset._replace(topic_id=topic_id)

    def is_unstable(self, group_id: str, topic: str, partition: int) -> bool:
        """Whether a commit for the partition is on its way to the log."""
        home, _ = self._partitions.find(group_id)
        return home is not None and home.machine.is_unstable(group_id, topic, partition)

    def partition_of(self, group_id: str) -> TopicPartition:
        """The partition of `__consumer_offsets`, which must exist, that a group lives in."""
        return TopicPartition(CONSUMER_OFFSETS, partition_for(group_id, len(self._partitions)))

    def end_transaction(
        self, partition: int, marker: Marker, reply: Callable[[ErrorCode], None]
    ) -> None:
        """Appends the end of a producer's transaction to a partition of `__consumer_offsets`: the
        offsets committed in it come into force, or are forgotten.
        """
        if partition >= len(self._partitions):
            reply(ErrorCode.unknown_topic_or_partition)
            return
        home = self._partitions[partition]
        if not home.is_active:
            reply(home.error)
            return
        home.perform(home.machine.end_transaction(marker, reply))

    def delete_offsets(
        self,
        group_id: str,
        partitions: Iterable[tuple[str, int]],
        reply: Callable[[DeleteOffsetsResponse], None],
    ) -> None:
        """OffsetDelete."""
        partition, error = self._partitions.find(group_id)
        if partition is None:
            reply(DeleteOffsetsResponse(error=error))
            return
        partition.perform(partition.machine.delete_offsets(group_id, partitions, reply))

    def on_topics_deleted(self, topics: Iterable[str]) -> None:
        """Drops the offsets of topics that are no more; what is loading does so afterwards."""
        gone = frozenset(topics)
        if CONSUMER_OFFSETS in gone:
            self._partitions.forget()
        for partition in self._partitions:
            if partition.is_active:
                partition.perform(partition.machine.delete_topics(gone))

    # -- administration

    def describe(self, group_id: str) -> tuple[DescribedGroup | None, ErrorCode]:
        """DescribeGroups: None without an error if there is no such group."""
        partition, error = self._partitions.find(group_id)
        return (None if partition is None else partition.machine.describe(group_id)), error

    def listed(
        self, states: Iterable[str] = (), types: Iterable[str] = ()
    ) -> tuple[list[ListedGroup], ErrorCode]:
        """ListGroups: all groups of this broker, or an error while some are being loaded. Those
        that cannot be, as of a log directory that is offline, are not among them.
        """
        states, types = list(states), list(types)
        groups: list[ListedGroup] = []
        for partition in self._partitions:
            if partition.is_active:
                groups.extend(partition.machine.listed(states, types))
            elif partition.error is ErrorCode.coordinator_load_in_progress:
                return [], partition.error
        return groups, ErrorCode.none

    def delete_group(self, group_id: str, reply: Callable[[ErrorCode], None]) -> None:
        """DeleteGroups, for one group."""
        partition, error = self._partitions.find(group_id)
        if partition is None:
            reply(error)
            return
        partition.perform(partition.machine.delete_group(group_id, reply, partition.now()))

    # -- partitions

    def _make_partition(self, partition: int) -> GroupPartition:
        from barnabas.coordinator.group_partition import GroupPartition

        return GroupPartition(self._loop, self._core, self._hand_over, partition, self._config)

    def _drop_orphans(self, partition: GroupPartition) -> None:
        """Drops offsets of topics that were deleted when the broker could not note it here: a new
        topic of that name must not be read from there.
        """
        topics = {
            topic
            for group in partition.machine.groups.values()
            for topic, _ in group.offsets.all_partitions()
        }
        gone = frozenset(topic for topic in topics if not self._offsets_topic.has_topic(topic))
        if gone:
            partition.perform(partition.machine.delete_topics(gone))

    def _schedule_expiry(self) -> None:
        delay_s = self._config.retention_check_interval_ms / MS_PER_S
        self._expiry = self._loop.call_later(delay_s, self._expire)

    def _expire(self) -> None:
        self.run_due()
        self._schedule_expiry()

    def run_due(self) -> None:
        """Makes the periodic check: drops offsets that have expired."""
        for partition in self._partitions:
            if partition.is_active:
                partition.perform(partition.machine.expire(partition.now()))


def _reply_with(
    refused: Mapping[tuple[str, int], ErrorCode],
    reply: Callable[[CommitResponse], None],
    response: CommitResponse,
) -> None:
    reply(CommitResponse(response.error, {**refused, **(response.rejected or {})}))
