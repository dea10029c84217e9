"""InitProducerId (API key 22), versions 0-5: an id for a producer (KIP-98, KIP-360).

Without a transactional id each request gets a new producer id with epoch 0, whatever id and epoch
the producer had. With one, the producer gets the next epoch of the transactional id, which fences
all earlier ones; a transaction that one of them left open is aborted first, during which the answer
is CONCURRENT_TRANSACTIONS. Version 3 recovers a producer by its id and epoch. While no ids can be
reserved, the answer is COORDINATOR_LOAD_IN_PROGRESS, as in Kafka.
"""

import logging
from functools import partial

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.fencing import producer_response
from barnabas.handlers.pending import PendingReply
from barnabas.metadata.store import StoreError
from barnabas.protocol.codec import timedelta_ms
from barnabas.state.effects import NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Producer
from barnabas.state.txn.requests import InitRequest, ProducerResponse

logger = logging.getLogger(__name__)

FENCED_FROM_VERSION = 4

_encode = partial(producer_response, fenced_from_version=FENCED_FROM_VERSION)


def handle(call: Call) -> Response:
    """Hands out the next producer id, or passes the request on to the coordinator."""
    request = call.request
    producer = Producer(
        getattr(request, "producer_id", NO_PRODUCER_ID),
        getattr(request, "producer_epoch", NO_PRODUCER_EPOCH),
    )
    has_id = producer.producer_id != NO_PRODUCER_ID
    has_epoch = producer.producer_epoch != NO_PRODUCER_EPOCH
    if has_id is not has_epoch:
        return error_response(call, ErrorCode.invalid_request)
    transactional_id = request.transactional_id
    if transactional_id is None:
        return _answer_idempotent(call)
    if not transactional_id:
        return error_response(call, ErrorCode.invalid_request)
    init = InitRequest(
        transactional_id=transactional_id,
        timeout_ms=timedelta_ms(request.transaction_timeout),
        producer=producer if has_id else None,
    )
    reply = PendingReply(partial(_encode, call))
    call.services.transactions.init(init, reply)
    return reply


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error, with no id."""
    return _encode(call, ProducerResponse(error))


def _answer_idempotent(call: Call) -> Response:
    producer_id = call.services.producer_ids.take()
    if producer_id is not None:
        return _encode(call, ProducerResponse(producer=Producer(producer_id, 0)))
    return _answer_from_new_block(call)


async def _answer_from_new_block(call: Call) -> bytes:
    try:
        producer_id = await call.services.producer_ids.next()
    except StoreError as error:
        # Clients ask again after this one; an unknown error would end an idempotent producer.
        logger.error("cannot reserve producer ids: %s", error)
        return error_response(call, ErrorCode.coordinator_load_in_progress)
    return _encode(call, ProducerResponse(producer=Producer(producer_id, 0)))
