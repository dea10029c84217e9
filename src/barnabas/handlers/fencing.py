"""What a fenced producer is told: clients before KIP-588 know one error for it only."""

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call
from barnabas.state.txn.requests import ProducerResponse


def told_to_producer(error: ErrorCode, version: int, *, fenced_from_version: int) -> ErrorCode:
    """PRODUCER_FENCED as clients of this version understand it."""
    if error is ErrorCode.producer_fenced and version < fenced_from_version:
        return ErrorCode.invalid_producer_epoch
    return error


def producer_response(call: Call, response: ProducerResponse, *, fenced_from_version: int) -> bytes:
    """The answer that says what the producer goes on as."""
    return call.response(
        error_code=told_to_producer(
            response.error, call.version, fenced_from_version=fenced_from_version
        ),
        producer_id=response.producer.producer_id,
        producer_epoch=response.producer.producer_epoch,
    )
