"""DeleteRecords (API key 21), versions 0-2: records below an offset go (KIP-107).

Offset -1 stands for the high watermark. The answer's low watermark is the partition's new log start
offset. Topics that are only compacted have a policy of their own (POLICY_VIOLATION), and records of
internal topics are not to be deleted (INVALID_TOPIC_EXCEPTION). The timeout is for replicas that
lag behind, and the leader is the only one here.
"""

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from kio.schema.errors import ErrorCode

from barnabas.disk_calls import NOWHERE, Place, in_directory
from barnabas.handlers.call import Call
from barnabas.state.internal_topics import INTERNAL_TOPICS

if TYPE_CHECKING:
    from barnabas._core import Core

INVALID_LOW_WATERMARK: Final = -1


async def handle(call: Call) -> bytes:
    """Answers each partition on its own. The new log start offsets are on disk by then."""
    asked = {
        (topic.name, partition.partition_index): partition.offset
        for topic in call.request.topics
        for partition in topic.partitions
    }
    answers = {
        at: (ErrorCode.invalid_topic_exception, INVALID_LOW_WATERMARK)
        for at in asked
        if at[0] in INTERNAL_TOPICS and call.services.catalog.topic(at[0]) is not None
    }
    deletions = [(*at, offset) for at, offset in asked.items() if at not in answers]
    core, run = call.services.core, call.services.disk_calls.run
    by_place: defaultdict[Place, list[tuple[str, int, int]]] = defaultdict(list)
    for deletion in deletions:
        by_place[_place(core, *deletion[:2])].append(deletion)
    deleted = await asyncio.gather(
        *(run(place, core.delete_records, there) for place, there in by_place.items())
    )
    for there, results in zip(by_place.values(), deleted, strict=True):
        for (topic, partition, _), (code, low_watermark) in zip(there, results, strict=True):
            answers[topic, partition] = ErrorCode(code), low_watermark
    return _response(call, answers)


def _place(core: "Core", topic: str, partition: int) -> Place:
    from barnabas._core import CoreError

    try:
        return in_directory(core.partition_info(topic, partition).directory)
    except CoreError:
        return NOWHERE


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every partition: the response has none of its own."""
    return _response(
        call,
        {
            (topic.name, partition.partition_index): (error, INVALID_LOW_WATERMARK)
            for topic in call.request.topics
            for partition in topic.partitions
        },
    )


def _response(call: Call, answers: dict[tuple[str, int], tuple[ErrorCode, int]]) -> bytes:
    topics: dict[str, list[dict[str, Any]]] = {}
    for (topic, partition), (error, low_watermark) in answers.items():
        topics.setdefault(topic, []).append(
            {
                "partition_index": partition,
                "low_watermark": low_watermark,
                "error_code": error,
            }
        )
    return call.response(
        topics=[{"name": name, "partitions": answered} for name, answered in topics.items()]
    )
