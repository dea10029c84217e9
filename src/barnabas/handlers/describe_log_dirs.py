"""DescribeLogDirs (API key 35), versions 1-5: sizes of partitions and of the volumes.

A partition that moves to another log directory is described in both; the copy says how many
offsets it lacks. A directory that has failed has KAFKA_STORAGE_ERROR and nothing else. Version 3
added the top-level error, 4 the volume's total and usable bytes (KIP-827), 5 whether the directory
is cordoned, which none is here. Partitions that are not here are left out, as in Kafka.
"""

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from barnabas.disk_calls import DiskCalls, in_directory
from barnabas.handlers.call import Call

if TYPE_CHECKING:
    from barnabas._core import PartitionInfo


async def handle(call: Call) -> bytes:
    """Describes each log directory."""
    wanted: defaultdict[str, list[PartitionInfo]] = defaultdict(list)
    for info in _wanted(call):
        wanted[info.directory].append(info)
    results = [
        await _described(call.services.disk_calls, path, wanted[path])
        if is_online
        else _failed(path)
        for path, is_online in call.services.core.directory_states()
    ]
    return call.response(error_code=ErrorCode.none, results=results)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """Before version 3 there was no place for an error but a directory's."""
    if call.version >= 3:
        return call.response(error_code=error)
    states = call.services.core.directory_states()
    return call.response(results=[{"error_code": error, "log_dir": path} for path, _ in states])


async def _described(
    disk_calls: DiskCalls, path: str, infos: "list[PartitionInfo]"
) -> dict[str, Any]:
    try:
        volume = await disk_calls.run(in_directory(path), os.statvfs, path)
    except OSError:
        return _failed(path)
    topics: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for info in infos:
        behind = max(info.high_watermark - info.log_end_offset, 0)
        topics[info.topic].append(
            {
                "partition_index": info.partition,
                "partition_size": info.size_bytes,
                "offset_lag": info.offset_lag if info.is_future else behind,
                "is_future_key": info.is_future,
            }
        )
    return {
        "error_code": ErrorCode.none,
        "log_dir": path,
        "topics": [{"name": name, "partitions": topics[name]} for name in sorted(topics)],
        "total_bytes": volume.f_blocks * volume.f_frsize,
        "usable_bytes": volume.f_bavail * volume.f_frsize,
    }


def _failed(path: str) -> dict[str, Any]:
    return {
        "error_code": ErrorCode.kafka_storage_error,
        "log_dir": path,
        "total_bytes": -1,
        "usable_bytes": -1,
    }


def _wanted(call: Call) -> "list[PartitionInfo]":
    infos = call.services.core.partition_infos()
    topics = call.request.topics
    if topics is None:
        return infos
    asked = {topic.topic: set(topic.partitions) for topic in topics}
    return [info for info in infos if info.partition in asked.get(info.topic, ())]
