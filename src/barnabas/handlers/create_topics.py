"""CreateTopics (API key 19), versions 2-7: makes topics, each on its own.

-1 for partitions or replicas is the broker's default (KIP-464). Version 5 answers with what was
made and its configuration (KIP-525), version 7 with the topic's id (KIP-516).
"""

from collections import Counter
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.config.broker_config import Source
from barnabas.config.keys import format_value
from barnabas.config.topic_keys import TOPIC_KEYS
from barnabas.errors import KafkaError
from barnabas.handlers.call import Call
from barnabas.metadata.records import TopicRecord
from barnabas.metadata.topic_service import NewTopic


async def handle(call: Call) -> bytes:
    """Makes, or only checks, each topic."""
    named = Counter(topic.name for topic in call.request.topics)
    wanted = [topic for topic in call.request.topics if named[topic.name] == 1]
    results = await call.services.topics.create(
        [_new_topic(topic) for topic in wanted], validate_only=call.request.validate_only
    )
    answers = [
        _answer(call, topic.name, result) for topic, result in zip(wanted, results, strict=True)
    ]
    duplicate = KafkaError(ErrorCode.invalid_request, "Duplicate topic name.")
    answers += [_answer(call, name, duplicate) for name, count in named.items() if count > 1]
    return call.response(topics=answers)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every topic: the response has none of its own."""
    failed = KafkaError(error)
    return call.response(topics=[_answer(call, t.name, failed) for t in call.request.topics])


def _new_topic(topic: Any) -> NewTopic:
    return NewTopic(
        name=topic.name,
        partition_count=topic.num_partitions,
        replication_factor=topic.replication_factor,
        assignments={a.partition_index: tuple(a.broker_ids) for a in topic.assignments},
        config={entry.name: entry.value for entry in topic.configs},
    )


def _answer(call: Call, name: str, result: TopicRecord | KafkaError) -> dict[str, Any]:
    if isinstance(result, KafkaError):
        return {"name": name, "error_code": result.code, "error_message": result.message or None}
    config = call.services.config
    entries = []
    for key in TOPIC_KEYS.values():
        if key.internal:
            continue
        setting = next(config.topic_settings(key.name, result.config))
        entries.append(
            {
                "name": key.name,
                "value": format_value(setting.value),
                "read_only": False,
                "config_source": Source(setting.source),
                "is_sensitive": False,
            }
        )
    only_checked = call.request.validate_only
    return {
        "name": name,
        "topic_id": None if only_checked else result.topic_id,
        "error_code": ErrorCode.none,
        "num_partitions": len(result.partitions),
        "replication_factor": len(result.partitions[0].replicas),
        "configs": entries,
    }
