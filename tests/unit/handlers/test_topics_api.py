"""CreateTopics, DeleteTopics and CreatePartitions over the wire, in every version."""

import threading
import time
import uuid
from typing import Any

import pytest

import barnabas
from barnabas.testing import faults
from unit.wire import API_BY_NAME, WireClient


def versions(name: str) -> range:
    api = API_BY_NAME[name]
    return range(api.min_version, api.max_version + 1)


def new_topic(name: str, partitions: int = 1, replicas: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "num_partitions": partitions,
        "replication_factor": replicas,
        "assignments": [],
        "configs": [],
        **more,
    }


def create(broker: barnabas.Broker, *topics: dict[str, Any], version: int = 7, **more: Any) -> Any:
    with WireClient(broker.bootstrap_servers) as client:
        values = {"timeout": 1000, "topics": list(topics), **more}
        return client.ask("CreateTopics", version, **values).topics


def refusal(broker: barnabas.Broker, topic: dict[str, Any]) -> tuple[str, str]:
    (answer,) = create(broker, topic)
    return answer.error_code.name, answer.error_message


def partition_count(broker: barnabas.Broker, name: str) -> int | None:
    with WireClient(broker.bootstrap_servers) as client:
        (topic,) = client.ask(
            "Metadata", 12, topics=[{"name": name}], allow_auto_topic_creation=False
        ).topics
        return None if topic.error_code else len(topic.partitions)


@pytest.mark.parametrize("version", versions("CreateTopics"))
def test_a_topic_is_created_in_every_version(broker: barnabas.Broker, version: int) -> None:
    name = f"created-{version}"
    (answer,) = create(broker, new_topic(name, 3), version=version)
    assert answer.error_code == 0
    assert partition_count(broker, name) == 3
    if version >= 5:
        assert (answer.num_partitions, answer.replication_factor) == (3, 1)
        configs = {entry.name: entry for entry in answer.configs}
        assert configs["retention.ms"].value == "604800000"
        assert configs["retention.ms"].config_source == 5
    if version >= 7:
        assert answer.topic_id is not None


@pytest.mark.parametrize("version", versions("DeleteTopics"))
def test_a_topic_is_deleted_by_name_in_every_version(broker: barnabas.Broker, version: int) -> None:
    name = f"deleted-{version}"
    create(broker, new_topic(name))
    with WireClient(broker.bootstrap_servers) as client:
        values = {"topic_names": [name], "topics": [{"name": name}], "timeout": 1000}
        (answer,) = client.ask("DeleteTopics", version, **values).responses
        assert (answer.name, answer.error_code) == (name, 0)
        (again,) = client.ask("DeleteTopics", version, **values).responses
        assert again.error_code.name == "unknown_topic_or_partition"
    assert partition_count(broker, name) is None


def test_a_topic_is_deleted_by_id(broker: barnabas.Broker) -> None:
    (made,) = create(broker, new_topic("by-id"))
    with WireClient(broker.bootstrap_servers) as client:
        topics = [{"name": None, "topic_id": made.topic_id}]
        (answer,) = client.ask("DeleteTopics", 6, topics=topics).responses
        assert (answer.name, answer.topic_id, answer.error_code) == ("by-id", made.topic_id, 0)
        (unknown,) = client.ask("DeleteTopics", 6, topics=topics).responses
        assert unknown.error_code.name == "unknown_topic_id"
        both = [{"name": "x", "topic_id": uuid.uuid4()}]
        assert client.ask("DeleteTopics", 6, topics=both).responses[0].error_code == 42


def test_topics_named_twice_are_refused(broker: barnabas.Broker) -> None:
    twice, once = create(broker, new_topic("twice"), new_topic("once"), new_topic("twice"))[::-1]
    assert (once.name, once.error_code) == ("once", 0)
    assert (twice.name, twice.error_code.name) == ("twice", "invalid_request")
    assert partition_count(broker, "twice") is None
    with WireClient(broker.bootstrap_servers) as client:
        names = [{"name": "once"}, {"name": "once"}]
        (answer,) = client.ask("DeleteTopics", 6, topics=names).responses
        assert answer.error_code.name == "invalid_request"
        growing = [{"name": "once", "count": 2}, {"name": "once", "count": 3}]
        (answer,) = client.ask("CreatePartitions", 3, topics=growing).results
        assert answer.error_code.name == "invalid_request"
    assert partition_count(broker, "once") == 1


@pytest.mark.parametrize(
    ("topic", "error", "message"),
    [
        (new_topic(""), "invalid_topic_exception", "the empty string is not allowed"),
        (new_topic(".."), "invalid_topic_exception", "'..' is not allowed"),
        (new_topic("a b"), "invalid_topic_exception", "other than ASCII alphanumerics"),
        (new_topic("x" * 250), "invalid_topic_exception", "longer than the max allowed length 249"),
        (new_topic("n", partitions=0), "invalid_partitions", "non-positive"),
        (new_topic("n", partitions=-2), "invalid_partitions", "non-positive"),
        (new_topic("n", replicas=0), "invalid_replication_factor", "must be larger than 0"),
        (new_topic("n", replicas=2), "invalid_replication_factor", "only 1 broker(s)"),
        (
            new_topic("n", configs=[{"name": "nope", "value": "1"}]),
            "invalid_config",
            "Unknown topic config name: nope",
        ),
        (
            new_topic("n", configs=[{"name": "retention.ms", "value": "x"}]),
            "invalid_config",
            "Invalid value x for configuration retention.ms",
        ),
        (
            new_topic("n", configs=[{"name": "retention.ms", "value": None}]),
            "invalid_config",
            "Null value not supported for topic configs: retention.ms",
        ),
        (
            new_topic("n", assignments=[{"partition_index": 0, "broker_ids": [1]}]),
            "invalid_request",
            "replication factor was not set to -1",
        ),
        (
            new_topic("n", -1, -1, assignments=[{"partition_index": 0, "broker_ids": [2]}]),
            "invalid_replica_assignment",
            "broker 2, but no such broker",
        ),
        (
            new_topic("n", -1, -1, assignments=[{"partition_index": 1, "broker_ids": [1]}]),
            "invalid_replica_assignment",
            "consecutive 0-based",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_kafkas_words(
    broker: barnabas.Broker, topic: dict[str, Any], error: str, message: str
) -> None:
    code, text = refusal(broker, topic)
    assert code == error
    assert message in text
    assert partition_count(broker, "n") is None


def test_an_existing_or_colliding_name_is_refused(broker: barnabas.Broker) -> None:
    create(broker, new_topic("taken.name"))
    assert refusal(broker, new_topic("taken.name")) == (
        "topic_already_exists",
        "Topic 'taken.name' already exists.",
    )
    assert refusal(broker, new_topic("taken_name")) == (
        "invalid_topic_exception",
        "Topic 'taken_name' collides with existing topic: taken.name",
    )
    one, other = create(broker, new_topic("both.ways"), new_topic("both_ways"))
    assert {one.error_code.name, other.error_code.name} == {"none", "invalid_topic_exception"}


def test_minus_one_is_the_brokers_default() -> None:
    with barnabas.Broker(config={"num.partitions": 4}) as broker:
        (answer,) = create(broker, new_topic("t", -1, -1))
        assert (answer.num_partitions, answer.replication_factor) == (4, 1)


def test_replicas_can_be_assigned_by_hand(broker: barnabas.Broker) -> None:
    assignments = [{"partition_index": i, "broker_ids": [1]} for i in (1, 0)]
    (answer,) = create(broker, new_topic("by-hand", -1, -1, assignments=assignments))
    assert (answer.error_code, answer.num_partitions) == (0, 2)


def test_validate_only_changes_nothing(broker: barnabas.Broker) -> None:
    (answer,) = create(broker, new_topic("checked", 2), validate_only=True)
    assert (answer.error_code, answer.num_partitions, answer.topic_id) == (0, 2, None)
    assert partition_count(broker, "checked") is None
    create(broker, new_topic("grown-not", 1))
    with WireClient(broker.bootstrap_servers) as client:
        growing = [{"name": "grown-not", "count": 2, "assignments": None}]
        (answer,) = client.ask("CreatePartitions", 3, topics=growing, validate_only=True).results
        assert answer.error_code == 0
    assert partition_count(broker, "grown-not") == 1


@pytest.mark.parametrize("version", versions("CreatePartitions"))
def test_a_topic_grows_in_every_version(broker: barnabas.Broker, version: int) -> None:
    name = f"grows-{version}"
    create(broker, new_topic(name))
    with WireClient(broker.bootstrap_servers) as client:
        growing = [{"name": name, "count": 3, "assignments": None}]
        (answer,) = client.ask("CreatePartitions", version, topics=growing).results
        assert (answer.name, answer.error_code) == (name, 0)
    assert partition_count(broker, name) == 3


@pytest.mark.parametrize(
    ("count", "assignments", "error"),
    [
        (1, None, "invalid_partitions"),
        (2, None, "invalid_partitions"),
        (20_000, None, "policy_violation"),
        (4, [{"broker_ids": [1]}], "invalid_replica_assignment"),
        (3, [{"broker_ids": [9]}], "invalid_replica_assignment"),
    ],
)
def test_growth_that_is_none_is_refused(
    broker: barnabas.Broker, count: int, assignments: Any, error: str
) -> None:
    create(broker, new_topic("stays", 2))
    with WireClient(broker.bootstrap_servers) as client:
        growing = [{"name": "stays", "count": count, "assignments": assignments}]
        (answer,) = client.ask("CreatePartitions", 3, topics=growing).results
        assert answer.error_code.name == error
        growing = [{"name": "nowhere", "count": 2, "assignments": None}]
        (answer,) = client.ask("CreatePartitions", 3, topics=growing).results
        assert answer.error_code.name == "unknown_topic_or_partition"
    assert partition_count(broker, "stays") == 2


def test_one_request_makes_at_most_ten_thousand_partitions(broker: barnabas.Broker) -> None:
    answers = create(
        broker, new_topic("fits", 9000), new_topic("fits-not", 1001), validate_only=True
    )
    assert {answer.error_code.name for answer in answers} == {"policy_violation"}
    (huge,) = create(broker, new_topic("huge", 2**31 - 1))
    assert huge.error_code.name == "policy_violation"
    assert huge.error_message == "Excessively large number of partitions per request."
    create(broker, new_topic("wide-1"), new_topic("wide-2"))
    growing = [{"name": f"wide-{n}", "count": 5_002, "assignments": None} for n in (1, 2)]
    with WireClient(broker.bootstrap_servers) as client:
        results = client.ask("CreatePartitions", 3, topics=growing).results
    assert {answer.error_code.name for answer in results} == {"policy_violation"}
    assert partition_count(broker, "wide-1") == 1


def test_the_topic_of_kafkas_controllers_cannot_be_made(broker: barnabas.Broker) -> None:
    name = "__cluster_metadata"
    assert refusal(broker, new_topic(name)) == (
        "invalid_request",
        "Creation of internal topic __cluster_metadata is prohibited.",
    )
    with pytest.raises(barnabas.KafkaError, match="prohibited"):
        broker.create_topic(name)
    with WireClient(broker.bootstrap_servers) as client:
        for version in versions("Metadata"):
            (answer,) = client.ask(
                "Metadata", version, topics=[{"name": name}], allow_auto_topic_creation=True
            ).topics
            assert answer.error_code.name == "unknown_topic_or_partition"
    assert not (broker.data_dir / f"{name}-0").exists()


def test_a_partition_assigned_twice_is_refused(broker: barnabas.Broker) -> None:
    twice = [{"partition_index": 0, "broker_ids": [1]}] * 2
    assert refusal(broker, new_topic("assigned-twice", -1, -1, assignments=twice)) == (
        "invalid_replica_assignment",
        "Found multiple manual partition assignments for partition 0",
    )


def test_the_number_of_partitions_is_checked_before_that_of_brokers(
    broker: barnabas.Broker,
) -> None:
    assert refusal(broker, new_topic("none-on-two", 0, 2))[0] == "invalid_partitions"


def test_a_topic_named_and_identified_is_not_deleted(broker: barnabas.Broker) -> None:
    both, other = create(broker, new_topic("both"), new_topic("other"))
    with WireClient(broker.bootstrap_servers) as client:
        topics = [
            {"name": "both", "topic_id": None},
            {"name": None, "topic_id": both.topic_id},
            {"name": "other", "topic_id": None},
        ]
        answers = client.ask("DeleteTopics", 6, topics=topics).responses
    assert [(a.name, a.topic_id, a.error_code.name, a.error_message) for a in answers] == [
        (
            "both",
            both.topic_id,
            "invalid_request",
            "The provided topic name maps to an ID that was already supplied.",
        ),
        ("other", other.topic_id, "none", None),
    ]
    assert partition_count(broker, "both") == 1
    assert partition_count(broker, "other") is None


def test_many_topics_are_deleted_in_one_go_and_can_be_made_again(broker: barnabas.Broker) -> None:
    names = [f"many-{number}" for number in range(100)]
    create(broker, *(new_topic(name, 3) for name in names))
    with WireClient(broker.bootstrap_servers) as client:
        topics = [{"name": name} for name in names]
        begin_s = time.monotonic()
        answers = client.ask("DeleteTopics", 6, topics=topics).responses
        took_s = time.monotonic() - begin_s
    assert {answer.error_code.name for answer in answers} == {"none"}
    assert took_s < 0.5  # not a commit and three directories each
    assert [partition_count(broker, name) for name in names[:3]] == [None] * 3
    again = create(broker, *(new_topic(name) for name in names))
    assert {answer.error_code.name for answer in again} == {"none"}
    assert {path.name for path in broker.data_dir.glob("many-*-0")} == {f"{n}-0" for n in names}
    assert not [path.name for path in broker.data_dir.glob("many-*-2")]


def test_a_change_whose_turn_does_not_come_in_time_is_given_up(broker: barnabas.Broker) -> None:
    create(broker, new_topic("held"))
    growing = [{"name": "held", "count": 2, "assignments": None}]
    answers: list[str] = []

    def grow() -> None:
        with WireClient(broker.bootstrap_servers) as client:
            (answer,) = client.ask("CreatePartitions", 3, topics=growing, timeout=60_000).results
        answers.append(answer.error_code.name)

    thread = threading.Thread(target=grow)
    with faults.hold("make_directory", "*/held-1") as held:
        thread.start()
        while not held.struck:
            time.sleep(0.001)
        (answer,) = create(broker, new_topic("held"), timeout=1)
        assert answer.error_code.name == "request_timed_out"
        with WireClient(broker.bootstrap_servers) as client:
            (answer,) = client.ask("CreatePartitions", 3, topics=growing, timeout=0).results
            assert answer.error_code.name == "request_timed_out"
            (answer,) = client.ask("DeleteTopics", 5, topic_names=["held"], timeout=-1).responses
            assert answer.error_code.name == "request_timed_out"
        assert partition_count(broker, "held") == 1
        assert not answers
    thread.join()
    assert answers == ["none"]
    assert partition_count(broker, "held") == 2


def test_deletion_can_be_disabled() -> None:
    with barnabas.Broker(config={"delete.topic.enable": False}) as broker:
        broker.create_topic("t")
        with WireClient(broker.bootstrap_servers) as client:
            new = client.ask("DeleteTopics", 6, topics=[{"name": "t"}]).responses[0]
            old = client.ask("DeleteTopics", 2, topic_names=["t"]).responses[0]
        assert new.error_code.name == "topic_deletion_disabled"
        assert old.error_code.name == "invalid_request"


def test_groups_are_forgotten_with_the_topic_of_their_offsets(broker: barnabas.Broker) -> None:
    name = "__consumer_offsets"
    heartbeat = {"group_id": "g", "generation_id": 1, "member_id": "m", "group_instance_id": None}
    with WireClient(broker.bootstrap_servers) as client:
        client.ask("FindCoordinator", 0, key="g")
        assert client.ask("Heartbeat", 4, **heartbeat).error_code.name == "unknown_member_id"
        (answer,) = client.ask("DeleteTopics", 6, topics=[{"name": name}]).responses
        assert answer.error_code.name == "none"
        assert client.ask("Heartbeat", 4, **heartbeat).error_code.name == "not_coordinator"
        assert client.ask("FindCoordinator", 0, key="g").error_code.name == "none"
        assert client.ask("Heartbeat", 4, **heartbeat).error_code.name == "unknown_member_id"
    assert partition_count(broker, name) == 50
