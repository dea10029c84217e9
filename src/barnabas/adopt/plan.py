"""Which topics and settings are adopted from a directory, and what there is to be said. No IO.

A partition is adopted when this node is one of its replicas and it lives in this directory. Its
topic keeps its number of partitions: those that are elsewhere are known, and offline. A topic of
which nothing is here is only known by name.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from barnabas.adopt.data_dir import DirectoryContents, PartitionName
from barnabas.adopt.image import BROKER_RESOURCE, TOPIC_RESOURCE, ClusterImage, TopicImage
from barnabas.config.broker_config import (
    BrokerConfig,
    check_dynamic_keys,
    validate_topic_config,
)
from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.errors import ConfigError, StartError
from barnabas.metadata.records import CLUSTER_DEFAULT, PartitionRecord, TopicRecord
from barnabas.protocol.internal.kraft_records import PartitionAdded
from barnabas.state.internal_topics import (
    CLUSTER_METADATA,
    CONSUMER_OFFSETS,
    SHARE_GROUP_STATE,
    TRANSACTION_STATE,
)

PRODUCER_ID_GAP: Final = 1 << 40
"""Between Kafka's producer ids and those that are handed out here: when Kafka has the directory
again it goes on with its own, and must not meet one in a log that it did not give."""

_LONG_MAX: Final = 2**63 - 1
UNASSIGNED_DIRECTORY: Final = (1).to_bytes(16)
"""Of a replica that Kafka has not placed yet."""
# The first hundred ids are no directory's: unassigned, migrating, lost.
_RESERVED_DIRECTORIES: Final = frozenset(number.to_bytes(16) for number in range(100))
_KEEP_EVERYTHING: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
}
_KEEP_COMPACTED: Final = {"cleanup.policy": "compact", "min.compaction.lag.ms": str(_LONG_MAX)}
# Api keys of records whose meaning Barnabas does not enforce.
_UNENFORCED: Final = {
    10: "delegation tokens",
    11: "SCRAM credentials",
    14: "client quotas",
    18: "ACLs",
}
_EXAMPLES: Final = 3  # of many names, in a line for people


@dataclass(slots=True)
class AdoptionPlan:
    """What goes into the store."""

    topics: list[TopicRecord] = field(default_factory=list)
    other_topics: list[str] = field(default_factory=list)  # known to Kafka, nothing of them here
    broker_configs: dict[str, dict[str, str]] = field(default_factory=dict)
    first_producer_id: int = 0
    promoted: list[PartitionName] = field(default_factory=list)  # from -future
    warnings: list[str] = field(default_factory=list)


class _Remarks:
    """Lines about many partitions, one for each reason."""

    def __init__(self) -> None:
        self._names: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, name: str, remark: str) -> None:
        self._names[remark].append(name)

    def lines(self) -> Iterable[str]:
        for remark, names in self._names.items():
            more = len(names) - _EXAMPLES
            shown = ", ".join(names[:_EXAMPLES]) + (f" and {more} more" if more > 0 else "")
            yield f"{shown}: {remark}"


class AdoptionPlanner:
    """Plans the adoption of one directory."""

    def __init__(
        self,
        *,
        node_id: int,
        directory_id: bytes,
        contents: DirectoryContents,
        config: BrokerConfig,
    ) -> None:
        self._node_id = node_id
        self._directory_id = directory_id
        self._contents = contents
        self._config = config
        self._remarks = _Remarks()

    def from_metadata(self, image: ClusterImage) -> AdoptionPlan:
        """By what Kafka's metadata says."""
        plan = AdoptionPlan(first_producer_id=image.next_producer_id + PRODUCER_ID_GAP)
        for topic in sorted(image.topics.values(), key=lambda topic: topic.name):
            if topic.name == SHARE_GROUP_STATE:
                plan.other_topics.append(topic.name)
                continue
            self._plan_topic(plan, topic, image.configs.get((TOPIC_RESOURCE, topic.name), {}))
        self._note_the_rest(plan)
        self._plan_broker_configs(plan, image)
        plan.warnings += [
            f"Kafka's metadata has {what}: Barnabas does not enforce them"
            for api_key, what in _UNENFORCED.items()
            if api_key in image.other_types
        ]
        plan.warnings += self._remarks.lines()
        return plan

    def from_directories(self) -> AdoptionPlan:
        """By the directories alone: nothing is deleted or compacted, for nobody knows its rules.

        Raises StartError when directories of one name belong to different topics.
        """
        plan = AdoptionPlan(first_producer_id=PRODUCER_ID_GAP)
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for topic, number in self._contents.partitions:
            if topic not in (CLUSTER_METADATA, SHARE_GROUP_STATE):
                numbers[topic].append(number)
        for topic, present in sorted(numbers.items()):
            partitions = []
            for number in range(max(present) + 1):
                replicas = (self._node_id,) if number in present else ()
                epoch = self._latest_epoch((topic, number))
                partitions.append(PartitionRecord(number, epoch, replicas))
                if not replicas:
                    self._remarks.add(f"{topic}-{number}", "not in this directory: offline")
            topic_id = self._common_id(topic, present)
            is_compacted = topic in (CONSUMER_OFFSETS, TRANSACTION_STATE) or any(
                (topic, number) in self._contents.compacted for number in present
            )
            config = _KEEP_COMPACTED if is_compacted else _KEEP_EVERYTHING
            plan.topics.append(TopicRecord(topic, topic_id, tuple(partitions), config))
        plan.warnings += self._remarks.lines()
        return plan

    def _common_id(self, topic: str, numbers: Iterable[int]) -> bytes:
        found = {self._contents.partitions[topic, number].topic_id for number in numbers}
        ids = found - {None}
        if len(ids) > 1:
            raise StartError(f"the directories of {topic} belong to {len(ids)} topics of that name")
        return next(iter(ids), None) or uuid.uuid4().bytes

    # -- topics

    def _latest_epoch(self, name: PartitionName) -> int:
        """What follows in a log must not have an older leader epoch than what is there."""
        present = self._contents.partitions.get(name)
        return 0 if present is None else present.latest_epoch

    def _plan_topic(self, plan: AdoptionPlan, topic: TopicImage, config: Mapping[str, str]) -> None:
        partitions = []
        for number, known in sorted(topic.partitions.items()):
            is_here = self._is_here(plan, (topic.name, number), known)
            replicas = (self._node_id,) if is_here else ()
            epoch = max(known.leader_epoch, self._latest_epoch((topic.name, number)))
            partitions.append(PartitionRecord(number, epoch, replicas))
        if not any(partition.replicas for partition in partitions):
            plan.other_topics.append(topic.name)
            return
        for partition in partitions:
            if not partition.replicas:
                self._remarks.add(
                    f"{topic.name}-{partition.partition}", "not in this directory: offline"
                )
        usable = self._usable_topic_config(plan, topic.name, config)
        plan.topics.append(TopicRecord(topic.name, topic.topic_id, tuple(partitions), usable))

    def _is_here(self, plan: AdoptionPlan, name: PartitionName, partition: PartitionAdded) -> bool:
        if self._node_id not in partition.replicas:
            return False
        shown = f"{name[0]}-{name[1]}"
        present = self._contents.partitions.get(name)
        at = partition.replicas.index(self._node_id)
        directories = partition.directories
        directory = directories[at] if at < len(directories) else None
        if directory is None or directory in _RESERVED_DIRECTORIES:
            is_here = present is not None or directory == UNASSIGNED_DIRECTORY
        else:
            is_here = directory == self._directory_id
        if not is_here:
            return False
        if present is not None and present.topic_id not in (None, partition.topic_id):
            self._remarks.add(shown, "of an older topic of that name: left as it is")
            return False
        if present is None and name in self._contents.futures:
            plan.promoted.append(name)
        if len(partition.replicas) > 1:
            self._remarks.add(
                shown,
                "has replicas on other brokers too: what is added here is lost when one of them "
                "leads again",
            )
        if partition.isr and self._node_id not in partition.isr:
            self._remarks.add(shown, "was not in sync: it may lack records that others have")
        return True

    def _note_the_rest(self, plan: AdoptionPlan) -> None:
        """Says what lies in the directory and is not served."""
        adopted = {(t.name, p.partition) for t in plan.topics for p in t.partitions if p.replicas}
        for topic, number in self._contents.partitions:
            if (topic, number) not in adopted and topic not in (
                CLUSTER_METADATA,
                SHARE_GROUP_STATE,
            ):
                self._remarks.add(
                    f"{topic}-{number}", "not this broker's by Kafka's metadata: left as it is"
                )
        for name in self._contents.futures:
            if name not in plan.promoted:
                self._remarks.add(
                    f"{name[0]}-{name[1]}", "was being moved here by Kafka: left as it is"
                )

    # -- configurations

    def _usable_topic_config(
        self, plan: AdoptionPlan, topic: str, config: Mapping[str, str]
    ) -> dict[str, str]:
        usable = {}
        for name, text in config.items():
            try:
                validate_topic_config({name: text}, self._config)
                usable[name] = text
            except ConfigError as error:
                plan.warnings.append(f"{name}={text} of topic {topic} is not used: {error}")
        return usable

    def _plan_broker_configs(self, plan: AdoptionPlan, image: ClusterImage) -> None:
        for (resource_type, resource), config in sorted(image.configs.items()):
            if resource_type == TOPIC_RESOURCE:
                continue
            unused = set(config)
            if resource_type == BROKER_RESOURCE:
                if resource not in ("", str(self._node_id)):
                    continue  # another broker's
                usable = self._usable_broker_config(config)
                plan.broker_configs[resource or CLUSTER_DEFAULT] = usable
                unused -= usable.keys()
            if unused:
                plan.warnings.append(
                    f"dynamic configuration of {_resource_name(resource_type, resource)} is not "
                    f"used: {', '.join(sorted(unused))}"
                )

    def _usable_broker_config(self, config: Mapping[str, str]) -> dict[str, str]:
        usable = {}
        for name, text in config.items():
            try:
                check_dynamic_keys([name])
                BROKER_KEYS[name].parse(text)
            except ConfigError:
                continue
            if BROKER_KEYS[name].used:
                usable[name] = text
        return usable


def _resource_name(resource_type: int, resource: str) -> str:
    if resource_type == BROKER_RESOURCE:
        return f"broker {resource}" if resource else "all brokers"
    kinds = {8: "the loggers of broker", 16: "client metrics", 32: "group"}
    return f"{kinds.get(resource_type, f'resource type {resource_type}')} {resource}"
