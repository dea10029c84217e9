"""DescribeConfigs (API key 32), versions 1-4: configurations in force, and where they come from.

Of topics and of this broker; an empty broker name asks for the dynamic defaults of all brokers.
Version 1 brought synonyms, 3 types and documentation. Groups and client metrics have no
configurations here, and log levels are not changed through the protocol.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from kio.schema.errors import ErrorCode

from barnabas.config.broker_config import BrokerConfig, Setting, Source
from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.config.keys import ConfigType, Key, Update, Value, format_value
from barnabas.config.topic_keys import TOPIC_KEYS
from barnabas.errors import KafkaError
from barnabas.handlers.call import Call
from barnabas.state.topics import topic_name_error

TOPIC: Final = 2
BROKER: Final = 4

_Settings = Callable[[str], Iterator[Setting]]


def handle(call: Call) -> bytes:
    """Describes each resource on its own."""
    return call.response(results=[_describe(call, resource) for resource in call.request.resources])


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The error for every resource: the response has none of its own."""
    return call.response(results=[_failed(r, error, None) for r in call.request.resources])


def _failed(resource: Any, error: ErrorCode, message: str | None) -> dict[str, Any]:
    return {
        "error_code": error,
        "error_message": message,
        "resource_type": resource.resource_type,
        "resource_name": resource.resource_name,
    }


def _describe(call: Call, resource: Any) -> dict[str, Any]:
    try:
        keys, settings = _resource(call, resource)
    except KafkaError as error:
        return _failed(resource, error.code, error.message or None)
    wanted = set(resource.configuration_keys or ())
    return {
        "error_code": ErrorCode.none,
        "resource_type": resource.resource_type,
        "resource_name": resource.resource_name,
        "configs": [
            _entry(call, key, list(settings(key.name)))
            for key in keys
            if (not wanted or key.name in wanted) and not key.internal
        ],
    }


def _resource(call: Call, resource: Any) -> tuple[list[Key], _Settings]:
    """The keys that a resource has, and what gives their values. Raises KafkaError."""
    config: BrokerConfig = call.services.config
    name = resource.resource_name
    if resource.resource_type == TOPIC:
        if reason := topic_name_error(name):
            message = f"Topic name is invalid: {reason}"
            raise KafkaError(ErrorCode.invalid_topic_exception, message)
        topic = call.services.catalog.topic(name)
        if topic is None:
            raise KafkaError(ErrorCode.unknown_topic_or_partition)
        topic_config = topic.config
        return list(TOPIC_KEYS.values()), lambda key: config.topic_settings(key, topic_config)
    if resource.resource_type == BROKER:
        if not name:
            return _dynamic_defaults(config)
        node_id = call.services.identity.node_id
        if name != str(node_id):
            raise KafkaError(
                ErrorCode.invalid_request,
                f"Unexpected broker id, expected {node_id} or empty string, but received {name}",
            )
        return list(BROKER_KEYS.values()), config.settings
    raise KafkaError(
        ErrorCode.invalid_request, f"Unsupported resource type: {resource.resource_type}"
    )


def _dynamic_defaults(config: BrokerConfig) -> tuple[list[Key], _Settings]:
    def settings(name: str) -> Iterator[Setting]:
        return (
            s
            for s in config.settings(name)
            if s.name == name and s.source is Source.DYNAMIC_DEFAULT_BROKER
        )

    return [key for key in BROKER_KEYS.values() if any(settings(key.name))], settings


def _entry(call: Call, key: Key, settings: list[Setting]) -> dict[str, Any]:
    sensitive = key.type is ConfigType.PASSWORD
    in_force = settings[0]
    return {
        "name": key.name,
        "value": _shown(in_force.value, sensitive),
        "read_only": key.update is Update.READ_ONLY,
        "config_source": in_force.source,
        "is_sensitive": sensitive,
        "synonyms": [
            {"name": s.name, "value": _shown(s.given, sensitive), "source": s.source}
            for s in (settings if call.request.include_synonyms else ())
            if not (s.value is None and s.source is Source.DEFAULT)
        ],
        "config_type": key.type,
        "documentation": key.doc if getattr(call.request, "include_documentation", False) else None,
    }


def _shown(value: Value, sensitive: bool) -> str | None:
    return None if sensitive else format_value(value)
