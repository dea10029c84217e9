"""AlterReplicaLogDirs (API key 34), versions 1-2: partitions move between log directories.

A move (KIP-113) goes on after the answer; DescribeLogDirs tells how far. To the directory that
the partition is in already is no move, and ends one that is under way. The directory of a partition
that does not exist (UNKNOWN_TOPIC_OR_PARTITION) is remembered for when it is made. A path that is
not in log.dirs: LOG_DIR_NOT_FOUND; a directory or a partition that is offline: KAFKA_STORAGE_ERROR.
"""

from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.disk_calls import MOVES
from barnabas.handlers.call import Call


async def handle(call: Call) -> bytes:
    """Answers each partition on its own."""
    asked = list(_asked(call).items())
    assignments = [(topic, partition, path) for (topic, partition), path in asked]
    move = call.services.core.alter_replica_log_dirs
    codes = await call.services.disk_calls.run(MOVES, move, assignments)
    return _response(
        call, {at: ErrorCode(code) for (at, _), code in zip(asked, codes, strict=True)}
    )


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every partition: the response has none of its own."""
    return _response(call, dict.fromkeys(_asked(call), error))


def _asked(call: Call) -> dict[tuple[str, int], str]:
    """The paths. Of a partition that is there twice the last one counts, as in Kafka."""
    return {
        (topic.name, partition): directory.path
        for directory in call.request.dirs
        for topic in directory.topics
        for partition in topic.partitions
    }


def _response(call: Call, answers: dict[tuple[str, int], ErrorCode]) -> bytes:
    topics: dict[str, list[dict[str, Any]]] = {}
    for (topic, partition), error in answers.items():
        topics.setdefault(topic, []).append({"partition_index": partition, "error_code": error})
    return call.response(
        results=[{"topic_name": name, "partitions": answered} for name, answered in topics.items()]
    )
