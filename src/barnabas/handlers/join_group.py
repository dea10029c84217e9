"""JoinGroup (API key 11), versions 0-9: become, or stay, a member of a group.

Answered when the join phase of the rebalance ends. Version 0 has no rebalance timeout: the session
timeout counts. From 4 on a dynamic member is first told its id and comes back with it (KIP-394), 5
has static members, 7 names the protocol type and lets the protocol name be null, 9 lets a static
leader that is back skip the assignment (KIP-814).
"""

from functools import partial

from barnabas.handlers.call import Call, Response
from barnabas.handlers.pending import PendingReply
from barnabas.protocol.codec import timedelta_ms
from barnabas.state.group.join import JoinRequest
from barnabas.state.group.member import Protocol
from barnabas.state.group.responses import JoinResponse

REBALANCE_TIMEOUT_FROM_VERSION = 1
MEMBER_ID_REQUIRED_FROM_VERSION = 4
NULLABLE_PROTOCOL_NAME_FROM_VERSION = 7
SKIP_ASSIGNMENT_FROM_VERSION = 9


def handle(call: Call) -> Response:
    """Passes the request on and answers when the coordinator does."""
    request, version = call.request, call.version
    session_timeout_ms = timedelta_ms(request.session_timeout)
    has_own_timeout = version >= REBALANCE_TIMEOUT_FROM_VERSION
    join = JoinRequest(
        group_id=request.group_id,
        member_id=request.member_id,
        group_instance_id=getattr(request, "group_instance_id", None),
        client_id=call.client_id or "",
        client_host=f"/{call.peer_host}",  # as Java prints an address; tools show it
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=(
            timedelta_ms(request.rebalance_timeout) if has_own_timeout else session_timeout_ms
        ),
        protocol_type=request.protocol_type,
        protocols=tuple(Protocol(item.name, item.metadata) for item in request.protocols),
        requires_known_member_id=version >= MEMBER_ID_REQUIRED_FROM_VERSION,
        supports_skip_assignment=version >= SKIP_ASSIGNMENT_FROM_VERSION,
    )
    reply = PendingReply(partial(_encode, call))
    call.services.groups.join(join, reply)
    return reply


def _encode(call: Call, response: JoinResponse) -> bytes:
    protocol_name = response.protocol_name
    if protocol_name is None and call.version < NULLABLE_PROTOCOL_NAME_FROM_VERSION:
        protocol_name = ""
    return call.response(
        error_code=response.error,
        generation_id=response.generation_id,
        protocol_type=response.protocol_type,
        protocol_name=protocol_name,
        leader=response.leader_id,
        skip_assignment=response.skip_assignment,
        member_id=response.member_id,
        members=[
            {
                "member_id": member.member_id,
                "group_instance_id": member.group_instance_id,
                "metadata": member.metadata,
            }
            for member in response.members
        ],
    )
