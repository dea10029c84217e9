"""Creates, grows, deletes and configures topics: checks, stores, then lets the core act.

What is in the store counts: a change is committed there first, so that a crash at any moment leaves
it done or not done, and the next start makes directories agree. To be used on the broker loop's
thread; whatever waits for a disk runs on another one. One change at a time.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from kio.schema.errors import ErrorCode

from barnabas.config.broker_config import BrokerConfig, validate_topic_config
from barnabas.errors import ConfigError, KafkaError
from barnabas.metadata.catalog import Catalog, is_internal
from barnabas.metadata.records import PartitionRecord, Tombstone, TopicRecord
from barnabas.metadata.store import ABSENT, Delete, MetadataStore, Put, StoreError
from barnabas.state import topics as rules
from barnabas.state.internal_topics import CONSUMER_OFFSETS

if TYPE_CHECKING:
    from barnabas._core import Core

logger = logging.getLogger(__name__)

DEFAULT: Final = -1
"""As a number of partitions or replicas: the broker's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTopic:
    """A topic to be made."""

    name: str
    partition_count: int = DEFAULT
    replication_factor: int = DEFAULT
    assignments: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    config: Mapping[str, str | None] = field(default_factory=dict)


class TopicService:
    """The topics of a lone broker."""

    def __init__(
        self,
        *,
        core: "Core",
        store: MetadataStore,
        catalog: Catalog,
        config: BrokerConfig,
        on_deleted: Callable[[str], None],
    ) -> None:
        self._core = core
        self._store = store
        self._catalog = catalog
        self._config = config
        self._on_deleted = on_deleted
        self._changing = asyncio.Lock()
        self._node_id = config.integer("node.id")

    # -- creating

    async def create(
        self, topics: Sequence[NewTopic], *, validate_only: bool = False
    ) -> list[TopicRecord | KafkaError]:
        """Makes topics; for each its record or why not."""
        async with self._changing:
            results: list[TopicRecord | KafkaError] = []
            names: set[str] = set()
            partition_count = 0
            for topic in topics:
                try:
                    record = self._plan(topic, names)
                    partition_count += len(record.partitions)
                    if partition_count > rules.MAX_PARTITIONS_PER_BATCH:
                        raise KafkaError(
                            ErrorCode.policy_violation,
                            "Unable to perform excessively large batch operation.",
                        )
                    results.append(record)
                    names.add(topic.name)
                except KafkaError as error:
                    results.append(error)
            if not validate_only:
                planned = [result for result in results if isinstance(result, TopicRecord)]
                failures = await self._create_planned(planned)
                results = [
                    failures.get(result.name, result) if isinstance(result, TopicRecord) else result
                    for result in results
                ]
            return results

    async def auto_create(self, names: Iterable[str]) -> dict[str, KafkaError | None]:
        """Makes topics with the broker's defaults; for each why it could not be made."""
        wanted = list(names)
        results = await self.create([self._with_defaults(name) for name in wanted])
        errors: dict[str, KafkaError | None] = {}
        for name, result in zip(wanted, results, strict=True):
            # Somebody else may have been faster, which is as good.
            if isinstance(result, TopicRecord) or self._catalog.topic(name) is not None:
                errors[name] = None
            else:
                errors[name] = result
        return errors

    def _with_defaults(self, name: str) -> NewTopic:
        if name != CONSUMER_OFFSETS:
            return NewTopic(name=name)
        return NewTopic(
            name=name,
            partition_count=self._config.integer("offsets.topic.num.partitions"),
            replication_factor=self._config.integer("offsets.topic.replication.factor"),
            config={
                "cleanup.policy": "compact",
                "compression.type": "producer",
                "segment.bytes": str(
                    max(self._config.integer("offsets.topic.segment.bytes"), 1 << 20)
                ),
            },
        )

    def _plan(self, topic: NewTopic, also_new: set[str]) -> TopicRecord:
        """The record of a topic to be made. Raises KafkaError with Kafka's message."""
        if error := rules.topic_name_error(topic.name):
            raise KafkaError(ErrorCode.invalid_topic_exception, f"Topic name is invalid: {error}")
        if self._catalog.topic(topic.name) is not None:
            raise KafkaError(
                ErrorCode.topic_already_exists, f"Topic '{topic.name}' already exists."
            )
        other = rules.colliding_name(topic.name, (*self._catalog.names(), *also_new))
        if other is not None:
            raise KafkaError(
                ErrorCode.invalid_topic_exception,
                f"Topic '{topic.name}' collides with existing topic: {other}",
            )
        replicas = self._plan_replicas(topic)
        try:
            validate_topic_config(topic.config)
        except ConfigError as bad:
            raise KafkaError(ErrorCode.invalid_config, str(bad)) from bad
        partitions = tuple(PartitionRecord(i, 0, nodes) for i, nodes in enumerate(replicas))
        config = {name: text for name, text in topic.config.items() if text is not None}
        return TopicRecord(topic.name, uuid.uuid4().bytes, partitions, config)

    def _plan_replicas(self, topic: NewTopic) -> list[tuple[int, ...]]:
        """The replicas of each partition."""
        if topic.assignments:
            if topic.replication_factor != DEFAULT:
                raise KafkaError(
                    ErrorCode.invalid_request,
                    "A manual partition assignment was specified, but replication factor was not "
                    "set to -1.",
                )
            if topic.partition_count != DEFAULT:
                raise KafkaError(
                    ErrorCode.invalid_request,
                    "A manual partition assignment was specified, but numPartitions was not set "
                    "to -1.",
                )
            if wrong := rules.assignment_error(topic.assignments, (self._node_id,)):
                raise KafkaError(*wrong)
            return [topic.assignments[i] for i in range(len(topic.assignments))]
        factor = topic.replication_factor
        if factor == DEFAULT:
            factor = self._config.integer("default.replication.factor")
        if error := rules.replication_factor_error(factor, 1):
            raise KafkaError(ErrorCode.invalid_replication_factor, error)
        if error := rules.partition_count_error(topic.partition_count):
            raise KafkaError(ErrorCode.invalid_partitions, error)
        count = topic.partition_count
        if count == DEFAULT:
            count = self._config.integer("num.partitions")
        return [(self._node_id,)] * count

    async def _create_planned(self, topics: Sequence[TopicRecord]) -> dict[str, KafkaError]:
        """Stores topics, makes their logs; returns what failed, by name."""
        if not topics:
            return {}
        try:
            await asyncio.to_thread(
                self._store.commit, [Put(topic.path, topic.encode(), ABSENT) for topic in topics]
            )
        except StoreError as error:
            logger.error("cannot store new topics: %s", error)
            unstored = KafkaError(ErrorCode.kafka_storage_error, str(error))
            return {topic.name: unstored for topic in topics}
        failures: dict[str, KafkaError] = {}
        for topic in topics:
            numbers = [(p.partition, p.leader_epoch) for p in topic.partitions]
            if failure := await self._make_logs(topic, numbers):
                failures[topic.name] = failure
                await self._take_back(topic)
            else:
                self._catalog.put(topic)
                logger.info("created topic %s, %d partitions", topic.name, len(topic.partitions))
        return failures

    async def _take_back(self, topic: TopicRecord) -> None:
        """Forgets a topic whose logs could not be made."""
        try:
            await asyncio.to_thread(self._store.commit, [Delete(topic.path)])
        except StoreError as error:
            # Nobody was told that it is there; the next start makes what is missing of it.
            logger.error("topic %s stays stored, without logs: %s", topic.name, error)

    async def _make_logs(
        self, topic: TopicRecord, numbers: list[tuple[int, int]]
    ) -> KafkaError | None:
        """Makes and serves the logs of partitions; returns why it could not."""
        from barnabas._core import CoreError

        config = self._config.core_topic_config(topic.config)
        try:
            await asyncio.to_thread(
                self._core.create_partitions, topic.name, topic.topic_id, numbers, config
            )
        except CoreError as error:
            logger.error("cannot make the logs of topic %s: %s", topic.name, error)
            return KafkaError(ErrorCode.kafka_storage_error, str(error))
        return None

    # -- growing

    async def grow(
        self,
        name: str,
        partition_count: int,
        assignments: Sequence[tuple[int, ...]] | None,
        *,
        validate_only: bool = False,
    ) -> None:
        """Adds partitions. Raises KafkaError."""
        async with self._changing:
            topic = self._existing(name)
            present = len(topic.partitions)
            if error := rules.new_partition_count_error(name, partition_count, present):
                raise KafkaError(ErrorCode.invalid_partitions, error)
            added = partition_count - present
            if assignments is not None:
                self._check_new_replicas(assignments, added)
            replicas = assignments or [(self._node_id,)] * added
            new = tuple(PartitionRecord(present + i, 0, nodes) for i, nodes in enumerate(replicas))
            if validate_only:
                return
            grown = replace(topic, partitions=topic.partitions + new)
            await self._store_topic(grown)
            failure = await self._make_logs(grown, [(p.partition, 0) for p in new])
            if failure is not None:
                try:
                    await self._store_topic(topic)
                except KafkaError as error:
                    logger.error("topic %s stays stored as grown: %s", name, error)
                raise failure
            self._catalog.put(grown)
            logger.info("topic %s now has %d partitions", name, partition_count)

    def _check_new_replicas(self, assignments: Sequence[tuple[int, ...]], added: int) -> None:
        invalid = ErrorCode.invalid_replica_assignment
        if len(assignments) != added:
            raise KafkaError(
                invalid,
                f"Attempted to add {added} additional partition(s), but only {len(assignments)} "
                "assignment(s) were specified.",
            )
        for replicas in assignments:
            if error := rules.replicas_error(replicas, (self._node_id,)):
                raise KafkaError(invalid, error)

    # -- deleting

    async def delete(self, name: str) -> None:
        """Deletes a topic and its logs. Raises KafkaError."""
        from barnabas._core import CoreError

        async with self._changing:
            topic = self._existing(name)
            if not self._config.boolean("delete.topic.enable") or is_internal(name):
                raise KafkaError(ErrorCode.topic_deletion_disabled)
            tombstone = Tombstone(name, topic.topic_id, len(topic.partitions))
            await self._commit([Delete(topic.path), Put(tombstone.path, tombstone.encode())])
            self._catalog.remove(name)
            try:
                await asyncio.to_thread(self._core.delete_topic, name)
                await self._commit([Delete(tombstone.path)])
            except (CoreError, KafkaError) as error:
                logger.error("topic %s is deleted, its directories not yet: %s", name, error)
            logger.info("deleted topic %s", name)
            self._on_deleted(name)

    # -- configuring

    async def set_config(
        self, name: str, change: Callable[[Mapping[str, str]], Mapping[str, str]]
    ) -> None:
        """Replaces a topic's own configuration by `change` of it, which raises KafkaError."""
        async with self._changing:
            topic = self._existing(name)
            changed = replace(topic, config=dict(change(topic.config)))
            await self._store_topic(changed)
            self._catalog.put(changed)
            await asyncio.to_thread(
                self._core.set_topic_config, name, self._config.core_topic_config(changed.config)
            )
            logger.info("topic %s now has the configuration %s", name, dict(changed.config))

    async def apply_broker_config(self) -> None:
        """Tells the core what is in force after a change of the broker's configuration."""
        async with self._changing:
            await asyncio.to_thread(self._core.set_broker_config, self._config.core_settings())
            for topic in self._catalog:
                config = self._config.core_topic_config(topic.config)
                await asyncio.to_thread(self._core.set_topic_config, topic.name, config)

    # -- parts

    def _existing(self, name: str) -> TopicRecord:
        topic = self._catalog.topic(name)
        if topic is None:
            raise KafkaError(
                ErrorCode.unknown_topic_or_partition,
                "This server does not host this topic-partition.",
            )
        return topic

    async def _store_topic(self, topic: TopicRecord) -> None:
        await self._commit([Put(topic.path, topic.encode())])

    async def _commit(self, changes: Sequence[Put | Delete]) -> None:
        try:
            await asyncio.to_thread(self._store.commit, changes)
        except StoreError as error:
            logger.error("cannot store metadata: %s", error)
            raise KafkaError(ErrorCode.kafka_storage_error, str(error)) from error


class OffsetsTopic:
    """What the group coordinator asks about topics."""

    def __init__(self, service: TopicService, catalog: Catalog) -> None:
        self._service = service
        self._catalog = catalog

    def partition_count(self) -> int | None:
        """The partitions of __consumer_offsets, None when it does not exist."""
        topic = self._catalog.topic(CONSUMER_OFFSETS)
        return None if topic is None else len(topic.partitions)

    async def ensure(self) -> int:
        """Makes __consumer_offsets if need be; returns its partition count."""
        count = self.partition_count()
        if count is None:
            errors = await self._service.auto_create([CONSUMER_OFFSETS])
            if error := errors[CONSUMER_OFFSETS]:
                raise error
            count = self.partition_count()
            assert count is not None
        return count

    def has_topic(self, topic: str) -> bool:
        """Whether a topic exists."""
        return self._catalog.topic(topic) is not None
