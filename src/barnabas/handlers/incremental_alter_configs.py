"""IncrementalAlterConfigs (API key 44), versions 0-1: changes single keys (KIP-339).

    SET       the value
    DELETE    back to the default
    APPEND    more entries at the end of a list
    SUBTRACT  fewer entries of a list

APPEND and SUBTRACT start from the value in force, if the resource has none of its own.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.config.keys import ConfigType, Key, format_value
from barnabas.errors import KafkaError
from barnabas.handlers.call import Call
from barnabas.handlers.config_changes import (
    TOPIC,
    change_resources,
    check_entries,
    failed_response,
    key_of,
)
from barnabas.metadata.config_service import ConfigChange


class Operation(IntEnum):
    """AlterConfigOp.OpType."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


async def handle(call: Call) -> bytes:
    """Changes each resource."""
    return await change_resources(call, _change)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every resource."""
    return failed_response(call, error)


def _change(call: Call, resource: Any) -> ConfigChange:
    check_entries(resource, nulls_allowed=lambda entry: entry.config_operation == Operation.DELETE)
    entries = [(key_of(resource, entry.name), entry) for entry in resource.configs]

    def change(present: Mapping[str, str]) -> Mapping[str, str]:
        changed = dict(present)
        for key, entry in entries:
            _apply(call, resource, changed, key, entry)
        return changed

    return change


def _apply(call: Call, resource: Any, config: dict[str, str], key: Key, entry: Any) -> None:
    operation = entry.config_operation
    if operation == Operation.SET:
        config[key.name] = entry.value
    elif operation == Operation.DELETE:
        config.pop(key.name, None)
    elif operation in (Operation.APPEND, Operation.SUBTRACT):
        if key.type is not ConfigType.LIST:
            raise KafkaError(
                ErrorCode.invalid_config,
                f"Can't {Operation(operation).name} to key {key.name} because its type is not "
                "LIST.",
            )
        items = _list_in_force(call, resource, config, key)
        given = [item.strip() for item in entry.value.split(",")]
        if operation == Operation.APPEND:
            items += [item for item in given if item not in items]
        else:
            items = [item for item in items if item not in given]
        config[key.name] = ",".join(items)
    else:
        raise KafkaError(ErrorCode.invalid_request, f"Unknown operations type {operation}")


def _list_in_force(call: Call, resource: Any, config: Mapping[str, str], key: Key) -> list[str]:
    if key.name in config:
        text = config[key.name]
    elif resource.resource_type == TOPIC:
        text = format_value(call.services.config.topic_value(key.name, {})) or ""
    else:
        text = format_value(call.services.config.get(key.name)) or ""
    return [item.strip() for item in text.split(",") if item.strip()]
