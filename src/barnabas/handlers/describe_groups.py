"""DescribeGroups (API key 15), versions 0-6: groups with their members.

An unknown group is Dead; from version 6 on it is GROUP_ID_NOT_FOUND too (KIP-1043). Version 3 can
ask what the client may do: everything, as long as there is no authorizer.
"""

from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.errors import MESSAGE_CHARACTERS_MAX
from barnabas.handlers.call import Call, Response
from barnabas.protocol.authorized_operations import GROUP_OPERATIONS
from barnabas.state.group.group import GroupState

GROUP_ID_NOT_FOUND_FROM_VERSION = 6


def handle(call: Call) -> Response:
    """Answers at once."""
    return call.response(groups=[_describe(call, group_id) for group_id in call.request.groups])


def _describe(call: Call, group_id: str) -> dict[str, Any]:
    group, error = call.services.groups.describe(group_id)
    fields: dict[str, Any] = {"group_id": group_id, "error_code": error}
    if error is not ErrorCode.none:
        return fields
    if getattr(call.request, "include_authorized_operations", False):
        fields["authorized_operations"] = GROUP_OPERATIONS
    if group is None:
        fields["group_state"] = GroupState.DEAD.value
        if call.version >= GROUP_ID_NOT_FOUND_FROM_VERSION:
            fields["error_code"] = ErrorCode.group_id_not_found
            fields["error_message"] = f"Group {group_id} not found."[:MESSAGE_CHARACTERS_MAX]
        return fields
    return fields | {
        "group_state": group.state,
        "protocol_type": group.protocol_type,
        "protocol_data": group.protocol_name,
        "members": [
            {
                "member_id": member.member_id,
                "group_instance_id": member.group_instance_id,
                "client_id": member.client_id,
                "client_host": member.client_host,
                "member_metadata": member.metadata,
                "member_assignment": member.assignment,
            }
            for member in group.members
        ],
    }


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    groups = [{"group_id": group_id, "error_code": error} for group_id in call.request.groups]
    return call.response(groups=groups)
