"""One transactional id: its stored transaction, the change on its way, and the legal changes.

A change is a new `TransactionValue`, which counts once its record is stored. Until then it is
*pending*, and everybody is told to wait (CONCURRENT_TRANSACTIONS).

    from                                    to
    ──────────────────────────────────────────────────────────────────────────────────────────────
    Empty, CompleteCommit, CompleteAbort    Empty (InitProducerId), Ongoing (first partition)
    Ongoing                                 Ongoing (more partitions), PrepareCommit, PrepareAbort
    Empty, CompleteCommit, CompleteAbort    PrepareAbort (transactions v2, nothing was written)
    PrepareCommit                           CompleteCommit (all markers are written)
    PrepareAbort                            CompleteAbort
    Empty, CompleteCommit, CompleteAbort    Dead (a tombstone: nobody has used it for long)

PrepareEpochFence is Kafka's name for the moment in which an ongoing transaction is taken from its
producer; it is never stored, and here it has no duration.
"""

from dataclasses import dataclass
from typing import Final

from barnabas.state.effects import NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Producer
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.records import (
    EPOCH_BUMP,
    NO_TIMESTAMP,
    TransactionState,
    TransactionValue,
)

INT16_MAX: Final = 2**15 - 1
LAST_CLIENT_EPOCH: Final = INT16_MAX - 1
"""Clients get no later one, so that a producer can always be fenced by one more."""

_IDLE: Final = frozenset(
    {TransactionState.EMPTY, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT}
)
_PREPARED: Final = frozenset({TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT})
VALID_PREVIOUS_STATES: Final = {
    TransactionState.EMPTY: _IDLE,
    TransactionState.ONGOING: _IDLE | {TransactionState.ONGOING},
    TransactionState.PREPARE_COMMIT: frozenset({TransactionState.ONGOING}),
    TransactionState.PREPARE_ABORT: _IDLE | {TransactionState.ONGOING},
    TransactionState.COMPLETE_COMMIT: frozenset({TransactionState.PREPARE_COMMIT}),
    TransactionState.COMPLETE_ABORT: frozenset({TransactionState.PREPARE_ABORT}),
    TransactionState.DEAD: _IDLE,
}


def is_epoch_exhausted(producer_epoch: int) -> bool:
    """Whether clients get no later epoch than this one."""
    return producer_epoch >= LAST_CLIENT_EPOCH


@dataclass(slots=True)
class Transaction:
    """The transactions of one transactional id."""

    transactional_id: str
    value: TransactionValue
    pending: TransactionValue | None = None

    @property
    def state(self) -> TransactionState:
        """The state that is stored."""
        return self.value.state

    @property
    def producer(self) -> Producer:
        """The producer that is stored."""
        return Producer(self.value.producer_id, self.value.producer_epoch)

    @property
    def is_new(self) -> bool:
        """Whether nothing of it has been stored yet."""
        return self.value.producer_epoch == NO_PRODUCER_EPOCH

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open."""
        return self.state in _IDLE

    @property
    def is_prepared(self) -> bool:
        """Whether its end is decided, and markers are outstanding."""
        return self.state in _PREPARED

    @property
    def is_changing(self) -> bool:
        """Whether a change is on its way. A decided end is: its producer goes on as what it will be
        when the markers are written, perhaps with a new producer id, which must not be refused.
        """
        return self.pending is not None or self.is_prepared

    @property
    def is_epoch_exhausted(self) -> bool:
        """Whether the producer id has no later epoch for clients."""
        return is_epoch_exhausted(self.value.producer_epoch)

    def begin(self, value: TransactionValue) -> None:
        """Notes that the record of `value` is being appended."""
        assert self.pending is None
        assert self.state in VALID_PREVIOUS_STATES[value.state]
        self.pending = value

    def commit(self) -> None:
        """Notes that it is stored."""
        assert self.pending is not None
        self.value, self.pending = self.pending, None

    def roll_back(self) -> None:
        """Notes that it could not be stored."""
        self.pending = None

    # -- the changes; none of them changes `self`

    def with_next_epoch(
        self, expected_epoch: int | None, timeout_ms: int, steady_ms: int
    ) -> TransactionValue | None:
        """For InitProducerId: the epoch after this one; None if `expected_epoch` is fenced.

        A client that repeats a request whose answer it has not got has the last epoch, and gets the
        current one again.
        """
        old = self.value
        bumped = old.producer_epoch + 1
        if expected_epoch is None:
            epoch, last_epoch = bumped, NO_PRODUCER_EPOCH
        elif old.producer_epoch in (NO_PRODUCER_EPOCH, expected_epoch):
            epoch, last_epoch = bumped, old.producer_epoch
        elif expected_epoch == old.last_producer_epoch:
            epoch, last_epoch = old.producer_epoch, old.last_producer_epoch
        else:
            return None
        producer = Producer(old.producer_id, epoch)
        return self._initialized(producer, last_epoch, timeout_ms, steady_ms)

    def with_new_producer_id(
        self, producer_id: int, timeout_ms: int, steady_ms: int, *, keeps_last_epoch: bool
    ) -> TransactionValue:
        """For InitProducerId when the epochs are used up."""
        last_epoch = self.value.producer_epoch if keeps_last_epoch else NO_PRODUCER_EPOCH
        return self._initialized(Producer(producer_id, 0), last_epoch, timeout_ms, steady_ms)

    def _initialized(
        self, producer: Producer, last_epoch: int, timeout_ms: int, steady_ms: int
    ) -> TransactionValue:
        return self.value._replace(
            producer_id=producer.producer_id,
            producer_epoch=producer.producer_epoch,
            last_producer_epoch=last_epoch,
            previous_producer_id=self.value.producer_id,
            timeout_ms=timeout_ms,
            state=TransactionState.EMPTY,
            partitions=frozenset(),
            start_timestamp_ms=NO_TIMESTAMP,
            last_update_timestamp_ms=steady_ms,
        )

    def with_partitions(
        self, partitions: frozenset[TopicPartition], steady_ms: int, client_transaction_version: int
    ) -> TransactionValue:
        """For AddPartitionsToTxn: a transaction that includes `partitions`."""
        return self.value._replace(
            state=TransactionState.ONGOING,
            partitions=self.value.partitions | partitions,
            start_timestamp_ms=steady_ms if self.is_idle else self.value.start_timestamp_ms,
            last_update_timestamp_ms=steady_ms,
            client_transaction_version=client_transaction_version,
        )

    def prepared(
        self,
        is_commit: bool,
        steady_ms: int,
        client_transaction_version: int,
        next_producer_id: int = NO_PRODUCER_ID,
    ) -> TransactionValue:
        """For EndTxn, or a transaction taken from its producer: the end is decided.

        With transactions v2 the markers already have the next epoch, so that what the producer sent
        before it is refused after them; `next_producer_id` is needed when that epoch is the last.
        """
        old = self.value
        epoch, last_epoch = old.producer_epoch, old.last_producer_epoch
        if client_transaction_version >= EPOCH_BUMP:
            epoch, last_epoch = min(epoch + 1, INT16_MAX), epoch
        return old._replace(
            producer_epoch=epoch,
            last_producer_epoch=last_epoch,
            next_producer_id=next_producer_id,
            state=(
                TransactionState.PREPARE_COMMIT if is_commit else TransactionState.PREPARE_ABORT
            ),
            start_timestamp_ms=steady_ms if self.is_idle else old.start_timestamp_ms,
            last_update_timestamp_ms=steady_ms,
            client_transaction_version=client_transaction_version,
        )

    def completed(self, steady_ms: int) -> TransactionValue:
        """When all markers are written."""
        old = self.value
        is_commit = old.state is TransactionState.PREPARE_COMMIT
        completed = old._replace(
            state=(
                TransactionState.COMPLETE_COMMIT if is_commit else TransactionState.COMPLETE_ABORT
            ),
            partitions=frozenset(),
            last_update_timestamp_ms=steady_ms,
        )
        if old.client_transaction_version < EPOCH_BUMP:
            return completed
        completed = completed._replace(previous_producer_id=old.producer_id)
        if old.next_producer_id == NO_PRODUCER_ID:
            return completed
        return completed._replace(
            producer_id=old.next_producer_id,
            producer_epoch=0,
            next_producer_id=NO_PRODUCER_ID,
        )
