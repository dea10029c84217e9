"""EndTxn: what the state of a transaction says to a wish to end it."""

from typing import NamedTuple

from kio.schema.errors import ErrorCode

from barnabas.state.txn.records import EPOCH_BUMP, TransactionState
from barnabas.state.txn.requests import EndRequest
from barnabas.state.txn.transaction import LAST_CLIENT_EPOCH, Transaction


class Verdict(NamedTuple):
    """Whether to decide the end; if not, `error` is the answer, which may be none: it is done."""

    is_new: bool
    error: ErrorCode = ErrorCode.none


_COMPLETE = frozenset({TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT})
_DECIDE = Verdict(True)
_DONE = Verdict(False)
_WAIT = Verdict(False, ErrorCode.concurrent_transactions)
_INVALID = Verdict(False, ErrorCode.invalid_txn_state)
_FENCED = Verdict(False, ErrorCode.producer_fenced)
_OTHER_ID = Verdict(False, ErrorCode.invalid_producer_id_mapping)


# What a producer that asks with the epoch of the transaction is told, by (state, is_commit).
_CLASSIC = {
    (TransactionState.ONGOING, True): _DECIDE,
    (TransactionState.ONGOING, False): _DECIDE,
    (TransactionState.COMPLETE_COMMIT, True): _DONE,
    (TransactionState.COMPLETE_ABORT, False): _DONE,
}
# With an epoch of its own for each transaction, by whether the end asked for before was a commit.
_ASKED_AGAIN = {
    (TransactionState.COMPLETE_COMMIT, True): _DONE,
    (TransactionState.COMPLETE_ABORT, False): _DONE,
}
_ASKED_ANEW = {
    (TransactionState.ONGOING, True): _DECIDE,
    (TransactionState.ONGOING, False): _DECIDE,
    # Nothing was written in it, as far as the coordinator knows.
    (TransactionState.EMPTY, False): _DECIDE,
    (TransactionState.COMPLETE_COMMIT, False): _DECIDE,
    (TransactionState.COMPLETE_ABORT, False): _DECIDE,
}


def judge(transaction: Transaction, request: EndRequest) -> Verdict:
    """What a client's EndTxn is to lead to."""
    if request.client_transaction_version >= EPOCH_BUMP:
        return _judge_with_epoch_bump(transaction, request)
    value = transaction.value
    if value.producer_id != request.producer.producer_id:
        return _OTHER_ID
    if value.producer_epoch != request.producer.producer_epoch:
        return _FENCED
    if transaction.is_changing:
        return _WAIT
    return _CLASSIC.get((value.state, request.is_commit), _INVALID)


def _judge_with_epoch_bump(transaction: Transaction, request: EndRequest) -> Verdict:
    """The epoch grows with each end: a client that asks again has the last one, and one that has
    the current one begins the next transaction, perhaps by aborting it before it has written.
    """
    if transaction.is_changing:
        return _WAIT
    value = transaction.value
    producer_id, epoch = request.producer
    is_after_overflow = (
        value.previous_producer_id == producer_id
        and epoch == LAST_CLIENT_EPOCH
        and value.producer_epoch == 0
    )
    if value.producer_id != producer_id and not is_after_overflow:
        return _OTHER_ID
    is_complete = value.state in _COMPLETE
    is_repeated = value.producer_epoch == epoch + 1 or (is_complete and is_after_overflow)
    if is_repeated and is_complete:
        return _ASKED_AGAIN.get((value.state, request.is_commit), _INVALID)
    if value.producer_epoch != epoch:
        return _FENCED
    return _ASKED_ANEW.get((value.state, request.is_commit), _INVALID)
