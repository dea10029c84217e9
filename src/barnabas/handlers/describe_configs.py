"""DescribeConfigs (API key 32), versions 1-4: configurations in force, and where they come from.

Of topics and of this broker; an empty broker name asks for the dynamic defaults of all brokers.
Version 1 brought synonyms, 3 types and documentation. Loggers of this broker are shown with their
levels, which are not changed through the protocol. Groups and client metrics have no configurations
here, and are answered so.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import partial
from typing import Any, Final

from kio.schema.errors import ErrorCode

from barnabas.config.broker_config import BrokerConfig, Setting, Source
from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.config.keys import ConfigType, Key, Update, Value, format_value
from barnabas.config.topic_keys import TOPIC_KEYS
from barnabas.errors import KafkaError
from barnabas.handlers.call import Call
from barnabas.handlers.config_resources import (
    BROKER,
    BROKER_LOGGER,
    CLIENT_METRICS,
    GROUP,
    TOPIC,
    check_broker_id,
)
from barnabas.protocol.encoder import array_encoder
from barnabas.state.topics import topic_name_error

NOTHING_TO_CONFIGURE: Final = {
    CLIENT_METRICS: "Client metrics subscription name",
    GROUP: "Group name",
}
BROKER_LOGGER_SOURCE: Final = 6
ROOT_LOGGER: Final = "barnabas"
RESOURCES_PER_PASS: Final = 16  # of the broker loop, which serves others in between

_Settings = Callable[[str], Iterator[Setting]]

logger = logging.getLogger(__name__)


async def handle(call: Call) -> bytes:
    """Describes each resource on its own."""
    descriptions = _Descriptions(call)
    results = []
    for number, resource in enumerate(call.request.resources):
        if number and number % RESOURCES_PER_PASS == 0:
            await asyncio.sleep(0)
        results.append(descriptions.of(resource))
    return call.response(results=results)


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


class _Descriptions:
    """Describes the resources of one request; many topics have the same configuration."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._config: BrokerConfig = call.services.config
        self._encode = array_encoder(call.response_type, "results", "configs")
        self._of_topics: dict[Hashable, bytes] = {}

    def of(self, resource: Any) -> dict[str, Any]:
        """The result of a resource."""
        try:
            configs = self._configs(resource)
        except KafkaError as error:
            return _failed(resource, error.code, error.message or None)
        except Exception:  # must not take the other resources along
            logger.exception("cannot describe the configuration of %s", resource.resource_name)
            return _failed(resource, ErrorCode.unknown_server_error, None)
        return {
            "error_code": ErrorCode.none,
            "resource_type": resource.resource_type,
            "resource_name": resource.resource_name,
            "configs": configs,
        }

    def _configs(self, resource: Any) -> bytes:
        """The encoded configurations of a resource. Raises KafkaError."""
        kind, name = resource.resource_type, resource.resource_name
        wanted = frozenset(resource.configuration_keys or ())
        if kind == TOPIC:
            return self._topic(name, wanted)
        if kind == BROKER:
            return self._encoded(*self._broker(name), wanted)
        if kind == BROKER_LOGGER:
            check_broker_id(self._call, name, "Broker id must not be empty")
            return self._encoded_entries(
                entry for entry in _loggers() if not wanted or entry["name"] in wanted
            )
        if kind in NOTHING_TO_CONFIGURE:
            if not name:
                what = NOTHING_TO_CONFIGURE[kind]
                raise KafkaError(ErrorCode.invalid_request, f"{what} must not be empty")
            return self._encoded_entries(())
        raise KafkaError(ErrorCode.invalid_request, f"Unsupported resource type: {kind}")

    def _topic(self, name: str, wanted: frozenset[str]) -> bytes:
        if reason := topic_name_error(name):
            message = f"Topic name is invalid: {reason}"
            raise KafkaError(ErrorCode.invalid_topic_exception, message)
        topic = self._call.services.catalog.topic(name)
        if topic is None:
            raise KafkaError(ErrorCode.unknown_topic_or_partition)
        own = topic.config
        key = (tuple(own.items()), wanted)
        encoded = self._of_topics.get(key)
        if encoded is None:
            settings = partial(self._config.topic_settings, topic_config=own)
            encoded = self._encoded(TOPIC_KEYS.values(), settings, wanted)
            self._of_topics[key] = encoded
        return encoded

    def _broker(self, name: str) -> tuple[Iterable[Key], _Settings]:
        if not name:
            return _dynamic_defaults(self._config)
        check_broker_id(self._call, name, "")
        return BROKER_KEYS.values(), self._config.settings

    def _encoded(self, keys: Iterable[Key], settings: _Settings, wanted: frozenset[str]) -> bytes:
        return self._encoded_entries(
            _entry(self._call, key, list(settings(key.name)))
            for key in keys
            if (not wanted or key.name in wanted) and not key.internal
        )

    def _encoded_entries(self, entries: Iterable[dict[str, Any]]) -> bytes:
        out = bytearray()
        self._encode(out, list(entries))
        return bytes(out)


def _dynamic_defaults(config: BrokerConfig) -> tuple[list[Key], _Settings]:
    def settings(name: str) -> Iterator[Setting]:
        return (
            s
            for s in config.settings(name)
            if s.name == name and s.source is Source.DYNAMIC_DEFAULT_BROKER
        )

    return [key for key in BROKER_KEYS.values() if any(settings(key.name))], settings


def _loggers() -> list[dict[str, Any]]:
    """The loggers there are, with the levels in force. Set at start, with --log-level."""
    names = sorted(logging.Logger.manager.loggerDict)
    ours = [name for name in names if name.split(".")[0] == ROOT_LOGGER]
    return [
        {
            "name": name,
            "value": logging.getLevelName(logging.getLogger(name).getEffectiveLevel()),
            "read_only": True,
            "config_source": BROKER_LOGGER_SOURCE,
            "is_sensitive": False,
            "synonyms": (),
        }
        for name in ours
    ]


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
