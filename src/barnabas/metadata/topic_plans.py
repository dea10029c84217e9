"""What becomes of a wish for a topic: the record to store, or Kafka's reason why not. No IO."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from kio.schema.errors import ErrorCode

from barnabas.config.broker_config import BrokerConfig, validate_topic_config
from barnabas.errors import ConfigError, KafkaError
from barnabas.metadata.catalog import Catalog
from barnabas.metadata.records import PartitionRecord, TopicRecord
from barnabas.state import topics as rules
from barnabas.state.internal_topics import CLUSTER_METADATA, CONSUMER_OFFSETS, TRANSACTION_STATE

DEFAULT: Final = -1
"""As a number of partitions or replicas: the broker's default."""

_INTERNAL: Final = {CONSUMER_OFFSETS: "offsets.topic", TRANSACTION_STATE: "transaction.state.log"}
"""What the settings of the topics of coordinators begin with."""


class NewTopic(NamedTuple):
    """A topic to be made."""

    name: str
    partition_count: int = DEFAULT
    replication_factor: int = DEFAULT
    # (partition, brokers), as given: a partition may be named twice.
    assignments: Sequence[tuple[int, tuple[int, ...]]] = ()
    config: Mapping[str, str | None] = MappingProxyType({})


class MorePartitions(NamedTuple):
    """A topic to be grown."""

    name: str
    partition_count: int  # in all
    assignments: Sequence[tuple[int, ...]] | None = None  # brokers of each new partition


class TopicPlanner:
    """Plans topics of a lone broker."""

    def __init__(self, catalog: Catalog, config: BrokerConfig) -> None:
        self._catalog = catalog
        self._config = config
        self._node_id = config.integer("node.id")

    def partitions_asked_for(self, topics: Iterable[NewTopic]) -> int:
        """How many partitions new topics would have in all."""
        return sum(
            len(topic.assignments) or max(self._count_or_default(topic), 0) for topic in topics
        )

    def with_defaults(self, name: str) -> NewTopic:
        """A topic that is made because somebody has asked for it."""
        settings = _INTERNAL.get(name)
        if settings is None:
            return NewTopic(name=name)
        segment_bytes = max(self._config.integer(f"{settings}.segment.bytes"), 1 << 20)
        config = {
            "cleanup.policy": "compact",
            "compression.type": "producer",
            "segment.bytes": str(segment_bytes),
        }
        if name == TRANSACTION_STATE:
            config["min.insync.replicas"] = str(self._config.integer(f"{settings}.min.isr"))
            config["compression.type"] = "uncompressed"
            config["unclean.leader.election.enable"] = "false"
        return NewTopic(
            name=name,
            partition_count=self._config.integer(f"{settings}.num.partitions"),
            replication_factor=self._config.integer(f"{settings}.replication.factor"),
            config=config,
        )

    def plan(self, topic: NewTopic, also_new: Mapping[str, str]) -> TopicRecord:
        """The record of a topic to be made; `also_new`: names made with it, by their folded names.
        Raises KafkaError with Kafka's message.
        """
        name = topic.name
        if name == CLUSTER_METADATA:
            raise KafkaError(
                ErrorCode.invalid_request, f"Creation of internal topic {name} is prohibited."
            )
        if error := rules.topic_name_error(name):
            raise KafkaError(ErrorCode.invalid_topic_exception, f"Topic name is invalid: {error}")
        if self._catalog.topic(name) is not None:
            raise KafkaError(ErrorCode.topic_already_exists, f"Topic '{name}' already exists.")
        folded = rules.folded_name(name)
        if folded and (other := self._catalog.name_like(folded) or also_new.get(folded)):
            raise KafkaError(
                ErrorCode.invalid_topic_exception,
                f"Topic '{name}' collides with existing topic: {other}",
            )
        replicas = self._replicas(topic)
        try:
            validate_topic_config(topic.config, self._config)
        except ConfigError as bad:
            raise KafkaError(ErrorCode.invalid_config, str(bad)) from bad
        partitions = tuple(PartitionRecord(i, 0, nodes) for i, nodes in enumerate(replicas))
        config = {key: text for key, text in topic.config.items() if text is not None}
        return TopicRecord(name, uuid.uuid4().bytes, partitions, config)

    def plan_growth(self, topic: TopicRecord, wish: MorePartitions) -> tuple[PartitionRecord, ...]:
        """The partitions to be added. Raises KafkaError with Kafka's message."""
        present = len(topic.partitions)
        count = wish.partition_count
        if error := rules.new_partition_count_error(topic.name, count, present):
            raise KafkaError(ErrorCode.invalid_partitions, error)
        added = count - present
        replicas = wish.assignments
        if replicas is None:
            replicas = [(self._node_id,)] * added
        elif len(replicas) != added:
            raise KafkaError(
                ErrorCode.invalid_replica_assignment,
                f"Attempted to add {added} additional partition(s), but only {len(replicas)} "
                "assignment(s) were specified.",
            )
        for nodes in replicas:
            if error := rules.replicas_error(nodes, (self._node_id,)):
                raise KafkaError(ErrorCode.invalid_replica_assignment, error)
        return tuple(PartitionRecord(present + i, 0, nodes) for i, nodes in enumerate(replicas))

    def _replicas(self, topic: NewTopic) -> list[tuple[int, ...]]:
        """The replicas of each partition."""
        if topic.assignments:
            return self._assigned_replicas(topic)
        # In Kafka's order: a client is told one reason.
        factor = topic.replication_factor
        if factor == 0 or factor < DEFAULT:
            error = rules.replication_factor_error(factor, 1)
            raise KafkaError(ErrorCode.invalid_replication_factor, error or "")
        if error := rules.partition_count_error(topic.partition_count):
            raise KafkaError(ErrorCode.invalid_partitions, error)
        if factor == DEFAULT:
            factor = self._config.integer("default.replication.factor")
        if error := rules.replication_factor_error(factor, 1):
            raise KafkaError(ErrorCode.invalid_replication_factor, error)
        return [(self._node_id,)] * self._count_or_default(topic)

    def _assigned_replicas(self, topic: NewTopic) -> list[tuple[int, ...]]:
        if topic.replication_factor != DEFAULT:
            raise KafkaError(
                ErrorCode.invalid_request,
                "A manual partition assignment was specified, but replication factor was not "
                "set to -1.",
            )
        if topic.partition_count != DEFAULT:
            raise KafkaError(
                ErrorCode.invalid_request,
                "A manual partition assignment was specified, but numPartitions was not set to -1.",
            )
        if wrong := rules.assignment_error(topic.assignments, (self._node_id,)):
            raise KafkaError(*wrong)
        return [nodes for _, nodes in sorted(topic.assignments)]

    def _count_or_default(self, topic: NewTopic) -> int:
        if topic.partition_count == DEFAULT:
            return self._config.integer("num.partitions")
        return topic.partition_count
