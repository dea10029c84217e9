"""Metadata (API key 3), versions 0-13: brokers, and topics with their partitions and leaders.

Which topics: in version 0 an empty list means all, later null does and an empty list means none.
Version 4 lets the client forbid auto-creation, 8 to 10 can ask for the operations it may do on the
cluster, 10 answers with topic ids and 12 takes them.

A topic that is created on the way is answered complete, so that the client's next produce finds it.
Each topic's part of the answer is encoded once per version and kept until the topic changes.
"""

from collections.abc import Container, Iterable
from typing import Any, Final

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.topic_fields import absent_topic_fields, partition_fields, topic_fields
from barnabas.metadata.records import TopicRecord
from barnabas.protocol.authorized_operations import (
    CLUSTER_OPERATIONS,
    NOT_REQUESTED,
    TOPIC_OPERATIONS,
)
from barnabas.protocol.encoder import element_type, entity_encoder
from barnabas.state.internal_topics import CLUSTER_METADATA
from barnabas.state.topics import topic_name_error

_FIRST_VERSION_WITH_ID_FIELD: Final = 10
_FIRST_VERSION_WITH_TOPIC_IDS: Final = 12


def handle(call: Call) -> Response:
    """Answers from the catalog; waits only when a topic is created on the way."""
    topics = call.request.topics
    if topics is None or (call.version == 0 and not topics):
        fragments = _Fragments(call)
        return _respond(call, [fragments.of(topic) for topic in call.services.catalog])
    if call.version < _FIRST_VERSION_WITH_TOPIC_IDS and not _are_all_by_name(topics, call.version):
        return error_response(call, ErrorCode.invalid_request)
    missing = _missing(call, topics)
    if missing and _may_create(call):
        return _create_and_respond(call, missing)
    return _respond_to_named(call, {})


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every topic that was named; since version 13 there is a place at the top."""
    answers = [
        {
            "error_code": error,
            "name": topic.name if topic.name is not None or call.version >= 12 else "",
            "topic_id": getattr(topic, "topic_id", None),
        }
        for topic in call.request.topics or ()
    ]
    return _respond(call, answers, error_code=error)


def _are_all_by_name(topics: Iterable[Any], version: int) -> bool:
    if None in [asked.name for asked in topics]:
        return False
    if version < _FIRST_VERSION_WITH_ID_FIELD:
        return True
    return all(asked.topic_id is None for asked in topics)


def _is_by_id(asked: Any, version: int) -> bool:
    """Whether a topic is asked for by its id: one that is given counts, whatever the name."""
    return version >= _FIRST_VERSION_WITH_TOPIC_IDS and (
        asked.topic_id is not None or asked.name is None
    )


def _missing(call: Call, topics: Iterable[Any]) -> set[str]:
    """The names that no topic has and one could have."""
    find, version = call.services.catalog.topic, call.version
    unknown = [asked for asked in topics if find(asked.name) is None]
    return {
        asked.name
        for asked in unknown
        if not _is_by_id(asked, version)
        and asked.name != CLUSTER_METADATA
        and topic_name_error(asked.name) is None
    }


def _may_create(call: Call) -> bool:
    allowed: bool = getattr(call.request, "allow_auto_topic_creation", True)
    services = call.services
    return (
        allowed
        and services.config.boolean("auto.create.topics.enable")
        and not services.topics.is_kept_for_kafka
    )


async def _create_and_respond(call: Call, names: Iterable[str]) -> bytes:
    failures = await call.services.topics.auto_create(names)
    return _respond_to_named(
        call, {name: failure.code for name, failure in failures.items() if failure is not None}
    )


def _respond_to_named(call: Call, errors: dict[str, ErrorCode]) -> bytes:
    catalog, version = call.services.catalog, call.version
    find = catalog.topic
    has_ids = version >= _FIRST_VERSION_WITH_TOPIC_IDS
    fragments = _Fragments(call)
    answers: dict[Any, Any] = {}  # keyed, so that a topic named twice is answered once
    for asked in call.request.topics:
        name = asked.name
        if has_ids and _is_by_id(asked, version):
            topic = catalog.topic_by_id(asked.topic_id)
            if topic is None:
                answers[asked.topic_id] = {
                    "error_code": ErrorCode.unknown_topic_id,
                    "name": None,
                    "topic_id": asked.topic_id,
                }
                continue
            name = topic.name
        else:
            topic = find(name)
        answers[name] = (
            fragments.of(topic)
            if topic is not None
            else absent_topic_fields(name, errors.get(name))
            | {"topic_authorized_operations": _operations(fragments.with_operations)}
        )
    return _respond(call, list(answers.values()))


def _respond(call: Call, topics: list[Any], *, error_code: ErrorCode = ErrorCode.none) -> bytes:
    identity = call.services.identity
    asked = getattr(call.request, "include_cluster_authorized_operations", False)
    return call.response(
        brokers=[
            {
                "node_id": identity.node_id,
                "host": identity.host,
                "port": identity.port,
                "rack": identity.rack,
            }
        ],
        cluster_id=identity.cluster_id,
        controller_id=identity.node_id,
        topics=topics,
        cluster_authorized_operations=CLUSTER_OPERATIONS if asked else NOT_REQUESTED,
        error_code=error_code,
    )


class _Fragments:
    """The topics' parts of an answer, each encoded once and kept until the topic changes."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._catalog = call.services.catalog
        self.with_operations: bool = getattr(
            call.request, "include_topic_authorized_operations", False
        )
        self._key = ("Metadata", call.version, self.with_operations)

    def of(self, topic: TopicRecord) -> bytes:
        """The part of a topic."""
        encoded = self._catalog.encoded(topic)
        fragment = encoded.get(self._key)
        if fragment is None:
            out = bytearray()
            element = element_type(self._call.response_type, "topics")
            offline = self._catalog.offline(topic.name)
            entity_encoder(element)(out, _described(topic, offline, self.with_operations))
            fragment = encoded[self._key] = bytes(out)
        return fragment


def _described(topic: TopicRecord, offline: Container[int], operations: bool) -> dict[str, Any]:
    return topic_fields(topic) | {
        "partitions": [
            partition_fields(partition, is_offline=partition.partition in offline)
            for partition in topic.partitions
        ],
        "topic_authorized_operations": _operations(operations),
    }


def _operations(asked_for: bool) -> int:
    return TOPIC_OPERATIONS if asked_for else NOT_REQUESTED
