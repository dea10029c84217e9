"""Metadata, DescribeTopicPartitions and DescribeCluster over the wire."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import barnabas
from unit.wire import WireClient

NOT_REQUESTED = -(2**31)


@pytest.fixture(scope="module")
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker(config={"broker.rack": "r1"}) as running:
        for name, partitions in (("a", 1), ("b", 2), ("c", 3)):
            running.create_topic(name, partitions=partitions)
        yield running


@pytest.fixture
def client(broker: barnabas.Broker) -> Iterator[WireClient]:
    with WireClient(broker.bootstrap_servers) as connection:
        yield connection


def names(answer: Any) -> set[str]:
    return {topic.name for topic in answer.topics if not topic.name.startswith("auto")}


@pytest.mark.parametrize("version", range(14))
def test_all_topics_are_listed_in_every_version(
    broker: barnabas.Broker, client: WireClient, version: int
) -> None:
    answer = client.ask("Metadata", version, topics=[] if version == 0 else None)
    assert names(answer) >= {"a", "b", "c"}
    (node,) = answer.brokers
    assert f"{node.host}:{node.port}" == broker.bootstrap_servers
    topic = next(topic for topic in answer.topics if topic.name == "b")
    assert sorted(p.partition_index for p in topic.partitions) == [0, 1]
    assert {p.leader_id for p in topic.partitions} == {node.node_id}
    assert {p.replica_nodes for p in topic.partitions} == {(node.node_id,)}
    if version >= 1:
        assert (node.rack, answer.controller_id) == ("r1", node.node_id)
    if version >= 2:
        assert answer.cluster_id
    if version >= 7:
        assert {p.leader_epoch for p in topic.partitions} == {0}
    if version >= 8:
        assert topic.topic_authorized_operations == NOT_REQUESTED
    if version >= 10:
        assert topic.topic_id is not None


@pytest.mark.parametrize("version", range(1, 14))
def test_an_empty_list_is_no_topic(client: WireClient, version: int) -> None:
    assert client.ask("Metadata", version, topics=[]).topics == ()


@pytest.mark.parametrize("version", range(4, 14))
def test_a_missing_topic_is_not_created_when_the_client_forbids_it(
    client: WireClient, version: int
) -> None:
    answer = client.ask(
        "Metadata", version, topics=[{"name": "nope"}], allow_auto_topic_creation=False
    )
    assert answer.topics[0].error_code.name == "unknown_topic_or_partition"
    assert "nope" not in names(client.ask("Metadata", 9, topics=None))


@pytest.mark.parametrize("version", range(14))
def test_a_missing_topic_is_created_and_answered_complete(client: WireClient, version: int) -> None:
    answer = client.ask(
        "Metadata", version, topics=[{"name": f"auto{version}"}], allow_auto_topic_creation=True
    )
    (topic,) = answer.topics
    assert topic.error_code == 0
    assert len(topic.partitions) == 1


def test_a_name_that_no_topic_can_have_is_refused(client: WireClient) -> None:
    answer = client.ask("Metadata", 9, topics=[{"name": "a b"}], allow_auto_topic_creation=True)
    assert answer.topics[0].error_code.name == "invalid_topic_exception"


def test_auto_creation_can_be_disabled() -> None:
    with (
        barnabas.Broker(config={"auto.create.topics.enable": False}) as broker,
        WireClient(broker.bootstrap_servers) as client,
    ):
        asked = {"topics": [{"name": "t"}], "allow_auto_topic_creation": True}
        answer = client.ask("Metadata", 9, **asked)
        assert answer.topics[0].error_code.name == "unknown_topic_or_partition"
        # The group coordinator's own topic does not depend on it.
        assert client.ask("FindCoordinator", 0, key="g").error_code == 0


@pytest.mark.parametrize("version", [12, 13])
def test_topics_are_found_by_id(client: WireClient, version: int) -> None:
    (by_name,) = client.ask("Metadata", version, topics=[{"name": "c"}]).topics
    asked = [{"name": None, "topic_id": by_name.topic_id}]
    assert client.ask("Metadata", version, topics=asked).topics == (by_name,)
    unknown = [{"name": None, "topic_id": uuid.uuid4()}]
    (answer,) = client.ask("Metadata", version, topics=unknown).topics
    assert answer.error_code.name == "unknown_topic_id"
    assert answer.name is None


def test_operations_are_told_when_asked_for(client: WireClient) -> None:
    answer = client.ask(
        "Metadata",
        9,
        topics=[{"name": "a"}],
        include_topic_authorized_operations=True,
        include_cluster_authorized_operations=True,
    )
    assert answer.topics[0].topic_authorized_operations > 0
    assert answer.cluster_authorized_operations > 0


def test_a_change_is_seen_at_once(broker: barnabas.Broker, client: WireClient) -> None:
    asked = {"topics": [{"name": "autochange"}], "allow_auto_topic_creation": False}
    broker.create_topic("autochange")
    assert len(client.ask("Metadata", 9, **asked).topics[0].partitions) == 1
    growing = [{"name": "autochange", "count": 2, "assignments": None}]
    client.ask("CreatePartitions", 3, topics=growing)
    assert len(client.ask("Metadata", 9, **asked).topics[0].partitions) == 2
    broker.delete_topic("autochange")
    assert client.ask("Metadata", 9, **asked).topics[0].error_code == 3


def test_topic_partitions_come_page_by_page(client: WireClient) -> None:
    asked = {"topics": [{"name": name} for name in ("c", "a", "b")]}
    cursor = None
    pages = []
    for _ in range(10):
        answer = client.ask(
            "DescribeTopicPartitions", 0, response_partition_limit=2, cursor=cursor, **asked
        )
        pages.append([(t.name, p.partition_index) for t in answer.topics for p in t.partitions])
        if answer.next_cursor is None:
            break
        cursor = answer.next_cursor
    assert pages == [[("a", 0), ("b", 0)], [("b", 1), ("c", 0)], [("c", 1), ("c", 2)]]


def test_a_missing_topic_has_no_partitions_to_describe(client: WireClient) -> None:
    (topic,) = client.ask(
        "DescribeTopicPartitions", 0, topics=[{"name": "nope"}], response_partition_limit=5
    ).topics
    assert (topic.name, topic.error_code.name) == ("nope", "unknown_topic_or_partition")


@pytest.mark.parametrize("version", range(3))
def test_the_cluster_is_described(
    broker: barnabas.Broker, client: WireClient, version: int
) -> None:
    answer = client.ask("DescribeCluster", version, endpoint_type=1)
    assert answer.error_code == 0
    assert [f"{b.host}:{b.port}" for b in answer.brokers] == [broker.bootstrap_servers]
    assert answer.cluster_id == client.ask("Metadata", 9, topics=[]).cluster_id


@pytest.mark.parametrize("version", [12, 13])
def test_an_id_counts_more_than_a_name(
    broker: barnabas.Broker, client: WireClient, version: int
) -> None:
    broker.create_topic(f"both-{version}")
    topic = broker._node.catalog.topic(f"both-{version}")
    assert topic is not None
    known, unknown = uuid.UUID(bytes=topic.topic_id), uuid.uuid4()
    asked = [
        {"name": "never-made", "topic_id": known},
        {"name": f"both-{version}", "topic_id": unknown},
        {"name": "never-made", "topic_id": unknown},
    ]
    found, lost = client.ask(
        "Metadata", version, topics=asked, allow_auto_topic_creation=True
    ).topics
    assert (found.name, found.error_code) == (f"both-{version}", 0)
    assert (lost.name, lost.error_code.name) == (None, "unknown_topic_id")
    assert broker._node.catalog.topic("never-made") is None
