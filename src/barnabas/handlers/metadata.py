"""Metadata (API key 3), versions 0-13: brokers, and topics with their partitions and leaders.

Which topics: in version 0 an empty list means all, later null does and an empty list means none.
Version 4 lets the client forbid auto-creation, 8 to 10 can ask for the operations it may do on the
cluster, 10 answers with topic ids and 12 takes them.

A topic that is created on the way is answered complete, so that the client's next produce finds it.
Each topic's part of the answer is encoded once per version and kept until the topic changes.
"""

from collections.abc import Iterable
from typing import Any, Final, get_args

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.partition_fields import partition_fields
from barnabas.metadata.catalog import is_internal
from barnabas.metadata.records import TopicRecord
from barnabas.protocol.authorized_operations import (
    CLUSTER_OPERATIONS,
    NOT_REQUESTED,
    TOPIC_OPERATIONS,
)
from barnabas.protocol.encoder import Write, entity_encoder
from barnabas.state.internal_topics import CLUSTER_METADATA
from barnabas.state.topics import topic_name_error

_FIRST_VERSION_WITH_TOPIC_IDS: Final = 12


def handle(call: Call) -> Response:
    """Answers from the catalog; waits only when a topic is created on the way."""
    topics = call.request.topics
    if topics is None or (call.version == 0 and not topics):
        return _respond(call, [_fragment(call, topic) for topic in call.services.catalog])
    if call.version < _FIRST_VERSION_WITH_TOPIC_IDS and any(
        topic.name is None or getattr(topic, "topic_id", None) is not None for topic in topics
    ):
        return error_response(call, ErrorCode.invalid_request)
    missing = {t.name for t in topics if not _by_id(t) and _is_missing(call, t.name)}
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


def _by_id(asked: Any) -> bool:
    """Whether a topic is asked for by its id: one that is given counts, whatever the name."""
    return asked.name is None or getattr(asked, "topic_id", None) is not None


def _is_missing(call: Call, name: str) -> bool:
    if name == CLUSTER_METADATA or topic_name_error(name) is not None:
        return False
    return call.services.catalog.topic(name) is None


def _may_create(call: Call) -> bool:
    allowed: bool = getattr(call.request, "allow_auto_topic_creation", True)
    return allowed and call.services.config.boolean("auto.create.topics.enable")


async def _create_and_respond(call: Call, names: Iterable[str]) -> bytes:
    failures = await call.services.topics.auto_create(names)
    return _respond_to_named(
        call, {name: failure.code for name, failure in failures.items() if failure is not None}
    )


def _respond_to_named(call: Call, errors: dict[str, ErrorCode]) -> bytes:
    catalog = call.services.catalog
    answers: dict[Any, Any] = {}  # keyed, so that a topic named twice is answered once
    for asked in call.request.topics:
        name = None if _by_id(asked) else asked.name
        if name is None:
            topic = catalog.topic_by_id(asked.topic_id)
            key, unknown = asked.topic_id, ErrorCode.unknown_topic_id
        else:
            topic = catalog.topic(name)
            key, unknown = name, errors.get(name, _absence(name))
        answers[key] = (
            _fragment(call, topic)
            if topic is not None
            else {
                "error_code": unknown,
                "name": name,
                "topic_id": getattr(asked, "topic_id", None),
                "is_internal": name is not None and is_internal(name),
            }
        )
    return _respond(call, list(answers.values()))


def _absence(name: str) -> ErrorCode:
    if topic_name_error(name):
        return ErrorCode.invalid_topic_exception
    return ErrorCode.unknown_topic_or_partition


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


def _fragment(call: Call, topic: TopicRecord) -> bytes:
    """The topic's part of the answer, encoded once."""
    operations = getattr(call.request, "include_topic_authorized_operations", False)
    encoded = call.services.catalog.encoded(topic)
    key = ("Metadata", call.version, operations)
    fragment = encoded.get(key)
    if fragment is None:
        out = bytearray()
        _topic_encoder(call)(out, _described(topic, operations))
        fragment = encoded[key] = bytes(out)
    return fragment


def _topic_encoder(call: Call) -> Write:
    topics_type = call.response_type.__dataclass_fields__["topics"].type
    return entity_encoder(get_args(topics_type)[0])


def _described(topic: TopicRecord, operations: bool) -> dict[str, Any]:
    return {
        "error_code": ErrorCode.none,
        "name": topic.name,
        "topic_id": topic.topic_id,
        "is_internal": is_internal(topic.name),
        "partitions": [partition_fields(partition) for partition in topic.partitions],
        "topic_authorized_operations": TOPIC_OPERATIONS if operations else NOT_REQUESTED,
    }
