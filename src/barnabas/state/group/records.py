"""The records of `__consumer_offsets` as the state machine sees them: values, not bytes.

`barnabas.coordinator.group_records` turns them into Kafka's OffsetCommit and GroupMetadata records.
"""

from dataclasses import dataclass
from typing import NamedTuple

NO_LEADER_EPOCH = -1
NO_TIMESTAMP = -1
NO_TOPIC_ID = bytes(16)


class CommittedOffset(NamedTuple):
    """A committed offset (OffsetCommitValue). Timestamps in milliseconds since the epoch."""

    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp_ms: int
    expire_timestamp_ms: int = NO_TIMESTAMP  # set when the client asked for its own retention
    topic_id: bytes = NO_TOPIC_ID  # as Kafka's may be, which sets it for clients that name it so

    def belongs_to(self, topic_id: bytes) -> bool:
        """Whether it was committed for this topic, not for an earlier one of the same name."""
        return self.topic_id in (NO_TOPIC_ID, topic_id) or topic_id == NO_TOPIC_ID


class OffsetRecord(NamedTuple):
    """The committed offset of one partition; a tombstone when `value` is None."""

    group_id: str
    topic: str
    partition: int
    value: CommittedOffset | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberValue:
    """One member of a persisted generation (GroupMetadataValue.MemberMetadata)."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupValue:
    """A persisted generation (GroupMetadataValue)."""

    protocol_type: str
    generation_id: int
    protocol_name: str | None
    leader_id: str | None
    state_timestamp_ms: int
    members: tuple[MemberValue, ...]


class GroupRecord(NamedTuple):
    """The metadata of a group; a tombstone when `value` is None."""

    group_id: str
    value: GroupValue | None


Record = OffsetRecord | GroupRecord
