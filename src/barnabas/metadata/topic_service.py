"""Creates, grows, deletes and configures topics: checks, stores, then lets the core act.

What is in the store counts: a change is committed there first, so that a crash at any moment leaves
it done or not done, and the next start makes directories agree. To be used on the broker loop's
thread; whatever waits for a disk runs on another one. Of a topic there is one change at a time: one
whose turn does not come within the client's `timeout_ms` fails with REQUEST_TIMED_OUT, one that has
begun is finished. Topics wait for each other in the store alone.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

from kio.schema.errors import ErrorCode

from barnabas.config.broker_config import BrokerConfig
from barnabas.disk_calls import TOPICS, DiskCalls
from barnabas.errors import KafkaError
from barnabas.metadata.catalog import Catalog, is_internal
from barnabas.metadata.commits import commit
from barnabas.metadata.records import PartitionRecord, Tombstone, TopicRecord
from barnabas.metadata.store import Change, Delete, MetadataStore, Put
from barnabas.metadata.topic_plans import MorePartitions, NewTopic, TopicPlanner
from barnabas.metadata.topic_removal import TopicRemoval
from barnabas.metadata.topic_turns import TopicTurns
from barnabas.state import topics as rules
from barnabas.wording import counted

if TYPE_CHECKING:
    from barnabas._core import Core

logger = logging.getLogger(__name__)

Args = TypeVarTuple("Args")
T = TypeVar("T")

REMOVAL_GRACE_S: Final = 0.1
"""How long an answered deletion waits for the core, so that few ever meet a topic that is gone."""
PLANS_PER_PASS: Final = 50  # of the broker loop, which serves others in between


class TopicService:
    """The topics of a lone broker."""

    def __init__(
        self,
        *,
        core: "Core",
        disk_calls: DiskCalls,
        store: MetadataStore,
        catalog: Catalog,
        config: BrokerConfig,
        on_deleted: Callable[[Iterable[str]], None],
        is_kept_for_kafka: bool = False,
    ) -> None:
        self._core = core
        self._disk_calls = disk_calls
        self._store = store
        self._catalog = catalog
        self._config = config
        self._on_deleted = on_deleted
        self.is_kept_for_kafka = is_kept_for_kafka
        self._turns = TopicTurns()
        self._configuring = asyncio.Lock()
        self._planner = TopicPlanner(catalog, config)
        self._removal = TopicRemoval(core, disk_calls, store)

    async def stop(self) -> None:
        """Ends what goes on in the background."""
        await self._removal.stop()

    def check_may_change(self) -> None:
        """Raises KafkaError in a directory that Apache Kafka is to have back: it would not know."""
        if self.is_kept_for_kafka:
            raise KafkaError(
                ErrorCode.policy_violation,
                "Topics and configurations of an adopted data directory cannot be changed: Apache "
                "Kafka would not know of it when it has the directory back. Started with "
                "--adopt-for-good, the broker allows it.",
            )

    # -- creating

    async def create(
        self,
        topics: Sequence[NewTopic],
        *,
        validate_only: bool = False,
        timeout_ms: int | None = None,
    ) -> list[TopicRecord | KafkaError]:
        """Makes topics; for each its record or why not."""
        try:
            _check_total(self._planner.partitions_asked_for(topics))
            async with self._turns.turn((topic.name for topic in topics), timeout_ms):
                # Their directories are in the way of new ones.
                await self._removal.finished(topic.name for topic in topics)
                results = await self._plan(topics)
                if not validate_only:
                    planned = [result for result in results if isinstance(result, TopicRecord)]
                    failures = await self._create_planned(planned)
                    results = [
                        failures.get(r.name, r) if isinstance(r, TopicRecord) else r
                        for r in results
                    ]
                return results
        except KafkaError as error:
            return [error] * len(topics)

    async def _plan(self, topics: Sequence[NewTopic]) -> list[TopicRecord | KafkaError]:
        results: list[TopicRecord | KafkaError] = []
        also_new: dict[str, str] = {}
        for number, topic in enumerate(topics):
            if number and number % PLANS_PER_PASS == 0:
                await asyncio.sleep(0)
            try:
                if is_internal(topic.name) and self.is_kept_for_kafka:
                    logger.warning(
                        "topic %s is made here: Apache Kafka will set it aside, and make its own, "
                        "when it has the directory back",
                        topic.name,
                    )
                else:
                    self.check_may_change()
                results.append(self._planner.plan(topic, also_new))
            except KafkaError as error:
                results.append(error)
            else:
                if folded := rules.folded_name(topic.name):
                    also_new[folded] = topic.name
        return results

    async def auto_create(self, names: Iterable[str]) -> dict[str, KafkaError | None]:
        """Makes topics with the broker's defaults; for each why it could not be made."""
        wanted = list(names)
        results = await self.create([self._planner.with_defaults(name) for name in wanted])
        errors: dict[str, KafkaError | None] = {}
        for name, result in zip(wanted, results, strict=True):
            # Somebody else may have been faster, which is as good.
            if isinstance(result, TopicRecord) or self._catalog.topic(name) is not None:
                errors[name] = None
            else:
                errors[name] = result
        return errors

    async def _create_planned(self, topics: Sequence[TopicRecord]) -> dict[str, KafkaError]:
        """Stores topics, makes their logs; returns what failed, by name."""
        if not topics:
            return {}

        try:
            # A stored topic that the catalog lacks is one that could not be taken back.
            await self._commit(Put(topic.path, topic.encode()) for topic in topics)
        except KafkaError as error:
            return {topic.name: error for topic in topics}
        made = await _all(self._make(topic) for topic in topics)
        return {topic.name: error for topic, error in zip(topics, made, strict=True) if error}

    async def _make(self, topic: TopicRecord) -> KafkaError | None:
        """Makes the logs of a topic that is stored; returns why it could not."""
        config = self._config.core_topic_config(topic.config)
        if failure := await self._make_logs(topic, topic.partitions, config):
            await self._take_back(topic)
            return failure
        self._catalog.put(topic)
        logger.info("created topic %s, %s", topic.name, counted(len(topic.partitions), "partition"))
        if self._config.core_topic_config(topic.config) != config:
            try:
                await self._configure(topic.name)  # the broker's has changed meanwhile
            except KafkaError as error:
                return error
        return None

    async def _take_back(self, topic: TopicRecord) -> None:
        """Forgets a topic whose logs could not be made."""
        try:
            await self._commit([Delete(topic.path)])
        except KafkaError as error:
            # Nobody was told that it is there; the next start makes what is missing of it.
            logger.error("topic %s stays stored, without logs: %s", topic.name, error)

    async def _make_logs(
        self,
        topic: TopicRecord,
        partitions: Sequence[PartitionRecord],
        config: Mapping[str, int | str | bool],
    ) -> KafkaError | None:
        """Makes and serves the logs of partitions; returns why it could not."""
        from barnabas._core import CoreError

        numbers = [(p.partition, p.leader_epoch) for p in partitions]
        begin = self._core.begin_creation
        try:
            change = await self._disk_calls.run(
                TOPICS, begin, topic.name, topic.topic_id, numbers, config
            )
            await self._disk_calls.carry_out(change)
        except CoreError as error:
            logger.error("cannot make the logs of topic %s: %s", topic.name, error)
            return KafkaError(ErrorCode.kafka_storage_error, str(error))
        return None

    # -- growing

    async def grow(
        self,
        wishes: Sequence[MorePartitions],
        *,
        validate_only: bool = False,
        timeout_ms: int | None = None,
    ) -> list[KafkaError | None]:
        """Adds partitions to topics; for each why it could not be done."""
        try:
            _check_total(sum(self._added(wish) for wish in wishes))
            async with self._turns.turn((wish.name for wish in wishes), timeout_ms):
                return await _all(self._grow(wish, validate_only) for wish in wishes)
        except KafkaError as error:
            return [error] * len(wishes)

    def _added(self, wish: MorePartitions) -> int:
        topic = self._catalog.topic(wish.name)
        return 0 if topic is None else max(wish.partition_count - len(topic.partitions), 0)

    async def _grow(self, wish: MorePartitions, validate_only: bool) -> KafkaError | None:
        try:
            self.check_may_change()
            topic = self._existing(wish.name)
            new = self._planner.plan_growth(topic, wish)
            if validate_only:
                return None
            grown = topic._replace(partitions=topic.partitions + new)
            await self._store_topic(grown)
        except KafkaError as error:
            return error
        config = self._config.core_topic_config(topic.config)
        failure = await self._make_logs(grown, new, config)
        if failure is not None:
            try:
                await self._store_topic(topic)
            except KafkaError as error:
                logger.error("topic %s stays stored as grown: %s", topic.name, error)
            return failure
        self._catalog.put(grown)
        logger.info("topic %s now has %s", topic.name, counted(wish.partition_count, "partition"))
        return None

    # -- deleting

    async def delete(
        self, names: Iterable[str], *, timeout_ms: int | None = None
    ) -> dict[str, KafkaError | None]:
        """Deletes topics and their logs; for each why it could not be done.

        The topics are gone at return, their directories soon.
        """
        names = list(names)
        results: dict[str, KafkaError | None] = dict.fromkeys(names)
        doomed: list[TopicRecord] = []
        try:
            async with self._turns.turn(names, timeout_ms):
                for name in results:
                    try:
                        doomed.append(self._deletable(name))
                    except KafkaError as error:
                        results[name] = error
                await self._delete(doomed)
        except KafkaError as error:
            return {name: result or error for name, result in results.items()}
        with suppress(TimeoutError):
            async with asyncio.timeout(REMOVAL_GRACE_S):
                await self._removal.finished(topic.name for topic in doomed)
        return results

    def _deletable(self, name: str) -> TopicRecord:
        topic = self._existing(name)
        if not self._config.boolean("delete.topic.enable"):
            raise KafkaError(ErrorCode.topic_deletion_disabled)
        self.check_may_change()
        return topic

    async def _delete(self, topics: Sequence[TopicRecord]) -> None:
        tombstones = [Tombstone(t.name, t.topic_id, len(t.partitions)) for t in topics]
        changes: list[Change] = [Delete(topic.path) for topic in topics]
        changes += [Put(tombstone.path, tombstone.encode()) for tombstone in tombstones]
        if not changes:
            return
        await self._commit(changes)
        for topic in topics:
            self._catalog.remove(topic.name)
            logger.info("deleted topic %s", topic.name)
        self._on_deleted([topic.name for topic in topics])
        self._removal.add(tombstones)

    # -- configuring

    async def set_config(
        self, name: str, change: Callable[[Mapping[str, str]], Mapping[str, str]]
    ) -> None:
        """Replaces a topic's own configuration by `change` of it, which raises KafkaError."""
        self.check_may_change()
        async with self._turns.turn([name]):
            topic = self._existing(name)
            changed = topic._replace(config=dict(change(topic.config)))
            await self._store_topic(changed)
            self._catalog.put(changed)
            await self._configure(name)
            logger.info("topic %s now has the configuration %s", name, dict(changed.config))

    async def apply_broker_config(self) -> None:
        """Tells the core what is in force after a change of the broker's configuration. Raises
        KafkaError when some of it is not, having told the rest.
        """
        failures: list[KafkaError] = []
        settings = self._config.core_settings()
        try:
            await self._tell_core(self._core.set_broker_config, settings)
        except KafkaError as error:
            logger.error("%s", error)
            failures.append(error)
        for name in self._catalog.names():
            try:
                await self._configure(name)
            except KafkaError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    # -- parts

    async def _configure(self, name: str) -> None:
        """Tells the core what is in force for a topic. Raises KafkaError."""
        async with self._configuring:  # what is told last must be what was set last
            topic = self._catalog.topic(name)
            if topic is None:
                return
            config = self._config.core_topic_config(topic.config)
            try:
                await self._tell_core(self._core.set_topic_config, name, config)
            except KafkaError as error:
                if self._catalog.topic(name) is None:
                    return  # deleted meanwhile
                logger.error("topic %s: %s", name, error)
                raise

    async def _tell_core(self, call: Callable[[*Args], None], *args: *Args) -> None:
        """Lets the core have a configuration that is stored. Raises KafkaError."""
        from barnabas._core import CoreError

        try:
            await self._disk_calls.run(TOPICS, call, *args)
        except CoreError as error:
            message = f"The configuration is stored, but not in force before a restart: {error}"
            raise KafkaError(ErrorCode.kafka_storage_error, message) from error

    def _existing(self, name: str) -> TopicRecord:
        topic = self._catalog.topic(name)
        if topic is None:
            raise KafkaError(
                ErrorCode.unknown_topic_or_partition, f"The topic '{name}' does not exist."
            )
        return topic

    async def _store_topic(self, topic: TopicRecord) -> None:
        await self._commit([Put(topic.path, topic.encode())])

    async def _commit(self, changes: Iterable[Change]) -> None:
        await commit(self._store, self._disk_calls, changes)


async def _all(changes: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Waits for all of them: none goes on when the turn that they share has ended."""
    tasks = [asyncio.ensure_future(change) for change in changes]
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


def _check_total(partition_count: int) -> None:
    if error := rules.total_partitions_error(partition_count):
        raise KafkaError(ErrorCode.policy_violation, error)
