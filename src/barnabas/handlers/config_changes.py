"""What AlterConfigs and IncrementalAlterConfigs have in common: resources, and their answers."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.errors import KafkaError
from barnabas.handlers.call import Call
from barnabas.handlers.config_resources import BROKER, BROKER_LOGGER, TOPIC
from barnabas.metadata.config_service import ConfigChange
from barnabas.state.topics import topic_name_error

MakeChange = Callable[[Call, Any], ConfigChange]
"""The change that a resource of a request asks for. Raises KafkaError."""


async def change_resources(call: Call, make_change: MakeChange) -> bytes:
    """Changes each resource on its own, and answers."""
    named = Counter((r.resource_type, r.resource_name) for r in call.request.resources)
    responses = {}
    for resource in call.request.resources:
        name = (resource.resource_type, resource.resource_name)
        if name in responses:
            continue
        try:
            if named[name] > 1:
                raise KafkaError(
                    ErrorCode.invalid_request, "Each resource must appear at most once."
                )
            await _change(call, resource, make_change)
            responses[name] = _outcome(resource, ErrorCode.none, None)
        except KafkaError as error:
            responses[name] = _outcome(resource, error.code, error.message or None)
    return call.response(responses=list(responses.values()))


def failed_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every resource: the response has none of its own."""
    return call.response(responses=[_outcome(r, error, None) for r in call.request.resources])


def check_entries(resource: Any, nulls_allowed: Callable[[Any], bool]) -> None:
    """Refuses keys named twice and values that must not be null. Raises KafkaError."""
    names = [entry.name for entry in resource.configs]
    if len(set(names)) < len(names):
        raise KafkaError(ErrorCode.invalid_request, "Error due to duplicate config keys")
    nulls = [e.name for e in resource.configs if e.value is None and not nulls_allowed(e)]
    if nulls:
        raise KafkaError(
            ErrorCode.invalid_request, f"Null value not supported for : {','.join(nulls)}"
        )


async def _change(call: Call, resource: Any, make_change: MakeChange) -> None:
    name = resource.resource_name
    only = call.request.validate_only
    if resource.resource_type == TOPIC:
        if not name:
            raise KafkaError(ErrorCode.invalid_request, "Default topic resources are not allowed.")
        if reason := topic_name_error(name):
            message = f"Topic name is invalid: {reason}"
            raise KafkaError(ErrorCode.invalid_topic_exception, message)
        change = make_change(call, resource)
        await call.services.configs.change_topic(name, change, validate_only=only)
    elif resource.resource_type == BROKER:
        _check_broker(call, name)
        change = make_change(call, resource)
        await call.services.configs.change_broker(name, change, validate_only=only)
    elif resource.resource_type == BROKER_LOGGER:
        raise KafkaError(
            ErrorCode.invalid_request,
            "Log levels cannot be changed through the protocol; start with --log-level.",
        )
    else:
        raise KafkaError(
            ErrorCode.invalid_request, f"Unknown resource type {resource.resource_type}"
        )


def _check_broker(call: Call, name: str) -> None:
    node_id = call.services.identity.node_id
    if name and not name.isdecimal():
        raise KafkaError(
            ErrorCode.invalid_request, f"Node id must be an integer, but it is: {name}"
        )
    if name and name != str(node_id):
        raise KafkaError(
            ErrorCode.invalid_request,
            f"Unexpected broker id, expected {node_id}, but received {name}",
        )


def _outcome(resource: Any, error: ErrorCode, message: str | None) -> dict[str, Any]:
    return {
        "error_code": error,
        "error_message": message,
        "resource_type": resource.resource_type,
        "resource_name": resource.resource_name,
    }
