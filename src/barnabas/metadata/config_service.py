"""Changes the configurations that clients may change: stored first, in force at return.

To be used on the broker loop's thread.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from kio.schema.errors import ErrorCode

from barnabas.config.broker_config import (
    BrokerConfig,
    Source,
    check_broker_values,
    check_dynamic_keys,
    validate_topic_config,
)
from barnabas.disk_calls import DiskCalls
from barnabas.errors import ConfigError, KafkaError
from barnabas.metadata.catalog import Catalog
from barnabas.metadata.commits import commit
from barnabas.metadata.records import BROKER_CONFIGS_PREFIX, CLUSTER_DEFAULT, encode_config
from barnabas.metadata.store import MetadataStore, Put
from barnabas.metadata.topic_service import TopicService

MAX_STRING_BYTES: Final = 0x7FFF
"""Of a string in Kafka's messages. A list can outgrow it by appending."""

logger = logging.getLogger(__name__)

ConfigChange = Callable[[Mapping[str, str]], Mapping[str, str]]
"""The new configuration from the one set now. Raises KafkaError."""


class ConfigService:
    """The dynamic configurations of topics and brokers."""

    def __init__(
        self,
        *,
        store: MetadataStore,
        catalog: Catalog,
        config: BrokerConfig,
        topics: TopicService,
        disk_calls: DiskCalls,
    ) -> None:
        self._disk_calls = disk_calls
        self._store = store
        self._catalog = catalog
        self._config = config
        self._topics = topics
        self._changing = asyncio.Lock()

    async def change_topic(self, name: str, change: ConfigChange, *, validate_only: bool) -> None:
        """Changes a topic's own configuration. Raises KafkaError."""

        def checked(present: Mapping[str, str]) -> Mapping[str, str]:
            changed = change(present)
            try:
                validate_topic_config(changed, self._config)
                _check_lengths(changed)
            except ConfigError as error:
                raise KafkaError(ErrorCode.invalid_config, str(error)) from error
            return changed

        topic = self._catalog.topic(name)
        if topic is None:
            raise KafkaError(
                ErrorCode.unknown_topic_or_partition, f"The topic '{name}' does not exist."
            )
        if validate_only:
            self._topics.check_may_change()
            checked(topic.config)
        else:
            await self._topics.set_config(name, checked)

    async def change_broker(self, name: str, change: ConfigChange, *, validate_only: bool) -> None:
        """Changes the dynamic configuration of this broker, or with an empty name the defaults of
        all brokers. Raises KafkaError.
        """
        self._topics.check_may_change()
        source = Source.DYNAMIC_BROKER if name else Source.DYNAMIC_DEFAULT_BROKER
        stored_as = name or CLUSTER_DEFAULT
        async with self._changing:
            present = self._catalog.broker_configs.get(stored_as, {})
            changed = dict(change(present))
            self._check_broker(source, changed)
            if validate_only:
                return
            put = Put(BROKER_CONFIGS_PREFIX + stored_as, encode_config(changed))
            await commit(self._store, self._disk_calls, [put])
            self._catalog.broker_configs = {**self._catalog.broker_configs, stored_as: changed}
            self._config.set_dynamic(source, changed)
            logger.info("dynamic configuration of broker %s is now %s", stored_as, changed)
            await self._topics.apply_broker_config()

    def _check_broker(self, source: Source, changed: Mapping[str, str]) -> None:
        """Raises KafkaError, which as in Kafka is another one than for a topic."""
        try:
            check_dynamic_keys(changed)
            _check_lengths(changed)
            candidate = self._config.with_dynamic(source, changed)
        except ConfigError as error:
            raise KafkaError(ErrorCode.invalid_request, str(error)) from error
        try:
            check_broker_values(candidate)
        except ConfigError as error:
            message = f"requirement failed: {error}"
            raise KafkaError(ErrorCode.invalid_request, message) from error


def _check_lengths(config: Mapping[str, str]) -> None:
    """A value that no message could say would make its resource impossible to describe. Raises
    ConfigError.
    """
    for name, text in config.items():
        if len(text.encode()) > MAX_STRING_BYTES:
            raise ConfigError(
                f"Invalid value for configuration {name}: it has {len(text.encode())} bytes, at "
                f"most {MAX_STRING_BYTES} are possible"
            )
