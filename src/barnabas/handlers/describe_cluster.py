"""DescribeCluster (API key 60), versions 0-2: cluster id, controller and brokers (KIP-700).

Version 1 added the endpoint type, 2 fenced brokers. Only brokers are described here: who asks for
controllers learns that this is a broker's endpoint.
"""

from typing import Any, Final

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call
from barnabas.protocol.authorized_operations import CLUSTER_OPERATIONS, NOT_REQUESTED

ENDPOINT_TYPE_BROKER: Final = 1
ENDPOINT_TYPE_CONTROLLER: Final = 2


def handle(call: Call) -> bytes:
    """Describes this broker, which is the cluster."""
    request = call.request
    endpoint_type = getattr(request, "endpoint_type", ENDPOINT_TYPE_BROKER)
    if endpoint_type == ENDPOINT_TYPE_CONTROLLER:
        return call.response(
            error_code=ErrorCode.mismatched_endpoint_type,
            error_message="The request was sent to an endpoint of type BROKER, but we wanted an "
            "endpoint of type CONTROLLER",
        )
    if endpoint_type != ENDPOINT_TYPE_BROKER:
        return call.response(
            error_code=ErrorCode.unsupported_endpoint_type,
            error_message=f"Unsupported endpoint type {endpoint_type}",
        )
    identity = call.services.identity
    broker: dict[str, Any] = {
        "broker_id": identity.node_id,
        "host": identity.host,
        "port": identity.port,
        "rack": identity.rack,
    }
    asked = request.include_cluster_authorized_operations
    return call.response(
        error_code=ErrorCode.none,
        endpoint_type=ENDPOINT_TYPE_BROKER,
        cluster_id=identity.cluster_id,
        controller_id=identity.node_id,
        brokers=[broker],
        cluster_authorized_operations=CLUSTER_OPERATIONS if asked else NOT_REQUESTED,
    )
