"""AlterConfigs (API key 33), versions 0-2: replaces a resource's whole dynamic configuration.

What the request does not name goes back to its default; that is why IncrementalAlterConfigs came
(KIP-339). All versions mean the same.
"""

from collections.abc import Mapping
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call
from barnabas.handlers.config_changes import change_resources, check_entries, failed_response
from barnabas.metadata.config_service import ConfigChange


async def handle(call: Call) -> bytes:
    """Replaces the configuration of each resource."""
    return await change_resources(call, _replacement)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every resource."""
    return failed_response(call, error)


def _replacement(_: Call, resource: Any) -> ConfigChange:
    check_entries(resource, nulls_allowed=lambda _: False)
    config = {entry.name: entry.value for entry in resource.configs}

    def replace(_: Mapping[str, str]) -> Mapping[str, str]:
        return config

    return replace
