"""The documents of the metadata store: typed values to and from JSON.

/cluster                cluster id
/topics/NAME            TopicRecord
/deleted-topics/ID      Tombstone: its directories are to be removed
/configs/brokers/ID     dynamic configuration of a broker ("default": of all brokers)
/log-directories/ID     LogDirectoryRecord: a log directory that the broker has, or has had
/producer-ids           the first producer id not yet handed out in a block
/adopted                AdoptedRecord, in a directory that Apache Kafka has made
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

CLUSTER_PATH: Final = "/cluster"
TOPICS_PREFIX: Final = "/topics/"
DELETED_TOPICS_PREFIX: Final = "/deleted-topics/"
BROKER_CONFIGS_PREFIX: Final = "/configs/brokers/"
LOG_DIRECTORIES_PREFIX: Final = "/log-directories/"
PRODUCER_IDS_PATH: Final = "/producer-ids"
ADOPTED_PATH: Final = "/adopted"
CLUSTER_DEFAULT: Final = "default"
"""In place of a broker id: the dynamic defaults of all brokers."""


class PartitionRecord(NamedTuple):
    """A partition: its index, and who serves it. The first replica leads; one that has none is
    known and offline, as it lives elsewhere.
    """

    partition: int
    leader_epoch: int
    replicas: tuple[int, ...]


class TopicRecord(NamedTuple):
    """A topic. `config` has what was set for the topic itself, as the strings that were given."""

    name: str
    topic_id: bytes
    partitions: tuple[PartitionRecord, ...]
    config: Mapping[str, str] = MappingProxyType({})

    @property
    def path(self) -> str:
        """Where it is stored."""
        return TOPICS_PREFIX + self.name

    def encode(self) -> bytes:
        """As a document."""
        return _dump(
            {
                "topic_id": self.topic_id.hex(),
                "partitions": [
                    [p.partition, p.leader_epoch, list(p.replicas)] for p in self.partitions
                ],
                "config": dict(self.config),
            }
        )

    @classmethod
    def decode(cls, name: str, document: bytes) -> "TopicRecord":
        """From a document. Raises ValueError."""
        fields = json.loads(document)
        try:
            return cls(
                name,
                bytes.fromhex(fields["topic_id"]),
                tuple(
                    PartitionRecord(partition, leader_epoch, tuple(replicas))
                    for partition, leader_epoch, replicas in fields["partitions"]
                ),
                fields["config"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"topic {name}: {error!r}") from error


class Tombstone(NamedTuple):
    """A deleted topic whose directories may still be there."""

    name: str
    topic_id: bytes
    partition_count: int

    @property
    def path(self) -> str:
        """Where it is stored."""
        return DELETED_TOPICS_PREFIX + self.topic_id.hex()

    def encode(self) -> bytes:
        """As a document."""
        return _dump({"name": self.name, "partition_count": self.partition_count})

    @classmethod
    def decode(cls, path: str, document: bytes) -> "Tombstone":
        """From a document. Raises ValueError."""
        fields = json.loads(document)
        topic_id = bytes.fromhex(path.removeprefix(DELETED_TOPICS_PREFIX))
        try:
            return cls(fields["name"], topic_id, fields["partition_count"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error!r}") from error


class LogDirectoryRecord(NamedTuple):
    """A log directory, by what its meta.properties call it, and where it was last."""

    directory_id: str
    path: str

    @property
    def path_in_store(self) -> str:
        """Where it is stored."""
        return LOG_DIRECTORIES_PREFIX + self.directory_id

    def encode(self) -> bytes:
        """As a document."""
        return _dump({"path": self.path})

    @classmethod
    def decode(cls, path: str, document: bytes) -> "LogDirectoryRecord":
        """From a document. Raises ValueError."""
        try:
            fields = json.loads(document)
            return cls(path.removeprefix(LOG_DIRECTORIES_PREFIX), fields["path"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: {error!r}") from error


class AdoptedRecord(NamedTuple):
    """How a data directory of Apache Kafka's was taken over."""

    metadata_dir: str | None  # with Kafka's metadata log; "" is this one, None: there was none
    kafka_position: str | None  # of that log
    for_good: bool  # topics may be changed, though Kafka's metadata will not know
    other_topics: tuple[str, ...] = ()  # known to Kafka's metadata, of which nothing is here

    @property
    def path(self) -> str:
        """Where it is stored."""
        return ADOPTED_PATH

    def encode(self) -> bytes:
        """As a document."""
        return _dump(
            {
                "metadata_dir": self.metadata_dir,
                "kafka_position": self.kafka_position,
                "for_good": self.for_good,
                "other_topics": list(self.other_topics),
            }
        )

    @classmethod
    def decode(cls, document: bytes) -> "AdoptedRecord":
        """From a document. Raises ValueError."""
        fields = json.loads(document)
        try:
            return cls(
                fields["metadata_dir"],
                fields["kafka_position"],
                fields["for_good"],
                tuple(fields["other_topics"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"{ADOPTED_PATH}: {error!r}") from error


def encode_config(config: Mapping[str, str]) -> bytes:
    """The document of a dynamic configuration."""
    return _dump(dict(config))


def decode_config(document: bytes) -> dict[str, str]:
    """The dynamic configuration of a document. Raises ValueError."""
    config = json.loads(document)
    if not isinstance(config, dict):
        raise ValueError("a configuration is an object")
    return config


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
