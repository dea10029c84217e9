"""ListGroups (API key 16), versions 0-5: the groups of this broker.

Version 4 filters by state, 5 by type; both without regard to case.
"""

from barnabas.handlers.call import Call, Response


def handle(call: Call) -> Response:
    """Answers at once."""
    request = call.request
    groups, error = call.services.groups.listed(
        getattr(request, "states_filter", ()), getattr(request, "types_filter", ())
    )
    return call.response(
        error_code=error,
        groups=[
            {
                "group_id": group.group_id,
                "protocol_type": group.protocol_type,
                "group_state": group.state,
                "group_type": group.group_type,
            }
            for group in groups
        ],
    )
