"""ListOffsets (API key 2), versions 1-11: the offset of a place in a partition, or of a time.

A timestamp is a time in ms, or one of the sentinels below, each known since some version. A time
later than any record is answered with offset -1 and no error. Version 2 brought the isolation
level, 4 the leader epoch in request and answer.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from kio.schema.errors import ErrorCode

from barnabas.disk_calls import in_directory
from barnabas.handlers.call import Call
from barnabas.handlers.leader_epochs import check_leader_epoch
from barnabas.handlers.services import Services

if TYPE_CHECKING:
    from barnabas._core import PartitionInfo

LATEST: Final = -1
EARLIEST: Final = -2
MAX_TIMESTAMP: Final = -3
EARLIEST_LOCAL: Final = -4
LATEST_TIERED: Final = -5
EARLIEST_PENDING_UPLOAD: Final = -6

SENTINEL_SINCE_VERSION: Final = {
    LATEST: 1,
    EARLIEST: 1,
    MAX_TIMESTAMP: 7,  # KIP-734
    EARLIEST_LOCAL: 8,  # KIP-405
    LATEST_TIERED: 9,  # KIP-1005
    EARLIEST_PENDING_UPLOAD: 11,  # KIP-1023
}
PARTITIONS_PER_PASS: Final = 100  # of the broker loop, which serves others in between
READ_COMMITTED: Final = 1
_NOTHING: Final = (-1, -1, -1)  # timestamp, offset, leader epoch


async def handle(call: Call) -> bytes:
    """Answers each partition on its own. Look-ups by time may wait for a disk."""
    topics = call.request.topics
    repeated = _repeated(topics)
    answers: dict[str, dict[int, Any]] = {}  # keyed: whatever is named twice is answered once
    number = 0
    for topic in topics:
        answered = answers.setdefault(topic.name, {})
        for partition in topic.partitions:
            index = partition.partition_index
            number += 1
            if number % PARTITIONS_PER_PASS == 0:
                await asyncio.sleep(0)
            if (topic.name, index) in repeated:
                answered[index] = _failed(index, ErrorCode.invalid_request)
            else:
                answered[index] = await _answer(call, topic.name, partition)
    return call.response(
        topics=[
            {"name": name, "partitions": list(partitions.values())}
            for name, partitions in answers.items()
        ]
    )


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every partition: the response has none of its own."""
    return call.response(
        topics=[
            {
                "name": topic.name,
                "partitions": [_failed(p.partition_index, error) for p in topic.partitions],
            }
            for topic in call.request.topics
        ]
    )


def _repeated(topics: Any) -> set[tuple[str, int]]:
    seen: set[tuple[str, int]] = set()
    repeated: set[tuple[str, int]] = set()
    for topic in topics:
        for partition in topic.partitions:
            key = (topic.name, partition.partition_index)
            (repeated if key in seen else seen).add(key)
    return repeated


def _failed(partition_index: int, error: ErrorCode) -> dict[str, Any]:
    return {
        "partition_index": partition_index,
        "error_code": error,
        "timestamp": -1,
        "offset": -1,
        "leader_epoch": -1,
    }


async def _answer(call: Call, topic: str, partition: Any) -> dict[str, Any]:
    from barnabas._core import CoreError

    index = partition.partition_index
    timestamp = partition.timestamp
    if timestamp < 0 and call.version < SENTINEL_SINCE_VERSION.get(timestamp, call.version + 1):
        return _failed(index, ErrorCode.unsupported_version)
    try:
        info = call.services.core.partition_info(topic, index)
        if error := check_leader_epoch(info, getattr(partition, "current_leader_epoch", -1)):
            return _failed(index, error)
        isolation_level = getattr(call.request, "isolation_level", 0)
        found = await _look_up(call.services, info, timestamp, isolation_level)
    except CoreError as error:
        return _failed(index, ErrorCode(error.code))
    return {
        "partition_index": index,
        "error_code": ErrorCode.none,
        "timestamp": found[0],
        "offset": found[1],
        "leader_epoch": found[2],
    }


async def _look_up(
    services: Services, info: "PartitionInfo", timestamp: int, isolation_level: int
) -> tuple[int, int, int]:
    """Timestamp, offset and leader epoch of what was asked for."""
    core, run = services.core, services.disk_calls.run
    topic, partition = info.topic, info.partition
    committed_only = isolation_level == READ_COMMITTED
    end = info.last_stable_offset if committed_only else info.high_watermark
    if timestamp == LATEST:
        return -1, end, info.leader_epoch
    if timestamp in (EARLIEST, EARLIEST_LOCAL):
        start = info.log_start_offset
        return -1, start, core.epoch_for_offset(topic, partition, start)
    if timestamp in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
        return _NOTHING  # there is no remote storage
    place = in_directory(info.directory)
    if timestamp == MAX_TIMESTAMP:
        found = await run(place, core.max_timestamp_offset, topic, partition)
    else:
        found = await run(place, core.offset_for_timestamp, topic, partition, timestamp)
    return found if found[1] < end else _NOTHING
