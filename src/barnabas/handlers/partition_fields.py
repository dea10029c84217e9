"""A partition as Metadata and DescribeTopicPartitions describe it."""

from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.metadata.records import PartitionRecord


def partition_fields(partition: PartitionRecord) -> dict[str, Any]:
    """The fields that both answers share: leader, epoch, replicas and ISR."""
    return {
        "error_code": ErrorCode.none,
        "partition_index": partition.partition,
        "leader_id": partition.replicas[0],
        "leader_epoch": partition.leader_epoch,
        "replica_nodes": partition.replicas,
        "isr_nodes": partition.replicas,
    }
