"""The cluster as it is now, in memory: what handlers read. Imports `records` and `state`.

The catalog changes on the broker loop's thread alone, after the change is in the store, and each
value in it is immutable: whoever holds a TopicRecord may keep it across a wait.
"""

import uuid
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple

from barnabas.metadata.records import TopicRecord
from barnabas.state.internal_topics import INTERNAL_TOPICS
from barnabas.state.topics import folded_name


class BrokerIdentity(NamedTuple):
    """This broker, as clients are told."""

    node_id: int
    cluster_id: str
    host: str
    port: int
    rack: str | None = None


class Catalog:
    """The topics, by name and by id, and the dynamic broker configurations."""

    def __init__(self) -> None:
        self._topics: dict[str, TopicRecord] = {}
        self._names_by_id: dict[bytes, str] = {}
        # Of names that may collide: folded, to the name.
        self._folded: dict[str, str] = {}
        self._encoded: dict[str, dict[Hashable, bytes]] = {}
        self.change_count = 0  # of topics that were put
        # Partitions whose log directory has failed, by topic.
        self._offline: dict[str, frozenset[int]] = {}
        # Broker id, or CLUSTER_DEFAULT, to the configuration set dynamically.
        self.broker_configs: Mapping[str, Mapping[str, str]] = {}

    def __iter__(self) -> Iterator[TopicRecord]:
        return iter(self._topics.values())

    def __len__(self) -> int:
        return len(self._topics)

    def topic(self, name: str) -> TopicRecord | None:
        """The topic of a name."""
        return self._topics.get(name)

    def topic_by_id(self, topic_id: uuid.UUID | bytes | None) -> TopicRecord | None:
        """The topic of an id."""
        if topic_id is None:
            return None
        key = topic_id.bytes if isinstance(topic_id, uuid.UUID) else topic_id
        name = self._names_by_id.get(key)
        return None if name is None else self._topics[name]

    def name_like(self, folded: str) -> str | None:
        """The name of the topic whose folded name this is (`state.topics.folded_name`)."""
        return self._folded.get(folded)

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._topics)

    def put(self, topic: TopicRecord) -> None:
        """Adds or replaces a topic."""
        self.change_count += 1
        self._topics[topic.name] = topic
        self._names_by_id[topic.topic_id] = topic.name
        if folded := folded_name(topic.name):
            self._folded[folded] = topic.name
        self._encoded.pop(topic.name, None)

    def remove(self, name: str) -> None:
        """Forgets a topic."""
        topic = self._topics.pop(name)
        del self._names_by_id[topic.topic_id]
        if folded := folded_name(name):
            self._folded.pop(folded, None)
        self._encoded.pop(name, None)
        self._offline.pop(name, None)

    def offline(self, topic: str) -> frozenset[int]:
        """The partitions of a topic whose log directory has failed."""
        return self._offline.get(topic, frozenset())

    def set_offline(self, partitions: Iterable[tuple[str, int]]) -> None:
        """Replaces which partitions, (topic, number), lie in log directories that have failed."""
        by_topic: dict[str, set[int]] = {}
        for topic, partition in partitions:
            by_topic.setdefault(topic, set()).add(partition)
        for name in {*self._offline, *by_topic}:
            self._encoded.pop(name, None)
        self._offline = {name: frozenset(numbers) for name, numbers in by_topic.items()}

    def encoded(self, topic: TopicRecord) -> dict[Hashable, bytes]:
        """Where handlers keep what they encoded of a topic of this catalog, until it changes."""
        return self._encoded.setdefault(topic.name, {})


def is_internal(topic: str) -> bool:
    """Whether it is one of Kafka's own topics."""
    return topic in INTERNAL_TOPICS
