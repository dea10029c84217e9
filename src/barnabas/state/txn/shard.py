"""The transactions of one partition of `__transaction_state`: the entrance to the state machine.

Every public method handles one event and returns its `Effects`, or an answer at once. Requests that
wait carry a token; its one answer is in the effects of this event or of a later one. A request that
is refused changes nothing. `steady_ms` is the wall clock as it was when the broker started, gone on
evenly since then: setting the clock does not move it, and records carry it. `new_producer_id` is an
id never used before, to be given when `needs_producer_id` says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kio.schema.errors import ErrorCode

from barnabas.state.effects import (
    CANNOT_BE_STORED,
    NO_PRODUCER_ID,
    TOMBSTONES_PER_APPEND,
    Producer,
    Token,
)
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.config import TransactionConfig
from barnabas.state.txn.effects import AddedPartitions, Effects, EndMarkers
from barnabas.state.txn.end import judge
from barnabas.state.txn.records import (
    EPOCH_BUMP,
    NO_TIMEOUT_MS,
    TransactionRecord,
    TransactionState,
    TransactionValue,
)
from barnabas.state.txn.requests import (
    AddRequest,
    DescribedTransaction,
    EndRequest,
    InitRequest,
    ListedTransaction,
    ListFilter,
    ProducerResponse,
)
from barnabas.state.txn.transaction import Transaction, is_epoch_exhausted

Verified = Mapping[TopicPartition, ErrorCode]


@dataclass(frozen=True, slots=True)
class Change:
    """The append of a transactional id's pending value. `token` gets `response` when it is stored;
    without a response, the producer to go on as.
    """

    transactional_id: str
    token: Token | None = None
    response: object = None
    added: frozenset[TopicPartition] = frozenset()


@dataclass(frozen=True, slots=True)
class Expiry:
    """The append of tombstones."""

    transactional_ids: tuple[str, ...]


class TransactionShard:
    """The state machine of the transactional ids of one partition of `__transaction_state`."""

    def __init__(self, config: TransactionConfig) -> None:
        self.config = config
        self.transactions: dict[str, Transaction] = {}

    def needs_producer_id(self, transactional_id: str, *, is_init: bool = False) -> bool:
        """Whether EndTxn or a timeout, or InitProducerId, needs a new producer id for it."""
        transaction = self.transactions.get(transactional_id)
        return is_init if transaction is None else transaction.is_epoch_exhausted

    # -- InitProducerId

    def init(
        self,
        request: InitRequest,
        token: Token,
        steady_ms: int,
        new_producer_id: int = NO_PRODUCER_ID,
    ) -> Effects:
        """InitProducerId. Replies with a `ProducerResponse`, when the new epoch is stored."""
        effects = Effects()
        transaction = self.transactions.get(request.transactional_id)
        error = ErrorCode.none
        if not request.transactional_id:
            error = ErrorCode.invalid_request
        elif not 0 < request.timeout_ms <= self.config.max_timeout_ms:
            error = ErrorCode.invalid_transaction_timeout
        elif transaction is None:
            if new_producer_id == NO_PRODUCER_ID:
                error = ErrorCode.coordinator_load_in_progress
            else:
                transaction = self._new_transaction(request, new_producer_id, steady_ms)
        elif transaction.is_changing:
            error = ErrorCode.concurrent_transactions
        elif not _is_known_producer(transaction, request.producer):
            error = ErrorCode.producer_fenced
        if error is ErrorCode.none:
            assert transaction is not None
            if transaction.state is TransactionState.ONGOING:
                response = ProducerResponse(ErrorCode.concurrent_transactions)
                error = self._abort(
                    transaction, steady_ms, new_producer_id, token, response, effects=effects
                )
            else:
                error = self._init(
                    transaction, request, token, steady_ms, new_producer_id, effects=effects
                )
        if error is not ErrorCode.none:
            effects.reply(token, ProducerResponse(error))
        return effects

    def _new_transaction(
        self, request: InitRequest, producer_id: int, steady_ms: int
    ) -> Transaction:
        value = TransactionValue(
            producer_id=producer_id,
            timeout_ms=request.timeout_ms,
            last_update_timestamp_ms=steady_ms,
        )
        return Transaction(request.transactional_id, value)

    def _init(
        self,
        transaction: Transaction,
        request: InitRequest,
        token: Token,
        steady_ms: int,
        new_producer_id: int,
        *,
        effects: Effects,
    ) -> ErrorCode:
        """Gives the producer its next epoch; why not."""
        expected = None if request.producer is None else request.producer.producer_epoch
        value: TransactionValue | None
        if transaction.is_epoch_exhausted and expected in (None, transaction.value.producer_epoch):
            if new_producer_id == NO_PRODUCER_ID:
                return ErrorCode.coordinator_load_in_progress
            value = transaction.with_new_producer_id(
                new_producer_id,
                request.timeout_ms,
                steady_ms,
                keeps_last_epoch=expected is not None,
            )
        else:
            value = transaction.with_next_epoch(expected, request.timeout_ms, steady_ms)
        if value is None:
            return ErrorCode.producer_fenced
        self.transactions[request.transactional_id] = transaction
        self._append(transaction, value, effects, token)
        return ErrorCode.none

    # -- partitions

    def add_partitions(self, request: AddRequest, token: Token, steady_ms: int) -> Effects:
        """AddPartitionsToTxn, AddOffsetsToTxn. Replies with an `ErrorCode`, when it is stored."""
        effects = Effects()
        transaction = self.transactions.get(request.transactional_id)
        error = ErrorCode.none
        if not request.transactional_id:
            error = ErrorCode.invalid_request
        elif transaction is None:
            error = ErrorCode.invalid_producer_id_mapping
        elif transaction.is_changing:
            error = ErrorCode.concurrent_transactions
        else:
            error = _producer_error(transaction, request.producer)
        if transaction is None or error is not ErrorCode.none:
            effects.reply(token, error)
        elif (
            transaction.state is TransactionState.ONGOING
            and request.partitions <= transaction.value.partitions
        ):
            effects.reply(token, ErrorCode.none)
        else:
            value = transaction.with_partitions(
                request.partitions, steady_ms, request.client_transaction_version
            )
            self._append(
                transaction, value, effects, token, ErrorCode.none, added=request.partitions
            )
        return effects

    def verify_partitions(self, request: AddRequest) -> Verified:
        """AddPartitionsToTxn that only asks: for each partition whether it is in the transaction.

        A change that is on its way does not matter: a partition's log looks once more when it
        appends.
        """
        transaction = self.transactions.get(request.transactional_id)
        if not request.transactional_id:
            error = ErrorCode.invalid_request
        elif transaction is None:
            error = ErrorCode.invalid_producer_id_mapping
        else:
            error = _producer_error(transaction, request.producer)
        if transaction is None or error is not ErrorCode.none:
            return dict.fromkeys(request.partitions, error)
        present = transaction.value.partitions
        return {
            partition: (ErrorCode.none if partition in present else ErrorCode.transaction_abortable)
            for partition in request.partitions
        }

    # -- the end

    def end(
        self,
        request: EndRequest,
        token: Token,
        steady_ms: int,
        new_producer_id: int = NO_PRODUCER_ID,
    ) -> Effects:
        """EndTxn. Replies with a `ProducerResponse`, when the decision is stored."""
        effects = Effects()
        transaction = self.transactions.get(request.transactional_id)
        error = ErrorCode.none
        if not request.transactional_id:
            error = ErrorCode.invalid_request
        elif transaction is None or (transaction.is_new and transaction.pending is None):
            error = ErrorCode.invalid_producer_id_mapping
        if transaction is None or error is not ErrorCode.none:
            effects.reply(token, ProducerResponse(error))
            return effects
        verdict = judge(transaction, request)
        if not verdict.is_new:
            is_done = verdict.error is ErrorCode.none
            response = ProducerResponse(producer=transaction.producer) if is_done else None
            effects.reply(token, response or ProducerResponse(verdict.error))
            return effects
        version = request.client_transaction_version
        next_producer_id = NO_PRODUCER_ID
        if version >= EPOCH_BUMP and transaction.is_epoch_exhausted:
            if new_producer_id == NO_PRODUCER_ID:
                effects.reply(token, ProducerResponse(ErrorCode.coordinator_load_in_progress))
                return effects
            next_producer_id = new_producer_id
        value = transaction.prepared(request.is_commit, steady_ms, version, next_producer_id)
        self._append(transaction, value, effects, token)
        return effects

    def timed_out(self, steady_ms: int) -> list[str]:
        """The transactional ids whose transaction is to be aborted by `abort_timed_out`."""
        return [
            transaction.transactional_id
            for transaction in self.transactions.values()
            if _is_timed_out(transaction, steady_ms)
        ]

    def abort_timed_out(
        self, transactional_id: str, steady_ms: int, new_producer_id: int = NO_PRODUCER_ID
    ) -> Effects:
        """Takes a transaction that has timed out from its producer, and aborts it."""
        effects = Effects()
        transaction = self.transactions.get(transactional_id)
        if transaction is not None and _is_timed_out(transaction, steady_ms):
            # Without an id for what comes after, the next round tries again.
            self._abort(transaction, steady_ms, new_producer_id, effects=effects)
        return effects

    def _abort(
        self,
        transaction: Transaction,
        steady_ms: int,
        new_producer_id: int,
        token: Token | None = None,
        response: object = None,
        *,
        effects: Effects,
    ) -> ErrorCode:
        """Decides to abort what is not the producer's any more: its next epoch fences it."""
        next_producer_id = NO_PRODUCER_ID
        if transaction.is_epoch_exhausted:
            if new_producer_id == NO_PRODUCER_ID:
                return ErrorCode.coordinator_load_in_progress
            next_producer_id = new_producer_id
        value = transaction.prepared(False, steady_ms, EPOCH_BUMP, next_producer_id)
        self._append(transaction, value, effects, token, response)
        return ErrorCode.none

    def complete(self, markers: EndMarkers, steady_ms: int) -> Effects:
        """All markers of a transaction's end are written, or need not be."""
        effects = Effects()
        transaction = self.transactions.get(markers.transactional_id)
        if (
            transaction is not None
            and transaction.is_prepared
            and transaction.pending is None
            and transaction.producer == markers.producer
        ):
            self._append(transaction, transaction.completed(steady_ms), effects)
        return effects

    # -- administration

    def describe(self, transactional_id: str) -> DescribedTransaction | None:
        """DescribeTransactions, for one transactional id; None if it is not known."""
        transaction = self.transactions.get(transactional_id)
        if transaction is None or transaction.is_new:
            return None
        return DescribedTransaction(transactional_id, transaction.value)

    def listed(self, wanted: ListFilter, steady_ms: int) -> list[ListedTransaction]:
        """ListTransactions, for the transactional ids of this shard."""
        found = []
        for transaction in self.transactions.values():
            value = transaction.value
            if (
                not transaction.is_new
                and (not wanted.producer_ids or value.producer_id in wanted.producer_ids)
                and (not wanted.states or value.state.value in wanted.states)
                and (
                    wanted.longer_than_ms < 0
                    or steady_ms - value.start_timestamp_ms > wanted.longer_than_ms
                )
            ):
                found.append(
                    ListedTransaction(transaction.transactional_id, value.producer_id, value.state)
                )
        return found

    def expire(self, steady_ms: int) -> Effects:
        """Forgets transactional ids that nobody has used for `transactional.id.expiration.ms`."""
        effects = Effects()
        latest_ms = steady_ms - self.config.id_expiration_ms
        expired = [
            transaction
            for transaction in self.transactions.values()
            if transaction.is_idle
            and transaction.pending is None
            and transaction.value.last_update_timestamp_ms <= latest_ms
        ]
        for start in range(0, len(expired), TOMBSTONES_PER_APPEND):
            ids = []
            for transaction in expired[start : start + TOMBSTONES_PER_APPEND]:
                transaction.begin(transaction.value._replace(state=TransactionState.DEAD))
                ids.append(transaction.transactional_id)
            effects.append([TransactionRecord(name, None) for name in ids], Expiry(tuple(ids)))
        return effects

    # -- what the driver feeds back

    def _append(
        self,
        transaction: Transaction,
        value: TransactionValue,
        effects: Effects,
        token: Token | None = None,
        response: object = None,
        *,
        added: frozenset[TopicPartition] = frozenset(),
    ) -> None:
        transaction.begin(value)
        transactional_id = transaction.transactional_id
        effects.append(
            [TransactionRecord(transactional_id, value)],
            Change(transactional_id, token, response, added),
        )

    def appended(self, outcome: object, steady_ms: int) -> Effects:
        """The append with this outcome is stored."""
        effects = Effects()
        match outcome:
            case Expiry(transactional_ids=ids):
                for transactional_id in ids:
                    del self.transactions[transactional_id]
            case Change(transactional_id, token, response, added):
                transaction = self.transactions[transactional_id]
                transaction.commit()
                after = transaction.value
                if added:
                    effects.added.append(
                        AddedPartitions(transactional_id, transaction.producer, added)
                    )
                if transaction.is_prepared:
                    effects.markers.append(_markers(transaction))
                    after = transaction.completed(steady_ms)  # the client goes on as that
                if token is not None:
                    producer = Producer(after.producer_id, after.producer_epoch)
                    told = ProducerResponse(producer=producer) if response is None else response
                    effects.reply(token, told)
        return effects

    def append_failed(self, outcome: object, error: ErrorCode) -> Effects:
        """The append with this outcome is not stored; `error` is what clients are to be told."""
        effects = Effects()
        match outcome:
            case Expiry(transactional_ids=ids):
                for transactional_id in ids:
                    self.transactions[transactional_id].roll_back()
            case Change(transactional_id=transactional_id, token=token, response=response):
                transaction = self.transactions[transactional_id]
                transaction.roll_back()
                if transaction.is_new:
                    del self.transactions[transactional_id]
                elif transaction.is_prepared:
                    effects.retries.append(_markers(transaction))
                if token is not None:
                    told = ErrorCode.unknown_server_error if error is CANNOT_BE_STORED else error
                    is_code = isinstance(response, ErrorCode)
                    effects.reply(token, told if is_code else ProducerResponse(told))
        return effects

    # -- loading

    def replay(self, record: TransactionRecord) -> None:
        """Applies a record read back from the log, before any request is let in."""
        if record.value is None:
            self.transactions.pop(record.transactional_id, None)
        else:
            transaction = Transaction(record.transactional_id, record.value)
            self.transactions[record.transactional_id] = transaction

    def loaded(self, steady_ms: int) -> Effects:
        """The log has been read: what was decided is finished. A transaction that began later than
        now did so before the clock was set back: its time counts from now on.
        """
        effects = Effects()
        for transaction in self.transactions.values():
            if transaction.is_prepared:
                effects.markers.append(_markers(transaction))
            elif transaction.value.start_timestamp_ms > steady_ms:
                transaction.value = transaction.value._replace(start_timestamp_ms=steady_ms)
        return effects


def _is_known_producer(transaction: Transaction, producer: Producer | None) -> bool:
    """Whether what the client says it was is what it was; its epoch is looked at later (KIP-360).

    After the epochs were used up the client may not have heard of its new producer id yet.
    """
    value = transaction.value
    return (
        producer is None
        or transaction.is_new
        or producer.producer_id == value.producer_id
        or (
            producer.producer_id == value.previous_producer_id
            and is_epoch_exhausted(producer.producer_epoch)
        )
    )


def _producer_error(transaction: Transaction, producer: Producer) -> ErrorCode:
    """Why a producer may not write in the transaction now."""
    if transaction.value.producer_id != producer.producer_id:
        return ErrorCode.invalid_producer_id_mapping
    if transaction.value.producer_epoch != producer.producer_epoch:
        return ErrorCode.producer_fenced
    if transaction.is_prepared:
        return ErrorCode.concurrent_transactions
    return ErrorCode.none


def _is_timed_out(transaction: Transaction, steady_ms: int) -> bool:
    value = transaction.value
    return (
        value.state is TransactionState.ONGOING
        and transaction.pending is None
        and value.timeout_ms != NO_TIMEOUT_MS
        and value.start_timestamp_ms + value.timeout_ms < steady_ms
    )


def _markers(transaction: Transaction) -> EndMarkers:
    value = transaction.value
    return EndMarkers(
        transaction.transactional_id,
        transaction.producer,
        value.state is TransactionState.PREPARE_COMMIT,
        tuple(sorted(value.partitions)),
        value.client_transaction_version,
    )
