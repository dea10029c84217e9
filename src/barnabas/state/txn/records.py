"""The records of `__transaction_state` as the state machine sees them: values, not bytes.

`barnabas.coordinator.txn_records` turns them into Kafka's TransactionLogKey and -Value.
"""

import enum
from typing import NamedTuple

from barnabas.state.effects import NO_PRODUCER_EPOCH, NO_PRODUCER_ID
from barnabas.state.topic_partition import TopicPartition

NO_TIMESTAMP = -1
NO_TIMEOUT_MS = 2**31 - 1
"""A transaction of this timeout is never aborted by the coordinator."""

CLASSIC = 0
"""A client that adds partitions and keeps its epoch (`transaction.version` 0 and 1)."""
EPOCH_BUMP = 2
"""A client whose epoch grows with each transaction (`transaction.version` 2, KIP-890)."""


class TransactionState(enum.Enum):
    """The states, in the order of TransactionLogValue's TransactionStatus, by Kafka's names."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"
    DEAD = "Dead"
    PREPARE_EPOCH_FENCE = "PrepareEpochFence"


class TransactionValue(NamedTuple):
    """The newest transaction of a transactional id (TransactionLogValue).

    Timestamps in milliseconds since the epoch. The last producer epoch is not stored: it is what a
    client that has not heard of its new epoch still believes in.
    """

    producer_id: int
    timeout_ms: int
    last_update_timestamp_ms: int
    producer_epoch: int = NO_PRODUCER_EPOCH
    last_producer_epoch: int = NO_PRODUCER_EPOCH
    previous_producer_id: int = NO_PRODUCER_ID
    next_producer_id: int = NO_PRODUCER_ID  # takes over when the markers are written
    state: TransactionState = TransactionState.EMPTY
    partitions: frozenset[TopicPartition] = frozenset()
    start_timestamp_ms: int = NO_TIMESTAMP
    client_transaction_version: int = CLASSIC


class TransactionRecord(NamedTuple):
    """The newest transaction of a transactional id; a tombstone when `value` is None."""

    transactional_id: str
    value: TransactionValue | None
