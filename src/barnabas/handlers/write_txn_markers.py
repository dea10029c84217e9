"""WriteTxnMarkers (API key 27), versions 1-2: ends producers' transactions in partitions.

Coordinators of other brokers ask for it, and administrators to get rid of a hanging transaction
(KIP-664). Version 2 has the version of the transaction, for the check of the epoch (KIP-1228).
"""

import asyncio
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.state.effects import Marker, Producer
from barnabas.state.internal_topics import CONSUMER_OFFSETS
from barnabas.state.topic_partition import TopicPartition

# What the group coordinator says when it cannot, in words that a transaction coordinator expects.
_NOT_READY = frozenset(
    {
        ErrorCode.coordinator_load_in_progress,
        ErrorCode.coordinator_not_available,
        ErrorCode.not_coordinator,
    }
)


def handle(call: Call) -> Response:
    """Writes all markers and answers when they are stored."""
    return _answer(call)


async def _answer(call: Call) -> bytes:
    writes = [[_write_topic(call, item, topic) for topic in item.topics] for item in _markers(call)]
    results = []
    for item, topics in zip(_markers(call), writes, strict=True):
        fields = []
        for topic, futures in zip(item.topics, topics, strict=True):
            errors = await asyncio.gather(*futures)
            fields.append(_topic_result(topic, errors))
        results.append({"producer_id": item.producer_id, "topics": fields})
    return call.response(markers=results)


def _markers(call: Call) -> Any:
    return call.request.markers


def _write_topic(call: Call, item: Any, topic: Any) -> list[asyncio.Future[ErrorCode]]:
    marker = Marker(
        Producer(item.producer_id, item.producer_epoch),
        item.transaction_result,
        item.coordinator_epoch,
        getattr(item, "transaction_version", 0),
    )
    return [
        _write(call, marker, TopicPartition(topic.name, partition))
        for partition in topic.partition_indexes
    ]


def _write(call: Call, marker: Marker, partition: TopicPartition) -> asyncio.Future[ErrorCode]:
    future: asyncio.Future[ErrorCode] = asyncio.get_running_loop().create_future()

    def reply(error: ErrorCode) -> None:
        if future.done():
            return
        is_not_ready = partition.topic == CONSUMER_OFFSETS and error in _NOT_READY
        future.set_result(ErrorCode.not_leader_or_follower if is_not_ready else error)

    topic = call.services.catalog.topic(partition.topic)
    if topic is None or not 0 <= partition.partition < len(topic.partitions):
        reply(ErrorCode.unknown_topic_or_partition)
    else:
        call.services.transactions.writer.write(marker, partition, reply)
    return future


def _topic_result(topic: Any, errors: list[ErrorCode]) -> dict[str, Any]:
    return {
        "name": topic.name,
        "partitions": [
            {"partition_index": partition, "error_code": error}
            for partition, error in zip(topic.partition_indexes, errors, strict=True)
        ],
    }


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    return call.response(
        markers=[
            {
                "producer_id": item.producer_id,
                "topics": [
                    _topic_result(topic, [error] * len(topic.partition_indexes))
                    for topic in item.topics
                ],
            }
            for item in _markers(call)
        ]
    )
