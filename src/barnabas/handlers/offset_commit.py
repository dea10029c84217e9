"""OffsetCommit (API key 8), versions 2-10: store how far a group has read.

Answered when the offsets are stored. Versions 2 to 4 have a retention of their own, 6 leader
epochs, 7 static members; 9 answers GROUP_ID_NOT_FOUND where older ones get ILLEGAL_GENERATION;
10 names topics by id. Offsets of topics or partitions that do not exist are refused.
"""

from functools import partial
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.offsets_to_commit import offsets_of
from barnabas.handlers.pending import PendingReply
from barnabas.state.group.commit import DEFAULT_RETENTION, CommitRequest
from barnabas.state.group.records import NO_TOPIC_ID
from barnabas.state.group.responses import CommitResponse

GROUP_ID_NOT_FOUND_FROM_VERSION = 9
TOPIC_IDS_FROM_VERSION = 10


def handle(call: Call) -> Response:
    """Names the topics, passes the offsets on and answers when the coordinator does."""
    request = call.request
    names = [_name(call, topic) for topic in request.topics]
    commit = CommitRequest(
        group_id=request.group_id,
        generation_id=request.generation_id_or_member_epoch,
        member_id=request.member_id,
        group_instance_id=getattr(request, "group_instance_id", None),
        retention_ms=getattr(request, "retention_time", DEFAULT_RETENTION),
        knows_group_id_not_found=call.version >= GROUP_ID_NOT_FOUND_FROM_VERSION,
        offsets=[
            offset
            for topic, name in zip(request.topics, names, strict=True)
            if name is not None
            for offset in offsets_of(topic, name, _topic_id(topic))
        ],
    )
    reply = PendingReply(partial(_encode, call, names))
    call.services.groups.commit(commit, reply)
    return reply


def _topic_id(topic: Any) -> bytes:
    topic_id = getattr(topic, "topic_id", None)
    return NO_TOPIC_ID if topic_id is None else bytes(topic_id.bytes)


def _name(call: Call, topic: Any) -> str | None:
    """The topic's name; None for an id that no topic has."""
    if call.version < TOPIC_IDS_FROM_VERSION:
        return str(topic.name)
    record = call.services.catalog.topic_by_id(topic.topic_id)
    return None if record is None else record.name


def _encode(call: Call, names: list[str | None], response: CommitResponse) -> bytes:
    rejected = response.rejected or {}

    def error_of(name: str | None, partition: int) -> ErrorCode:
        if name is None:
            return ErrorCode.unknown_topic_id
        return rejected.get((name, partition), response.error)

    return call.response(
        topics=[
            {
                "name": getattr(topic, "name", ""),
                "topic_id": getattr(topic, "topic_id", None),
                "partitions": [
                    {
                        "partition_index": item.partition_index,
                        "error_code": error_of(name, item.partition_index),
                    }
                    for item in topic.partitions
                ],
            }
            for topic, name in zip(call.request.topics, names, strict=True)
        ]
    )


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    return _encode(call, [""] * len(call.request.topics), CommitResponse(error=error))
