"""CreatePartitions (API key 37), versions 0-3: adds partitions to topics (KIP-195).

All versions mean the same. A topic never loses partitions.
"""

from collections import Counter
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.errors import KafkaError
from barnabas.handlers.call import Call


async def handle(call: Call) -> bytes:
    """Grows each topic on its own."""
    named = Counter(topic.name for topic in call.request.topics)
    answers = [
        _answer(name, KafkaError(ErrorCode.invalid_request, "Duplicate topic name."))
        for name, count in named.items()
        if count > 1
    ]
    for topic in call.request.topics:
        if named[topic.name] > 1:
            continue
        assignments = None
        if topic.assignments is not None:
            assignments = [tuple(assignment.broker_ids) for assignment in topic.assignments]
        try:
            await call.services.topics.grow(
                topic.name,
                topic.count,
                assignments,
                validate_only=call.request.validate_only,
            )
            answers.append(_answer(topic.name, None))
        except KafkaError as error:
            answers.append(_answer(topic.name, error))
    return call.response(results=answers)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every topic: the response has none of its own."""
    failed = KafkaError(error)
    return call.response(results=[_answer(topic.name, failed) for topic in call.request.topics])


def _answer(name: str, error: KafkaError | None) -> dict[str, Any]:
    return {
        "name": name,
        "error_code": ErrorCode.none if error is None else error.code,
        "error_message": None if error is None else error.message or None,
    }
