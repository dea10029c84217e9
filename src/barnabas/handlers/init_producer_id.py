"""InitProducerId (API key 22), versions 0-5: an id for an idempotent producer (KIP-98, KIP-360).

Without a transactional id each request gets a new producer id with epoch 0, whatever id and epoch
the producer had. There are no transactions yet: a request with a transactional id is refused with
UNSUPPORTED_VERSION, which clients take as final. While no ids can be reserved, the answer is
COORDINATOR_LOAD_IN_PROGRESS, as in Kafka.
"""

import logging

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.metadata.store import StoreError

logger = logging.getLogger(__name__)

NO_PRODUCER_ID = -1
NO_PRODUCER_EPOCH = -1


def handle(call: Call) -> Response:
    """Hands out the next producer id."""
    request = call.request
    has_id = getattr(request, "producer_id", NO_PRODUCER_ID) != NO_PRODUCER_ID
    has_epoch = getattr(request, "producer_epoch", NO_PRODUCER_EPOCH) != NO_PRODUCER_EPOCH
    if has_id is not has_epoch:
        return error_response(call, ErrorCode.invalid_request)
    transactional_id = request.transactional_id
    if transactional_id is not None:
        return error_response(
            call,
            ErrorCode.unsupported_version if transactional_id else ErrorCode.invalid_request,
        )
    producer_id = call.services.producer_ids.take()
    if producer_id is not None:
        return _answer(call, producer_id)
    return _answer_from_new_block(call)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error, with no id."""
    return call.response(
        error_code=error, producer_id=NO_PRODUCER_ID, producer_epoch=NO_PRODUCER_EPOCH
    )


async def _answer_from_new_block(call: Call) -> bytes:
    try:
        producer_id = await call.services.producer_ids.next()
    except StoreError as error:
        # Clients ask again after this one; an unknown error would end an idempotent producer.
        logger.error("cannot reserve producer ids: %s", error)
        return error_response(call, ErrorCode.coordinator_load_in_progress)
    return _answer(call, producer_id)


def _answer(call: Call, producer_id: int) -> bytes:
    return call.response(
        error_code=ErrorCode.none,
        producer_id=producer_id,
        producer_epoch=0,
    )
