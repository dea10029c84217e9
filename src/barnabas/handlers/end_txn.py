"""EndTxn (API key 26), versions 0-5: commits or aborts a transaction (KIP-98).

Answered when the decision is stored; the markers follow. From version 5 on each end bumps the
producer's epoch, and the answer has what the producer goes on as (KIP-890).
"""

from functools import partial

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.fencing import producer_response
from barnabas.handlers.pending import PendingReply
from barnabas.state.effects import Producer
from barnabas.state.txn.records import CLASSIC, EPOCH_BUMP
from barnabas.state.txn.requests import EndRequest, ProducerResponse

EPOCH_BUMP_FROM_VERSION = 5
FENCED_FROM_VERSION = 2

_encode = partial(producer_response, fenced_from_version=FENCED_FROM_VERSION)


def handle(call: Call) -> Response:
    """Passes the request on and answers when the coordinator does."""
    request = call.request
    end = EndRequest(
        transactional_id=request.transactional_id,
        producer=Producer(request.producer_id, request.producer_epoch),
        is_commit=request.committed,
        client_transaction_version=(
            EPOCH_BUMP if call.version >= EPOCH_BUMP_FROM_VERSION else CLASSIC
        ),
    )
    reply = PendingReply(partial(_encode, call))
    call.services.transactions.end(end, reply)
    return reply


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    return _encode(call, ProducerResponse(error))
