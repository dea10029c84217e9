"""AddOffsetsToTxn (API key 25), versions 0-4: a transaction that commits offsets of a group.

Adds the group's partition of `__consumer_offsets` to the transaction (KIP-98). Clients of
transactions v2 leave it to TxnOffsetCommit.
"""

from functools import partial

from kio.schema.errors import ErrorCode

from barnabas.errors import KafkaError
from barnabas.handlers.call import Call, Response
from barnabas.handlers.fencing import told_to_producer
from barnabas.handlers.pending import PendingReply
from barnabas.state.effects import Producer
from barnabas.state.txn.records import CLASSIC
from barnabas.state.txn.requests import AddRequest

FENCED_FROM_VERSION = 2


def handle(call: Call) -> Response:
    """Passes the request on and answers when the coordinator does."""
    return _answer(call)


async def _answer(call: Call) -> bytes:
    try:
        await call.services.groups.ensure_topic()
    except KafkaError:
        return error_response(call, ErrorCode.coordinator_not_available)
    request = call.request
    add = AddRequest(
        transactional_id=request.transactional_id,
        producer=Producer(request.producer_id, request.producer_epoch),
        partitions=frozenset({call.services.groups.partition_of(request.group_id)}),
        client_transaction_version=CLASSIC,
    )
    reply = PendingReply(partial(error_response, call))
    call.services.transactions.add_partitions(add, reply)
    return await reply


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer, which is an error or none."""
    return call.response(
        error_code=told_to_producer(error, call.version, fenced_from_version=FENCED_FROM_VERSION)
    )
