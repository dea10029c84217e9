"""OffsetForLeaderEpoch (API key 23), versions 2-4: where a leader epoch ends (KIP-101, KIP-279).

The answer names the largest epoch at or below the one asked for, and the offset after its last
record: a consumer or follower that has more than that has records which are gone.
"""

from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call
from barnabas.handlers.leader_epochs import check_leader_epoch


def handle(call: Call) -> bytes:
    """Answers each partition on its own."""
    return call.response(
        topics=[
            {
                "topic": topic.topic,
                "partitions": [_answer(call, topic.topic, p) for p in topic.partitions],
            }
            for topic in call.request.topics
        ]
    )


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every partition: the response has none of its own."""
    return call.response(
        topics=[
            {
                "topic": topic.topic,
                "partitions": [_failed(p.partition, error) for p in topic.partitions],
            }
            for topic in call.request.topics
        ]
    )


def _failed(partition: int, error: ErrorCode) -> dict[str, Any]:
    return {"partition": partition, "error_code": error, "leader_epoch": -1, "end_offset": -1}


def _answer(call: Call, topic: str, asked: Any) -> dict[str, Any]:
    from barnabas._core import CoreError

    core = call.services.core
    partition = asked.partition
    try:
        info = core.partition_info(topic, partition)
        if error := check_leader_epoch(info, asked.current_leader_epoch):
            return _failed(partition, error)
        leader_epoch, end_offset = core.end_offset_for_epoch(topic, partition, asked.leader_epoch)
    except CoreError as error:
        return _failed(partition, ErrorCode(error.code))
    return {
        "partition": partition,
        "error_code": ErrorCode.none,
        "leader_epoch": leader_epoch,
        "end_offset": end_offset,
    }
