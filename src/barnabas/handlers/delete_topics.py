"""DeleteTopics (API key 20), versions 1-6: deletes topics by name, or since version 6 by id.

Before version 3 a broker that does not delete topics says INVALID_REQUEST; error messages came with
version 5.
"""

from collections import Counter
from typing import Any
from uuid import UUID

from kio.schema.errors import ErrorCode

from barnabas.errors import KafkaError
from barnabas.handlers.call import Call
from barnabas.protocol.codec import timedelta_ms

_FIRST_VERSION_WITH_IDS = 6
_FIRST_VERSION_WITH_DELETION_DISABLED = 3

_NAMED_TWICE = KafkaError(
    ErrorCode.invalid_request,
    "The provided topic name maps to an ID that was already supplied.",
)

_Asked = tuple[str | None, UUID | None]


async def handle(call: Call) -> bytes:
    """Deletes the topics, all of them in one change of the store."""
    counts = Counter(_asked(call))
    ids = {topic_id.bytes for _, topic_id in counts if topic_id is not None}
    by_both: set[bytes] = set()
    answers = []
    found: list[tuple[str, bytes]] = []
    for name, topic_id in counts:
        try:
            if counts[name, topic_id] > 1:
                what = "name" if name is not None else "id"
                raise KafkaError(ErrorCode.invalid_request, f"Duplicate topic {what}.")
            topic = _find(call, name, topic_id)
        except KafkaError as error:
            answers.append(_answer(name, topic_id, error))
            continue
        if name is not None and topic[1] in ids:
            by_both.add(topic[1])
            answers.append(_answer(*topic, _NAMED_TWICE))
        else:
            found.append(topic)
    doomed = [topic for topic in found if topic[1] not in by_both]
    outcomes = await call.services.topics.delete(
        [name for name, _ in doomed], timeout_ms=timedelta_ms(call.request.timeout)
    )
    answers += [_answer(*topic, _for_version(call, outcomes[topic[0]])) for topic in doomed]
    return call.response(responses=answers)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every topic: the response has none of its own."""
    failed = KafkaError(error)
    return call.response(
        responses=[_answer(name, topic_id, failed) for name, topic_id in _asked(call)]
    )


def _asked(call: Call) -> list[_Asked]:
    if call.version >= _FIRST_VERSION_WITH_IDS:
        return [(topic.name, topic.topic_id) for topic in call.request.topics]
    return [(name, None) for name in call.request.topic_names]


def _find(call: Call, name: str | None, topic_id: UUID | None) -> tuple[str, bytes]:
    """The name and id of the topic that is meant. Raises KafkaError."""
    catalog = call.services.catalog
    if name is not None and topic_id is not None:
        raise KafkaError(
            ErrorCode.invalid_request, "You may not specify both topic name and topic id."
        )
    if name is None and topic_id is None:
        raise KafkaError(ErrorCode.invalid_request, "Neither topic name nor id were specified.")
    topic = catalog.topic(name) if name is not None else catalog.topic_by_id(topic_id)
    if topic is None:
        error = (
            ErrorCode.unknown_topic_or_partition if name is not None else ErrorCode.unknown_topic_id
        )
        message = (
            "This server does not host this topic-partition."
            if name is not None
            else "This server does not host this topic ID."
        )
        raise KafkaError(error, message)
    return topic.name, topic.topic_id


def _for_version(call: Call, error: KafkaError | None) -> KafkaError | None:
    if (
        error is not None
        and error.code is ErrorCode.topic_deletion_disabled
        and call.version < _FIRST_VERSION_WITH_DELETION_DISABLED
    ):
        return KafkaError(ErrorCode.invalid_request, error.message)
    return error


def _answer(
    name: str | None, topic_id: UUID | bytes | None, error: KafkaError | None
) -> dict[str, Any]:
    return {
        "name": name,
        "topic_id": topic_id,
        "error_code": ErrorCode.none if error is None else error.code,
        "error_message": None if error is None else error.message or None,
    }
