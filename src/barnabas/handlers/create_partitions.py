"""CreatePartitions (API key 37), versions 0-3: adds partitions to topics (KIP-195).

All versions mean the same. A topic never loses partitions.
"""

from collections import Counter
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.errors import KafkaError
from barnabas.handlers.call import Call
from barnabas.metadata.topic_plans import MorePartitions
from barnabas.protocol.codec import timedelta_ms


async def handle(call: Call) -> bytes:
    """Grows each topic on its own."""
    named = Counter(topic.name for topic in call.request.topics)
    wishes = [_wish(topic) for topic in call.request.topics if named[topic.name] == 1]
    failures = await call.services.topics.grow(
        wishes,
        validate_only=call.request.validate_only,
        timeout_ms=timedelta_ms(call.request.timeout),
    )
    duplicate = KafkaError(ErrorCode.invalid_request, "Duplicate topic name.")
    answers = [_answer(name, duplicate) for name, count in named.items() if count > 1]
    answers += [_answer(wish.name, failure) for wish, failure in zip(wishes, failures, strict=True)]
    return call.response(results=answers)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every topic: the response has none of its own."""
    failed = KafkaError(error)
    return call.response(results=[_answer(topic.name, failed) for topic in call.request.topics])


def _wish(topic: Any) -> MorePartitions:
    assignments = None
    if topic.assignments is not None:
        assignments = [tuple(assignment.broker_ids) for assignment in topic.assignments]
    return MorePartitions(name=topic.name, partition_count=topic.count, assignments=assignments)


def _answer(name: str, error: KafkaError | None) -> dict[str, Any]:
    return {
        "name": name,
        "error_code": ErrorCode.none if error is None else error.code,
        "error_message": None if error is None else error.message or None,
    }
