"""What an operation on transactions asks of the world beside appends and replies: markers.

When all markers of an `EndMarkers` are written, or a retry is due, the driver calls
`TransactionShard.complete`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from barnabas.state import effects
from barnabas.state.effects import Producer
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.records import TransactionRecord


class EndMarkers(NamedTuple):
    """Write the marker of the end of a transaction to each partition, as often as it takes."""

    transactional_id: str
    producer: Producer
    is_commit: bool
    partitions: tuple[TopicPartition, ...]
    transaction_version: int


class AddedPartitions(NamedTuple):
    """They are in the producer's transaction now, and its marker is still to come."""

    transactional_id: str
    producer: Producer
    partitions: frozenset[TopicPartition]


@dataclass(slots=True)
class Effects(effects.Effects[TransactionRecord]):
    """Everything one event caused."""

    added: list[AddedPartitions] = field(default_factory=list)  # before the replies
    markers: list[EndMarkers] = field(default_factory=list)
    retries: list[EndMarkers] = field(default_factory=list)  # written, but not noted as such
