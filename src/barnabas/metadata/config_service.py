"""Changes the configurations that clients may change: stored first, in force at return.

To be used on the broker loop's thread.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from kio.schema.errors import ErrorCode

from barnabas.config.broker_config import (
    BrokerConfig,
    Source,
    validate_broker_config,
    validate_topic_config,
)
from barnabas.errors import ConfigError, KafkaError
from barnabas.metadata.catalog import Catalog
from barnabas.metadata.records import BROKER_CONFIGS_PREFIX, CLUSTER_DEFAULT, encode_config
from barnabas.metadata.store import MetadataStore, Put, StoreError
from barnabas.metadata.topic_service import TopicService

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
    ) -> None:
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
                validate_topic_config(changed)
            except ConfigError as error:
                raise KafkaError(ErrorCode.invalid_config, str(error)) from error
            return changed

        if not validate_only:
            await self._topics.set_config(name, checked)
            return
        topic = self._catalog.topic(name)
        if topic is None:
            raise KafkaError(ErrorCode.unknown_topic_or_partition)
        checked(topic.config)

    async def change_broker(self, name: str, change: ConfigChange, *, validate_only: bool) -> None:
        """Changes the dynamic configuration of this broker, or with an empty name the defaults of
        all brokers. Raises KafkaError.
        """
        source = Source.DYNAMIC_BROKER if name else Source.DYNAMIC_DEFAULT_BROKER
        stored_as = name or CLUSTER_DEFAULT
        async with self._changing:
            changed = dict(change(self._catalog.broker_configs.get(stored_as, {})))
            try:
                validate_broker_config(changed)
            except ConfigError as error:
                raise KafkaError(ErrorCode.invalid_config, str(error)) from error
            if validate_only:
                return
            put = Put(BROKER_CONFIGS_PREFIX + stored_as, encode_config(changed))
            try:
                await asyncio.to_thread(self._store.commit, [put])
            except StoreError as error:
                raise KafkaError(ErrorCode.kafka_storage_error, str(error)) from error
            self._catalog.broker_configs = {**self._catalog.broker_configs, stored_as: changed}
            self._config.set_dynamic(source, changed)
            await self._topics.apply_broker_config()
            logger.info("dynamic configuration of broker %s is now %s", stored_as, changed)
