"""OffsetCommit, TxnOffsetCommit, OffsetDelete, and the expiry of unused offsets (KIP-211)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from kio.schema.errors import ErrorCode

from barnabas.state.effects import TOMBSTONES_PER_APPEND, Producer, Token
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.effects import Effects, Instant
from barnabas.state.group.group import Group, GroupState
from barnabas.state.group.member import UNKNOWN_MEMBER_ID
from barnabas.state.group.offsets import PartitionOffset, is_expired
from barnabas.state.group.records import (
    NO_TIMESTAMP,
    NO_TOPIC_ID,
    CommittedOffset,
    GroupRecord,
    OffsetRecord,
    Record,
)
from barnabas.state.group.responses import CommitResponse, DeleteOffsetsResponse

DEFAULT_RETENTION = -1
INT64_MAX = 2**63 - 1
COMMITTED = CommitResponse()


class OffsetToCommit(NamedTuple):
    """One partition of an OffsetCommit request."""

    topic: str
    partition: int
    offset: int
    leader_epoch: int
    metadata: str
    topic_id: bytes = NO_TOPIC_ID


@dataclass(slots=True, kw_only=True)
class CommitRequest:
    """OffsetCommitRequest or TxnOffsetCommitRequest. The coordinator takes partitions that do not
    exist out before the state machine sees it.
    """

    group_id: str
    generation_id: int  # -1: the client is no member of a group
    member_id: str
    group_instance_id: str | None
    retention_ms: int  # versions 2 to 4, else DEFAULT_RETENTION
    knows_group_id_not_found: bool  # version 9 and up
    offsets: list[OffsetToCommit]
    producer: Producer | None = None  # whose transaction the offsets are part of (KIP-98, KIP-447)


class TransactionEnd(NamedTuple):
    """The append of a marker; `token` waits for it."""

    producer_id: int
    is_commit: bool
    token: Token


class OffsetsAppend(NamedTuple):
    """The append of committed offsets; the OffsetCommit waits for it."""

    group_id: str
    token: Token
    offsets: list[PartitionOffset]
    rejected: dict[tuple[str, int], ErrorCode] | None
    producer: Producer | None = None


@dataclass(frozen=True, slots=True)
class TombstonesAppend:
    """The append of tombstones for `partitions` and, with `deletes_group`, for the group."""

    group_id: str
    partitions: tuple[tuple[str, int], ...]
    deletes_group: bool
    token: Token | None = None
    response: object = None


def commit_error(group: Group, request: CommitRequest) -> ErrorCode:
    """Why this client may not commit in this group now, or none."""
    if group.state is GroupState.DEAD:
        return ErrorCode.coordinator_not_available
    if request.generation_id < 0 and group.state is GroupState.EMPTY:
        return ErrorCode.none  # an administrator, or a consumer that assigns partitions itself
    is_anonymous = (
        request.generation_id < 0
        and request.member_id == UNKNOWN_MEMBER_ID
        and request.group_instance_id is None
    )
    if request.producer is not None and is_anonymous:
        return ErrorCode.none  # before KIP-447 producers could not say who consumes for them
    error = group.member_error(request.member_id, request.group_instance_id)
    if error is ErrorCode.none and request.generation_id != group.generation_id:
        error = ErrorCode.illegal_generation
    is_between_generations = group.state is GroupState.COMPLETING_REBALANCE
    if error is ErrorCode.none and is_between_generations and request.producer is None:
        error = ErrorCode.rebalance_in_progress
    return error


def commit_offsets(
    group: Group,
    request: CommitRequest,
    token: Token,
    *,
    now: Instant,
    config: GroupConfig,
    effects: Effects,
) -> None:
    """Handles an OffsetCommit that `commit_error` lets pass. It also counts as a heartbeat."""
    member = group.members.get(request.member_id)
    if member is not None:
        member.session_deadline_ms = now.monotonic_ms + member.session_timeout_ms
    expire_timestamp_ms = (
        NO_TIMESTAMP
        if request.retention_ms == DEFAULT_RETENTION
        else min(max(now.wall_ms + request.retention_ms, 0), INT64_MAX)
    )
    accepted: list[PartitionOffset] = []
    rejected: dict[tuple[str, int], ErrorCode] = {}
    for topic, partition, offset, leader_epoch, metadata, topic_id in request.offsets:
        if len(metadata) > config.offset_metadata_max_bytes:
            rejected[topic, partition] = ErrorCode.offset_metadata_too_large
            continue
        value = CommittedOffset(
            offset, leader_epoch, metadata, now.wall_ms, expire_timestamp_ms, topic_id
        )
        accepted.append(PartitionOffset(topic, partition, value))
    if not accepted:
        effects.reply(token, CommitResponse(rejected=rejected or None))
        return
    group.offsets.begin(accepted)
    effects.append(
        [OffsetRecord(group.group_id, *offset) for offset in accepted],
        OffsetsAppend(group.group_id, token, accepted, rejected or None, request.producer),
        request.producer,
    )


def offsets_appended(group: Group, outcome: OffsetsAppend, effects: Effects) -> None:
    """The offsets are stored: they count from now on, or once their transaction is committed."""
    group.offsets.end(outcome.offsets)
    for topic, partition, value in outcome.offsets:
        if outcome.producer is None:
            group.offsets.put(topic, partition, value)
        else:
            group.offsets.put_pending(outcome.producer.producer_id, topic, partition, value)
    response = COMMITTED if outcome.rejected is None else CommitResponse(rejected=outcome.rejected)
    effects.reply(outcome.token, response)


def offsets_append_failed(
    group: Group, outcome: OffsetsAppend, error: ErrorCode, effects: Effects
) -> None:
    """The offsets are not stored: nothing changes, and the client learns why."""
    group.offsets.end(outcome.offsets)
    effects.reply(outcome.token, CommitResponse(error=error))


def delete_offsets(
    group: Group, partitions: Iterable[tuple[str, int]], token: Token, effects: Effects
) -> None:
    """Handles an OffsetDelete: topics that members read are refused."""
    error = ErrorCode.none
    if group.state is GroupState.DEAD:
        error = ErrorCode.group_id_not_found
    elif group.state is not GroupState.EMPTY and not group.uses_consumer_protocol:
        error = ErrorCode.non_empty_group
    if error is not ErrorCode.none:
        effects.reply(token, DeleteOffsetsResponse(error=error))
        return
    removed: list[tuple[str, int]] = []
    rejected: dict[tuple[str, int], ErrorCode] = {}
    for topic, partition in partitions:
        if group.is_subscribed_to(topic):
            rejected[topic, partition] = ErrorCode.group_subscribed_to_topic
        elif group.offsets.has(topic, partition):
            removed.append((topic, partition))
    response = DeleteOffsetsResponse(rejected=rejected)
    if removed:
        append_tombstones(group, removed, effects, token=token, response=response)
    else:
        effects.reply(token, response)


def append_tombstones(
    group: Group,
    partitions: Iterable[tuple[str, int]],
    effects: Effects,
    *,
    deletes_group: bool = False,
    token: Token | None = None,
    response: object = None,
) -> None:
    """Appends tombstones for the offsets of `partitions` and, on request, for the group."""
    partitions = tuple(partitions)
    while len(partitions) > TOMBSTONES_PER_APPEND:
        now, partitions = partitions[:TOMBSTONES_PER_APPEND], partitions[TOMBSTONES_PER_APPEND:]
        append_tombstones(group, now, effects)
    records: list[Record] = [OffsetRecord(group.group_id, *key, None) for key in partitions]
    if deletes_group:
        records.append(GroupRecord(group.group_id, None))
    effects.append(
        records, TombstonesAppend(group.group_id, partitions, deletes_group, token, response)
    )


def expired_partitions(group: Group, now: Instant, config: GroupConfig) -> list[tuple[str, int]]:
    """The partitions whose offsets are past `offsets.retention.minutes`.

    The time counts from the last commit or, for a group that had members, from when it lost the
    last one. Offsets of topics that members subscribe to never expire.
    """
    if group.protocol_type is None:
        since_ms = NO_TIMESTAMP
    elif group.state is GroupState.EMPTY:
        since_ms = group.state_timestamp_ms
    elif group.state is GroupState.STABLE and group.subscribed_topics is not None:
        since_ms = NO_TIMESTAMP
    else:
        return []
    return [
        (topic, partition)
        for topic, partition, value in group.offsets
        if not group.is_subscribed_to(topic)
        and not group.offsets.is_unstable(topic, partition)
        and is_expired(
            value,
            value.commit_timestamp_ms if since_ms == NO_TIMESTAMP else since_ms,
            now.wall_ms,
            config.offsets_retention_ms,
        )
    ]
