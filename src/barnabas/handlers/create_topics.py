"""CreateTopics (API key 19), versions 2-7: makes topics, each on its own.

-1 for partitions or replicas is the broker's default (KIP-464). Version 5 answers with what was
made and its configuration (KIP-525), version 7 with the topic's id (KIP-516).
"""

import asyncio
from collections import Counter
from typing import Any, Final

from kio.schema.errors import ErrorCode

from barnabas.config.broker_config import Source
from barnabas.config.keys import format_value
from barnabas.config.topic_keys import TOPIC_KEYS
from barnabas.errors import KafkaError
from barnabas.handlers.call import Call
from barnabas.metadata.records import TopicRecord
from barnabas.metadata.topic_plans import NewTopic
from barnabas.protocol.codec import timedelta_ms
from barnabas.protocol.encoder import array_encoder

ANSWERS_PER_PASS: Final = 50  # of the broker loop, which serves others in between
_FIRST_VERSION_WITH_CONFIGS: Final = 5


async def handle(call: Call) -> bytes:
    """Makes, or only checks, each topic."""
    named = Counter(topic.name for topic in call.request.topics)
    wanted = [topic for topic in call.request.topics if named[topic.name] == 1]
    results = await call.services.topics.create(
        [_new_topic(topic) for topic in wanted],
        validate_only=call.request.validate_only,
        timeout_ms=timedelta_ms(call.request.timeout),
    )
    answers = []
    configs = _Configs(call)
    for number, (topic, result) in enumerate(zip(wanted, results, strict=True)):
        if number and number % ANSWERS_PER_PASS == 0:
            await asyncio.sleep(0)
        answers.append(_answer(call, topic.name, result, configs))
    duplicate = KafkaError(ErrorCode.invalid_request, "Duplicate topic name.")
    answers += [_failed(name, duplicate) for name, count in named.items() if count > 1]
    return call.response(topics=answers)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every topic: the response has none of its own."""
    failed = KafkaError(error)
    return call.response(topics=[_failed(t.name, failed) for t in call.request.topics])


def _new_topic(topic: Any) -> NewTopic:
    return NewTopic(
        name=topic.name,
        partition_count=topic.num_partitions,
        replication_factor=topic.replication_factor,
        assignments=[(a.partition_index, tuple(a.broker_ids)) for a in topic.assignments],
        config={entry.name: entry.value for entry in topic.configs},
    )


def _failed(name: str, error: KafkaError) -> dict[str, Any]:
    return {"name": name, "error_code": error.code, "error_message": error.message or None}


def _answer(
    call: Call, name: str, result: TopicRecord | KafkaError, configs: "_Configs"
) -> dict[str, Any]:
    if isinstance(result, KafkaError):
        return _failed(name, result)
    only_checked = call.request.validate_only
    return {
        "name": name,
        "topic_id": None if only_checked else result.topic_id,
        "error_code": ErrorCode.none,
        "num_partitions": len(result.partitions),
        "replication_factor": len(result.partitions[0].replicas),
        "configs": configs.of(result),
    }


class _Configs:
    """The configurations of topics, encoded; many topics of one request have the same."""

    def __init__(self, call: Call) -> None:
        self._config = call.services.config
        self._encode = None
        if call.version >= _FIRST_VERSION_WITH_CONFIGS:
            self._encode = array_encoder(call.response_type, "topics", "configs")
        self._encoded: dict[tuple[tuple[str, str], ...], bytes] = {}

    def of(self, topic: TopicRecord) -> bytes:
        """The `configs` of a topic's answer."""
        if self._encode is None:
            return b""
        key = tuple(topic.config.items())
        encoded = self._encoded.get(key)
        if encoded is None:
            out = bytearray()
            self._encode(out, self._entries(topic))
            encoded = self._encoded[key] = bytes(out)
        return encoded

    def _entries(self, topic: TopicRecord) -> list[dict[str, Any]]:
        entries = []
        for key in TOPIC_KEYS.values():
            if key.internal:
                continue
            setting = next(self._config.topic_settings(key.name, topic.config))
            entries.append(
                {
                    "name": key.name,
                    "value": format_value(setting.value),
                    "read_only": False,
                    "config_source": Source(setting.source),
                    "is_sensitive": False,
                }
            )
        return entries
