"""ListConfigResources (API key 74), versions 0-1: what configurations can be set on (KIP-1142).

Version 0, ListClientMetricsResources once, lists client metrics alone, of which there are none. In
version 1 no types mean all.
"""

from typing import Final

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call
from barnabas.handlers.config_resources import (
    BROKER,
    BROKER_LOGGER,
    CLIENT_METRICS,
    GROUP,
    TOPIC,
)

RESOURCE_TYPES: Final = frozenset({TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP})


def handle(call: Call) -> bytes:
    """Lists topics and this broker; no client metrics or groups have configurations here."""
    if call.version == 0:
        return call.response(error_code=ErrorCode.none)
    types = set(call.request.resource_types) or RESOURCE_TYPES
    if not types <= RESOURCE_TYPES:
        return call.response(error_code=ErrorCode.unsupported_version)
    services = call.services
    resources = []
    if TOPIC in types:
        resources += [(name, TOPIC) for name in services.catalog.names()]
    resources += [
        (str(services.identity.node_id), kind) for kind in (BROKER, BROKER_LOGGER) if kind in types
    ]
    return call.response(
        error_code=ErrorCode.none,
        config_resources=[
            {"resource_name": name, "resource_type": kind} for name, kind in resources
        ],
    )
