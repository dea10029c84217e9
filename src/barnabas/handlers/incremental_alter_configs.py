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

from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.config.keys import ConfigType, Key, format_value
from barnabas.config.topic_keys import TOPIC_KEYS
from barnabas.errors import KafkaError
from barnabas.handlers.call import Call
from barnabas.handlers.config_changes import (
    change_resources,
    check_entries,
    failed_response,
)
from barnabas.handlers.config_resources import TOPIC
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

    def change(present: Mapping[str, str]) -> Mapping[str, str]:
        changed = dict(present)
        for entry in resource.configs:
            _apply(call, resource, changed, entry)
        return changed

    return change


def _apply(call: Call, resource: Any, config: dict[str, str], entry: Any) -> None:
    """One operation. Whether there is such a key, and its value, is checked with the outcome: to
    delete what is not there changes nothing.
    """
    operation, name = entry.config_operation, entry.name
    if operation == Operation.SET:
        config[name] = entry.value
    elif operation == Operation.DELETE:
        config.pop(name, None)
    elif operation in (Operation.APPEND, Operation.SUBTRACT):
        key = _list_key(resource, Operation(operation), name)
        items = _list_in_force(call, resource, config, key)
        given = [item.strip() for item in entry.value.split(",")]
        if operation == Operation.APPEND:
            items += [item for item in given if item not in items]
        else:
            items = [item for item in items if item not in given]
        config[name] = ",".join(items)
    else:
        raise KafkaError(ErrorCode.invalid_request, f"Unknown operations type {operation}")


def _list_key(resource: Any, operation: Operation, name: str) -> Key:
    is_topic = resource.resource_type == TOPIC
    key = (TOPIC_KEYS if is_topic else BROKER_KEYS).get(name)
    if key is None:
        what = "topic config" if is_topic else "config"
        raise KafkaError(ErrorCode.invalid_config, f"Unknown {what} name: {name}")
    if key.type is not ConfigType.LIST:
        reason = (
            f"Can't {operation.name} to key {name} because its type is not LIST."
            if is_topic
            else f"Config value {operation.name.lower()} is not allowed for config key: {name}"
        )
        raise KafkaError(ErrorCode.invalid_config, reason)
    return key


def _list_in_force(call: Call, resource: Any, config: Mapping[str, str], key: Key) -> list[str]:
    if key.name in config:
        text = config[key.name]
    elif resource.resource_type == TOPIC:
        text = format_value(call.services.config.topic_value(key.name, {})) or ""
    else:
        text = format_value(call.services.config.get(key.name)) or ""
    return [item.strip() for item in text.split(",") if item.strip()]
