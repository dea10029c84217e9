"""DescribeProducers (API key 61), version 0: who writes to a partition (KIP-664)."""

from typing import Any

from kio.schema.errors import ErrorCode

from barnabas._core import CoreError
from barnabas.handlers.call import Call
from barnabas.state.topics import topic_name_error

_UNKNOWN_MESSAGE = "This server does not host this topic-partition."


def handle(call: Call) -> bytes:
    """Answers at once."""
    return call.response(
        topics=[
            {
                "name": topic.name,
                "partitions": [
                    _partition(call, topic.name, index) for index in topic.partition_indexes
                ],
            }
            for topic in call.request.topics
        ]
    )


def _partition(call: Call, topic: str, index: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"partition_index": index, "active_producers": []}
    wrong = topic_name_error(topic)
    if wrong:
        message = f"Topic name is invalid: {wrong}"
        return fields | {"error_code": ErrorCode.invalid_topic_exception, "error_message": message}
    record = call.services.catalog.topic(topic)
    if record is None or not 0 <= index < len(record.partitions):
        unknown = ErrorCode.unknown_topic_or_partition
        return fields | {"error_code": unknown, "error_message": _UNKNOWN_MESSAGE}
    try:
        producers = call.services.core.producers(topic, index)
    except CoreError as error:
        return fields | {"error_code": ErrorCode(error.code)}
    fields["active_producers"] = [
        {
            "producer_id": producer.producer_id,
            "producer_epoch": producer.producer_epoch,
            "last_sequence": producer.last_sequence,
            "last_timestamp": producer.last_timestamp,
            "coordinator_epoch": producer.coordinator_epoch,
            "current_txn_start_offset": producer.current_txn_start_offset,
        }
        for producer in producers
    ]
    return fields | {"error_code": ErrorCode.none}


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    return call.response(
        topics=[
            {
                "name": topic.name,
                "partitions": [
                    {"partition_index": index, "error_code": error, "active_producers": []}
                    for index in topic.partition_indexes
                ],
            }
            for topic in call.request.topics
        ]
    )
