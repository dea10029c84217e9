"""Heartbeat (API key 12), versions 0-4: a member says that it lives, and learns of rebalances.

The most frequent request of all: the few possible answers are encoded once. Version 3 has static
members.
"""

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response

_answers: dict[tuple[int, ErrorCode], bytes] = {}


def handle(call: Call) -> Response:
    """Answers at once."""
    request = call.request
    error = call.services.groups.heartbeat(
        request.group_id,
        request.member_id,
        getattr(request, "group_instance_id", None),
        request.generation_id,
    )
    answer = _answers.get((call.version, error))
    if answer is None:
        answer = _answers[call.version, error] = call.response(error_code=error)
    return answer
