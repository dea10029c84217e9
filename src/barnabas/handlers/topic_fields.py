"""What Metadata and DescribeTopicPartitions both say of a topic and its partitions."""

from typing import Any, Final

from kio.schema.errors import ErrorCode

from barnabas.metadata.catalog import is_internal
from barnabas.metadata.records import PartitionRecord, TopicRecord
from barnabas.state.topics import topic_name_error

_NO_LEADER: Final = -1


def topic_fields(topic: TopicRecord) -> dict[str, Any]:
    """Of a topic that is there: its name and id."""
    return {
        "error_code": ErrorCode.none,
        "name": topic.name,
        "topic_id": topic.topic_id,
        "is_internal": is_internal(topic.name),
    }


def absent_topic_fields(name: str, error: ErrorCode | None = None) -> dict[str, Any]:
    """Of a topic that is not there; `error`: why, when something else is known than that."""
    if error is None:
        error = (
            ErrorCode.invalid_topic_exception
            if topic_name_error(name)
            else ErrorCode.unknown_topic_or_partition
        )
    return {"error_code": error, "name": name, "is_internal": is_internal(name)}


def partition_fields(partition: PartitionRecord, *, is_offline: bool) -> dict[str, Any]:
    """Of a partition: leader, epoch, replicas and ISR."""
    replicas = partition.replicas
    has_leader = bool(replicas) and not is_offline
    return {
        "error_code": ErrorCode.none if has_leader else ErrorCode.leader_not_available,
        "partition_index": partition.partition,
        "leader_id": replicas[0] if has_leader else _NO_LEADER,
        "leader_epoch": partition.leader_epoch,
        "replica_nodes": replicas,
        "isr_nodes": replicas,
        "offline_replicas": replicas if is_offline else (),
    }
