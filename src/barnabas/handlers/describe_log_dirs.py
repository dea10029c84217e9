"""DescribeLogDirs (API key 35), versions 1-5: sizes of partitions and of the volume.

Version 3 added the top-level error, 4 the volume's total and usable bytes (KIP-827), 5 whether the
directory is cordoned. Partitions that are not here are left out, as in Kafka.
"""

import asyncio
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call

if TYPE_CHECKING:
    from barnabas._core import PartitionInfo


async def handle(call: Call) -> bytes:
    """Describes the one data directory."""
    services = call.services
    path = services.data_dir
    volume = await asyncio.to_thread(os.statvfs, path)
    topics: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for info in _wanted(call):
        topics[info.topic].append(
            {
                "partition_index": info.partition,
                "partition_size": info.size_bytes,
                "offset_lag": max(info.high_watermark - info.log_end_offset, 0),
                "is_future_key": False,
            }
        )
    result = {
        "error_code": ErrorCode.none,
        "log_dir": path,
        "topics": [{"name": name, "partitions": topics[name]} for name in sorted(topics)],
        "total_bytes": volume.f_blocks * volume.f_frsize,
        "usable_bytes": volume.f_bavail * volume.f_frsize,
    }
    return call.response(error_code=ErrorCode.none, results=[result])


def error_response(call: Call, error: ErrorCode) -> bytes:
    """Before version 3 there was no place for an error but a directory's."""
    if call.version >= 3:
        return call.response(error_code=error)
    return call.response(results=[{"error_code": error, "log_dir": call.services.data_dir}])


def _wanted(call: Call) -> "list[PartitionInfo]":
    infos = call.services.core.partition_infos()
    topics = call.request.topics
    if topics is None:
        return infos
    asked = {topic.topic: set(topic.partitions) for topic in topics}
    return [info for info in infos if info.partition in asked.get(info.topic, ())]
