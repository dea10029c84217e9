"""SyncGroup (API key 14), versions 0-5: the assignment, handed in and taken.

Answered when the assignment is stored. Version 3 has static members; 5 names the protocol, which
must be the group's.
"""

from functools import partial

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.pending import PendingReply
from barnabas.state.group.responses import SyncResponse
from barnabas.state.group.sync import SyncRequest

PROTOCOL_FROM_VERSION = 5


def handle(call: Call) -> Response:
    """Passes the request on and answers when the coordinator does."""
    request = call.request
    protocol_type = getattr(request, "protocol_type", None)
    protocol_name = getattr(request, "protocol_name", None)
    if call.version >= PROTOCOL_FROM_VERSION and (protocol_type is None or protocol_name is None):
        return call.response(error_code=ErrorCode.inconsistent_group_protocol)
    sync = SyncRequest(
        group_id=request.group_id,
        generation_id=request.generation_id,
        member_id=request.member_id,
        group_instance_id=getattr(request, "group_instance_id", None),
        protocol_type=protocol_type,
        protocol_name=protocol_name,
        assignments={item.member_id: item.assignment for item in request.assignments},
    )
    reply = PendingReply(partial(_encode, call))
    call.services.groups.sync(sync, reply)
    return reply


def _encode(call: Call, response: SyncResponse) -> bytes:
    return call.response(
        error_code=response.error,
        protocol_type=response.protocol_type,
        protocol_name=response.protocol_name,
        assignment=response.assignment,
    )
