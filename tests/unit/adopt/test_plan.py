"""What is adopted from a directory, by Kafka's metadata and by what lies there."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from barnabas.adopt.data_dir import read_contents
from barnabas.adopt.image import BROKER_RESOURCE, TOPIC_RESOURCE, ClusterImage
from barnabas.adopt.plan import PRODUCER_ID_GAP, AdoptionPlan, AdoptionPlanner
from barnabas.config.broker_config import BrokerConfig
from barnabas.errors import StartError
from barnabas.metadata.records import TopicRecord
from barnabas.protocol.internal.kraft_records import decode_kraft_record
from unit.adopt import kraft_writer as kw

A, B = bytes([1]) * 16, bytes([2]) * 16
ELSEWHERE = bytes(range(50, 66))
UNASSIGNED, MIGRATING = (1).to_bytes(16), bytes(16)
HEX = "0" * 32


@pytest.fixture
def data_dir(tmp_path: Path) -> kw.DataDir:
    return kw.DataDir(tmp_path / "kafka")


def planner(data_dir: kw.DataDir) -> AdoptionPlanner:
    return AdoptionPlanner(
        node_id=kw.NODE_ID,
        directory_id=kw.DIRECTORY_ID,
        contents=read_contents(data_dir.path),
        config=BrokerConfig({}),
    )


def plan(data_dir: kw.DataDir, *values: bytes) -> AdoptionPlan:
    image = ClusterImage()
    for value in values:
        image.replay(decode_kraft_record(value))
    return planner(data_dir).from_metadata(image)


def here(topic: TopicRecord) -> list[bool]:
    """Of each partition of the topic, whether it is served."""
    return [bool(partition.replicas) for partition in topic.partitions]


def test_topics_keep_ids_epochs_and_configurations(data_dir: kw.DataDir) -> None:
    data_dir.partition("a-0", A)
    found = plan(
        data_dir,
        kw.topic("a", A),
        kw.partition(A, 0, leader_epoch=7),
        kw.config(TOPIC_RESOURCE, "a", "retention.ms", "5"),
        kw.producer_ids(3000),
    )
    (topic,) = found.topics
    assert (topic.name, topic.topic_id, topic.config) == ("a", A, {"retention.ms": "5"})
    assert [(p.partition, p.leader_epoch, p.replicas) for p in topic.partitions] == [(0, 7, (1,))]
    assert found.first_producer_id == 3000 + PRODUCER_ID_GAP
    assert found.warnings == []


def test_leader_epochs_never_go_back(data_dir: kw.DataDir) -> None:
    path = data_dir.partition("a-0", A)
    (path / "leader-epoch-checkpoint").write_text("0\n2\n2 0\n9 40\n")
    (with_metadata,) = plan(data_dir, kw.topic("a", A), kw.partition(A, 0, leader_epoch=4)).topics
    (by_name,) = planner(data_dir).from_directories().topics
    assert with_metadata.partitions[0].leader_epoch == by_name.partitions[0].leader_epoch == 9


def test_a_partition_of_another_directory_is_offline(data_dir: kw.DataDir) -> None:
    data_dir.partition("a-0", A)
    found = plan(
        data_dir,
        kw.topic("a", A),
        kw.partition(A, 0),
        kw.partition(A, 1, directories=(ELSEWHERE,)),
        kw.partition(A, 2, replicas=(2,), directories=(ELSEWHERE,)),
        kw.topic("b", B),
        kw.partition(B, 0, directories=(ELSEWHERE,)),
    )
    (topic,) = found.topics
    assert here(topic) == [True, False, False]
    assert found.other_topics == ["b"]
    assert found.warnings == ["a-1, a-2: not in this directory: offline"]


@pytest.mark.parametrize(
    ("directories", "is_present", "expected"),
    [
        (None, True, True),
        (None, False, False),
        ((MIGRATING,), True, True),
        ((MIGRATING,), False, False),
        ((UNASSIGNED,), False, True),  # its directory was about to be made
        ((kw.DIRECTORY_ID,), False, True),
        ((ELSEWHERE,), True, False),
    ],
)
def test_where_a_partition_is(
    data_dir: kw.DataDir, directories: Sequence[bytes] | None, is_present: bool, expected: bool
) -> None:
    data_dir.partition("a-1", A)
    if is_present:
        data_dir.partition("a-0", A)
    found = plan(
        data_dir,
        kw.topic("a", A),
        kw.partition(A, 0, directories=directories),
        kw.partition(A, 1),
    )
    (topic,) = found.topics
    assert here(topic) == [expected, True]


def test_replicas_on_other_brokers_are_told(data_dir: kw.DataDir) -> None:
    data_dir.partition("a-0", A)
    data_dir.partition("a-1", A)
    both = (ELSEWHERE, kw.DIRECTORY_ID)
    found = plan(
        data_dir,
        kw.topic("a", A),
        kw.partition(A, 0, replicas=(2, 1), isr=(2, 1), directories=both),
        kw.partition(A, 1, replicas=(2, 1), isr=(2,), directories=both),
    )
    (topic,) = found.topics
    assert [p.replicas for p in topic.partitions] == [(1,), (1,)]
    replicated, behind = found.warnings
    assert replicated.startswith("a-0, a-1: has replicas on other brokers")
    assert behind.startswith("a-1: was not in sync")


def test_directories_that_are_nobodys_are_left_alone_and_told(data_dir: kw.DataDir) -> None:
    for name, topic_id in (("a-0", B), ("gone-3", B), ("__share_group_state-4", B)):
        data_dir.partition(name, topic_id)
    data_dir.partition(f"x-0.{HEX}-stray", B)
    data_dir.partition(f"x-0.{HEX}-delete", B)
    found = plan(data_dir, kw.topic("a", A), kw.partition(A, 0))
    assert found.topics == []
    assert found.warnings == [
        "a-0: of an older topic of that name: left as it is",
        "a-0, gone-3: not this broker's by Kafka's metadata: left as it is",
    ]


def test_a_partition_that_has_arrived_from_another_directory_is_taken(
    data_dir: kw.DataDir,
) -> None:
    data_dir.partition(f"a-0.{HEX}-future", A)
    data_dir.partition("a-1", A)
    data_dir.partition(f"a-1.{HEX}-future", A)
    found = plan(data_dir, kw.topic("a", A), kw.partition(A, 0), kw.partition(A, 1))
    (topic,) = found.topics
    assert here(topic) == [True, True]
    assert found.promoted == [("a", 0)]
    assert found.warnings == ["a-1: was being moved here by Kafka: left as it is"]


def test_what_is_not_used_is_told(data_dir: kw.DataDir) -> None:
    data_dir.partition("a-0", A)
    found = plan(
        data_dir,
        kw.topic("a", A),
        kw.partition(A, 0),
        kw.config(TOPIC_RESOURCE, "a", "no.such.key", "1"),
        kw.config(TOPIC_RESOURCE, "a", "segment.ms", "60000"),
        kw.config(BROKER_RESOURCE, "", "log.retention.ms", "777"),
        kw.config(BROKER_RESOURCE, "", "log.cleaner.io.max.bytes.per.second", "1e6"),
        kw.config(BROKER_RESOURCE, "1", "log.segment.bytes", "1048576"),
        kw.config(BROKER_RESOURCE, "2", "log.segment.bytes", "2097152"),
        kw.config(32, "g", "consumer.session.timeout.ms", "45000"),
        kw.acl(),
    )
    (topic,) = found.topics
    assert topic.config == {"segment.ms": "60000"}
    assert found.broker_configs["default"]["log.retention.ms"] == "777"
    assert found.broker_configs["1"] == {"log.segment.bytes": "1048576"}
    assert set(found.broker_configs) == {"default", "1"}
    text = "\n".join(found.warnings)
    assert "no.such.key=1 of topic a is not used" in text
    assert "dynamic configuration of group g is not used: consumer.session.timeout.ms" in text
    assert "ACLs: Barnabas does not enforce them" in text


def test_without_metadata_nothing_is_deleted_or_compacted(data_dir: kw.DataDir) -> None:
    data_dir.partition("a-0", A)
    data_dir.partition("a-2", A)
    data_dir.partition("kept-0", B)
    data_dir.partition("__consumer_offsets-0", None)
    data_dir.partition("__share_group_state-0", None)
    (data_dir.path / "cleaner-offset-checkpoint").write_text("0\n1\nkept 0 12\n")
    found = planner(data_dir).from_directories()
    topics = {topic.name: topic for topic in found.topics}
    assert set(topics) == {"a", "kept", "__consumer_offsets"}
    assert here(topics["a"]) == [True, False, True]
    assert topics["a"].topic_id == A
    assert topics["a"].config["retention.ms"] == topics["a"].config["retention.bytes"] == "-1"
    for name in ("kept", "__consumer_offsets"):
        assert topics[name].config["cleanup.policy"] == "compact"
        assert int(topics[name].config["min.compaction.lag.ms"]) == 2**63 - 1
    assert found.warnings == ["a-1: not in this directory: offline"]


def test_without_metadata_topics_of_one_name_must_be_one(data_dir: kw.DataDir) -> None:
    data_dir.partition("a-0", A)
    data_dir.partition("a-1", B)
    with pytest.raises(StartError, match="2 topics of that name"):
        planner(data_dir).from_directories()
