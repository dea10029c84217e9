"""OffsetCommit (API key 8), versions 2-10: store how far a group has read.

Answered when the offsets are stored. Versions 2 to 4 have a retention of their own, 6 leader
epochs, 7 static members; 9 answers GROUP_ID_NOT_FOUND where older ones get ILLEGAL_GENERATION;
10 names topics by id. Offsets of topics or partitions that do not exist are refused.
"""

from functools import partial
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.pending import PendingReply
from barnabas.state.group.commit import DEFAULT_RETENTION, CommitRequest, OffsetToCommit
from barnabas.state.group.records import NO_LEADER_EPOCH, NO_TOPIC_ID
from barnabas.state.group.responses import CommitResponse

GROUP_ID_NOT_FOUND_FROM_VERSION = 9
TOPIC_IDS_FROM_VERSION = 10

# By partition: why its offset is refused without asking the coordinator.
_Refused = dict[int, ErrorCode]


def handle(call: Call) -> Response:
    """Checks the partitions, passes the rest on and answers when the coordinator does."""
    request = call.request
    offsets: list[OffsetToCommit] = []
    topics = [_check_topic(call, topic, offsets) for topic in request.topics]
    if not offsets:
        return _encode(call, topics, CommitResponse())
    commit = CommitRequest(
        group_id=request.group_id,
        generation_id=request.generation_id_or_member_epoch,
        member_id=request.member_id,
        group_instance_id=getattr(request, "group_instance_id", None),
        retention_ms=getattr(request, "retention_time", DEFAULT_RETENTION),
        knows_group_id_not_found=call.version >= GROUP_ID_NOT_FOUND_FROM_VERSION,
        offsets=offsets,
    )
    reply = PendingReply(partial(_encode, call, topics))
    call.services.groups.commit(commit, reply)
    return reply.future


def _check_topic(call: Call, topic: Any, offsets: list[OffsetToCommit]) -> tuple[str, _Refused]:
    """Adds the topic's offsets to `offsets`; returns its name and the partitions refused."""
    catalog = call.services.catalog
    has_id = call.version >= TOPIC_IDS_FROM_VERSION
    record = catalog.topic_by_id(topic.topic_id) if has_id else catalog.topic(topic.name)
    if record is None:
        unknown = ErrorCode.unknown_topic_id if has_id else ErrorCode.unknown_topic_or_partition
        return "", {item.partition_index: unknown for item in topic.partitions}
    topic_id = record.topic_id if has_id else NO_TOPIC_ID
    partition_count = len(record.partitions)
    refused: _Refused = {}
    for item in topic.partitions:
        partition = item.partition_index
        if not 0 <= partition < partition_count:
            refused[partition] = ErrorCode.unknown_topic_or_partition
            continue
        leader_epoch = getattr(item, "committed_leader_epoch", NO_LEADER_EPOCH)
        metadata = item.committed_metadata or ""
        offsets.append(
            OffsetToCommit(
                record.name, partition, item.committed_offset, leader_epoch, metadata, topic_id
            )
        )
    return record.name, refused


def _encode(call: Call, topics: list[tuple[str, _Refused]], response: CommitResponse) -> bytes:
    rejected = response.rejected or {}
    answers = []
    for topic, (name, refused) in zip(call.request.topics, topics, strict=True):
        partitions = []
        for item in topic.partitions:
            partition = item.partition_index
            error = refused.get(partition) or rejected.get((name, partition), response.error)
            partitions.append({"partition_index": partition, "error_code": error})
        answers.append(
            {
                "name": getattr(topic, "name", ""),
                "topic_id": getattr(topic, "topic_id", None),
                "partitions": partitions,
            }
        )
    return call.response(topics=answers)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    topics: list[tuple[str, _Refused]] = [("", {}) for _ in call.request.topics]
    return _encode(call, topics, CommitResponse(error=error))
