"""A partition as Metadata and DescribeTopicPartitions describe it."""

from typing import Any, Final

from kio.schema.errors import ErrorCode

from barnabas.metadata.records import PartitionRecord

_NO_LEADER: Final = -1


def partition_fields(partition: PartitionRecord, *, is_offline: bool) -> dict[str, Any]:
    """The fields that both answers share: leader, epoch, replicas and ISR."""
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
