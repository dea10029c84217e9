"""What a cluster is, by its metadata records: topics, configurations, producer ids. Pure.

`replay` takes the records in their order. Those of a metadata transaction (KIP-868) count once it
has ended; one that has not, or was aborted, changes nothing.
"""

from dataclasses import dataclass, field, replace
from typing import Final

from barnabas.errors import StartError
from barnabas.protocol.internal.kraft_records import (
    LEADER_UNCHANGED,
    ConfigSet,
    FeatureLevel,
    KraftRecord,
    OtherRecord,
    PartitionAdded,
    PartitionChanged,
    ProducerIdsTaken,
    TopicAdded,
    TopicRemoved,
    TransactionAborted,
    TransactionBegun,
    TransactionEnded,
)

TOPIC_RESOURCE: Final = 2
BROKER_RESOURCE: Final = 4


@dataclass(slots=True)
class TopicImage:
    """A topic and its partitions by number."""

    name: str
    topic_id: bytes
    partitions: dict[int, PartitionAdded] = field(default_factory=dict)


class ClusterImage:
    """The cluster as the records replayed so far have it."""

    def __init__(self) -> None:
        self.topics: dict[bytes, TopicImage] = {}
        self.configs: dict[tuple[int, str], dict[str, str]] = {}
        self.features: dict[str, int] = {}
        self.next_producer_id = 0
        self.other_types: set[int] = set()  # api keys of records about other things
        self._transaction: list[KraftRecord] | None = None

    @property
    def is_in_transaction(self) -> bool:
        """Whether records wait for the end of their transaction."""
        return self._transaction is not None

    def replay(self, record: KraftRecord) -> None:
        """Applies a record. Raises StartError for one that does not fit those before it."""
        match record:
            case TransactionBegun():
                self._transaction = []
            case TransactionEnded():
                held, self._transaction = self._transaction or [], None
                for one in held:
                    self._apply(one)
            case TransactionAborted():
                self._transaction = None
            case _ if self._transaction is not None:
                self._transaction.append(record)
            case _:
                self._apply(record)

    def _apply(self, record: KraftRecord) -> None:
        match record:
            case TopicAdded(name, topic_id):
                self.topics[topic_id] = TopicImage(name, topic_id)
            case TopicRemoved(topic_id):
                gone = self._topic(topic_id)
                del self.topics[topic_id]
                self.configs.pop((TOPIC_RESOURCE, gone.name), None)
            case PartitionAdded():
                self._topic(record.topic_id).partitions[record.partition] = record
            case PartitionChanged():
                self._change(record)
            case ConfigSet():
                self._configure(record)
            case FeatureLevel(name, level):
                self.features[name] = level
            case ProducerIdsTaken(next_producer_id):
                self.next_producer_id = next_producer_id
            case OtherRecord(api_key):
                self.other_types.add(api_key)

    def _topic(self, topic_id: bytes) -> TopicImage:
        topic = self.topics.get(topic_id)
        if topic is None:
            raise StartError(f"a record is about topic id {topic_id.hex()}, which is unknown")
        return topic

    def _change(self, change: PartitionChanged) -> None:
        partitions = self._topic(change.topic_id).partitions
        before = partitions.get(change.partition)
        if before is None:
            name = self.topics[change.topic_id].name
            raise StartError(f"a record changes {name}-{change.partition}, which is unknown")
        after = before
        if change.replicas is not None:
            # Without directories of their own the new replicas may be in any.
            after = replace(after, replicas=change.replicas, directories=())
        if change.directories is not None:
            after = replace(after, directories=change.directories)
        if change.isr is not None:
            after = replace(after, isr=change.isr)
        if change.leader != LEADER_UNCHANGED:
            after = replace(after, leader=change.leader, leader_epoch=before.leader_epoch + 1)
        partitions[change.partition] = after

    def _configure(self, record: ConfigSet) -> None:
        resource = (record.resource_type, record.resource_name)
        config = self.configs.setdefault(resource, {})
        if record.value is None:
            config.pop(record.name, None)
        else:
            config[record.name] = record.value
        if not config:
            del self.configs[resource]
