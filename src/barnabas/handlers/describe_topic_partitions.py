"""DescribeTopicPartitions (API key 75), version 0: topics and partitions, page by page (KIP-966).

Topics come in the order of their names. An answer holds at most `response_partition_limit`
partitions (and never more than max.request.partition.size.limit); `next_cursor` says where the next
page begins.
"""

from collections.abc import Container, Iterator
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.errors import KafkaError
from barnabas.handlers.call import Call
from barnabas.handlers.topic_fields import absent_topic_fields, partition_fields, topic_fields
from barnabas.metadata.records import PartitionRecord, TopicRecord
from barnabas.protocol.authorized_operations import TOPIC_OPERATIONS


def handle(call: Call) -> bytes:
    """One page of topics."""
    request = call.request
    cursor = request.cursor
    try:
        names = _names(call)
    except KafkaError as error:
        return error_response(call, error.code)
    limit = call.services.config.integer("max.request.partition.size.limit")
    left = max(min(limit, request.response_partition_limit), 1)
    answers: list[dict[str, Any]] = []
    next_cursor = None
    for name in names:
        if left == 0:
            next_cursor = {"topic_name": name, "partition_index": 0}
            break
        topic = call.services.catalog.topic(name)
        if topic is None:
            if request.topics:
                answers.append(absent_topic_fields(name))
            continue
        first = cursor.partition_index if cursor and cursor.topic_name == name else 0
        page = [p for p in topic.partitions if p.partition >= first]
        offline = call.services.catalog.offline(name)
        answers.append(_described(topic, page[:left], offline))
        if len(page) > left:
            next_cursor = {"topic_name": name, "partition_index": page[left].partition}
            break
        left -= len(page)
    return call.response(topics=answers, next_cursor=next_cursor)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every topic that was named: the response has none of its own."""
    return call.response(
        topics=[{"error_code": error, "name": topic.name} for topic in call.request.topics]
    )


def _names(call: Call) -> Iterator[str]:
    """What to describe, in order, from the cursor on. Raises KafkaError for a bad cursor."""
    request = call.request
    cursor = request.cursor
    start = cursor.topic_name if cursor else ""
    asked = {topic.name for topic in request.topics}
    if cursor and cursor.partition_index < 0:
        raise KafkaError(ErrorCode.invalid_request, "the cursor's partition is negative")
    if cursor and asked and start not in asked:
        raise KafkaError(ErrorCode.invalid_request, "the cursor's topic is not in the list")
    names = sorted(asked) if asked else call.services.catalog.names()
    return (name for name in names if name >= start)


def _described(
    topic: TopicRecord, partitions: list[PartitionRecord], offline: Container[int]
) -> dict[str, Any]:
    return topic_fields(topic) | {
        "partitions": [
            partition_fields(partition, is_offline=partition.partition in offline)
            | {"eligible_leader_replicas": (), "last_known_elr": ()}
            for partition in partitions
        ],
        "topic_authorized_operations": TOPIC_OPERATIONS,
    }
