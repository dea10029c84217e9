"""What a topic may be: names, partition counts, replicas; with Kafka's errors and messages.

Pure functions. The rules are org.apache.kafka.common.internals.Topic's and the KRaft controller's.
"""

import re
from collections.abc import Collection, Sequence
from typing import Final

from kio.schema.errors import ErrorCode

MAX_NAME_LENGTH: Final = 249
MAX_PARTITIONS_PER_REQUEST: Final = 10_000
"""Partitions that one CreateTopics or CreatePartitions request may make in all (KRaft's limit)."""

_LEGAL_NAME: Final = re.compile(r"[a-zA-Z0-9._-]+")


def topic_name_error(name: str) -> str | None:
    """Why `name` cannot be a topic's, in Kafka's words; None when it can."""
    if not name:
        return "the empty string is not allowed"
    if name in (".", ".."):
        return f"'{name}' is not allowed"
    if len(name) > MAX_NAME_LENGTH:
        return f"the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}"
    if not _LEGAL_NAME.fullmatch(name):
        return (
            f"'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' "
            "and '-'"
        )
    return None


def folded_name(name: str) -> str | None:
    """What metric names make of a name: names that fold to the same collide. None for a name that
    collides with nothing.
    """
    return name.replace(".", "_") if "." in name or "_" in name else None


def partition_count_error(count: int) -> str | None:
    """Why a topic cannot be made with `count` partitions (-1 stands for the default)."""
    if count == 0 or count < -1:
        return "Number of partitions was set to an invalid non-positive value."
    return None


def total_partitions_error(count: int) -> str | None:
    """Why one request cannot make `count` partitions in all."""
    if count > MAX_PARTITIONS_PER_REQUEST:
        return "Excessively large number of partitions per request."
    return None


def replication_factor_error(factor: int, brokers: int) -> str | None:
    """Why a topic cannot have `factor` replicas on `brokers` brokers (-1 is the default)."""
    if factor == 0 or factor < -1:
        return "Replication factor must be larger than 0, or -1 to use the default value."
    if factor > brokers:
        return (
            f"Unable to replicate the partition {factor} time(s): The target replication factor of "
            f"{factor} cannot be reached because only {brokers} broker(s) are registered or "
            "some brokers have all their log directories cordoned."
        )
    return None


def assignment_error(
    assignments: Sequence[tuple[int, Sequence[int]]], brokers: Collection[int]
) -> tuple[ErrorCode, str] | None:
    """What is wrong with a manual assignment of replicas (partition, brokers)."""
    invalid = ErrorCode.invalid_replica_assignment
    by_partition: dict[int, Sequence[int]] = {}
    for partition, replicas in assignments:
        if partition in by_partition:
            return (
                invalid,
                f"Found multiple manual partition assignments for partition {partition}",
            )
        by_partition[partition] = replicas
    if sorted(by_partition) != list(range(len(by_partition))):
        return invalid, "partitions should be a consecutive 0-based integer sequence"
    first = by_partition[0]
    for _, replicas in sorted(by_partition.items()):
        if error := replicas_error(replicas, brokers):
            return invalid, error
        if len(replicas) != len(first):
            return (
                invalid,
                "The manual partition assignment includes a partition with "
                f"{len(replicas)} replica(s), but this is not consistent with previous partitions, "
                f"which have {len(first)} replica(s).",
            )
    return None


def replicas_error(replicas: Sequence[int], brokers: Collection[int]) -> str | None:
    """Why one partition cannot be on these brokers."""
    if not replicas:
        return "The manual partition assignment includes an empty replica list."
    for replica in replicas:
        if replicas.count(replica) > 1:
            return f"The manual partition assignment includes the broker {replica} more than once."
        if replica not in brokers:
            return (
                f"The manual partition assignment includes broker {replica}, but no such broker is "
                "registered."
            )
    return None


def new_partition_count_error(topic: str, count: int, present: int) -> str | None:
    """Why a topic of `present` partitions cannot be grown to `count` (CreatePartitions)."""
    if count == present:
        return f"Topic already has {present} partition(s)."
    if count < present:
        return (
            f"The topic {topic} currently has {present} partition(s); {count} would not be an "
            "increase."
        )
    return None
