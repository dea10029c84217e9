"""What coordinators ask about their topics, and about others. Imports service and catalog."""

from collections.abc import Container

from kio.schema.errors import ErrorCode

from barnabas.metadata.catalog import Catalog
from barnabas.metadata.topic_service import TopicService
from barnabas.state.topic_partition import TopicPartition


class AnyTopic:
    """As a container of topics: has each."""

    def __contains__(self, topic: object) -> bool:
        return True


class InternalTopic:
    """What a coordinator asks about its topic, and others. `elsewhere`: those that exist, but not
    here; `is_kept_for_kafka`: which will have all of them again.
    """

    def __init__(
        self,
        name: str,
        service: TopicService,
        catalog: Catalog,
        elsewhere: Container[str] = (),
        *,
        is_kept_for_kafka: bool = False,
    ) -> None:
        self._name = name
        self._service = service
        self._catalog = catalog
        self._elsewhere = elsewhere
        self._is_kept_for_kafka = is_kept_for_kafka

    def partition_count(self) -> int | None:
        """Its partitions, None when it does not exist."""
        topic = self._catalog.topic(self._name)
        return None if topic is None else len(topic.partitions)

    async def ensure(self) -> int:
        """Makes it if need be; returns its partition count. Raises KafkaError."""
        count = self.partition_count()
        if count is None:
            errors = await self._service.auto_create([self._name])
            if error := errors[self._name]:
                raise error
            count = self.partition_count()
            assert count is not None
        return count

    def leader_epoch(self, partition: int) -> int:
        """The leader epoch of one of its partitions."""
        topic = self._catalog.topic(self._name)
        assert topic is not None
        return topic.partitions[partition].leader_epoch

    def has_topic(self, topic: str) -> bool:
        """Whether any topic exists."""
        return self._catalog.topic(topic) is not None or topic in self._elsewhere

    def is_kafkas_alone(self, partition: TopicPartition) -> bool:
        """Whether any partition is in a log directory that Kafka has, and will have beside ours."""
        if not self._is_kept_for_kafka:
            return False
        record = self._catalog.topic(partition.topic)
        if record is None:
            return partition.topic in self._elsewhere
        known = 0 <= partition.partition < len(record.partitions)
        return known and not record.partitions[partition.partition].replicas

    def topic_id(self, topic: str) -> bytes | None:
        """Of any topic of this broker."""
        record = self._catalog.topic(topic)
        return None if record is None else record.topic_id

    def partition_error(self, topic: str, partition: int, topic_id: bytes) -> ErrorCode:
        """Why nothing can be committed for a partition of a topic, whose id may be given."""
        record = self._catalog.topic(topic)
        if any(topic_id) and (record is None or record.topic_id != topic_id):
            return ErrorCode.unknown_topic_id
        if record is None or not 0 <= partition < len(record.partitions):
            return ErrorCode.unknown_topic_or_partition
        return ErrorCode.none
