"""LeaveGroup (API key 13), versions 0-5: members go, and others need not wait.

Versions 0 to 2 name one member, whose error is that of the response. From 3 on there are several,
each with its own error; a static member may be named by its group instance id alone, which is how
administrators remove one. Version 5 has a reason, which nobody reads.
"""

from functools import partial

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.pending import PendingReply
from barnabas.state.group.liveness import Leaver
from barnabas.state.group.responses import LeaveResponse

BATCHED_FROM_VERSION = 3


def handle(call: Call) -> Response:
    """Passes the request on and answers when the coordinator does."""
    request = call.request
    if call.version >= BATCHED_FROM_VERSION:
        leavers = tuple(Leaver(item.member_id, item.group_instance_id) for item in request.members)
    else:
        leavers = (Leaver(request.member_id, None),)
    reply = PendingReply(partial(_encode, call))
    call.services.groups.leave(request.group_id, leavers, reply)
    return reply


def _encode(call: Call, response: LeaveResponse) -> bytes:
    error = response.error
    if call.version < BATCHED_FROM_VERSION and error is ErrorCode.none:
        error = response.members[0].error
    return call.response(
        error_code=error,
        members=[
            {
                "member_id": member.member_id,
                "group_instance_id": member.group_instance_id,
                "error_code": member.error,
            }
            for member in response.members
        ],
    )
