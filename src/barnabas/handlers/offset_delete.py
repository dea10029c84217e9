"""OffsetDelete (API key 47), version 0: forget how far a group has read.

Refused for topics that members of the group subscribe to (KIP-496).
"""

from functools import partial
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.pending import PendingReply
from barnabas.state.group.responses import DeleteOffsetsResponse


def handle(call: Call) -> Response:
    """Passes the request on and answers when the coordinator does."""
    request = call.request
    keys = [
        (topic.name, item.partition_index)
        for topic in request.topics
        for item in topic.partitions
        if _exists(call, topic, item)
    ]
    reply = PendingReply(partial(_encode, call))
    call.services.groups.delete_offsets(request.group_id, keys, reply)
    return reply


def _exists(call: Call, topic: Any, item: Any) -> bool:
    record = call.services.catalog.topic(topic.name)
    return record is not None and 0 <= item.partition_index < len(record.partitions)


def _encode(call: Call, response: DeleteOffsetsResponse) -> bytes:
    if response.error is not ErrorCode.none:
        return call.response(error_code=response.error)
    return call.response(
        topics=[
            {
                "name": topic.name,
                "partitions": [
                    {
                        "partition_index": item.partition_index,
                        "error_code": response.rejected.get(
                            (topic.name, item.partition_index), ErrorCode.none
                        )
                        if _exists(call, topic, item)
                        else ErrorCode.unknown_topic_or_partition,
                    }
                    for item in topic.partitions
                ],
            }
            for topic in call.request.topics
        ]
    )
