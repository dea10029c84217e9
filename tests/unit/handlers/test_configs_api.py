"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources over the wire."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer

import barnabas
from unit.wire import WireClient

TOPIC, BROKER, BROKER_LOGGER, GROUP = 2, 4, 8, 32
SET, DELETE, APPEND, SUBTRACT = range(4)
DYNAMIC_TOPIC, DYNAMIC_BROKER, DYNAMIC_DEFAULT, STATIC, DEFAULT = range(1, 6)


@pytest.fixture(scope="module")
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker(config={"log.retention.hours": 5}) as running:
        running.create_topic("t", config={"cleanup.policy": "compact"})
        yield running


@pytest.fixture
def client(broker: barnabas.Broker) -> Iterator[WireClient]:
    with WireClient(broker.bootstrap_servers) as connection:
        yield connection


def describe(
    client: WireClient, kind: int, name: str, keys: list[str] | None, version: int = 4
) -> Any:
    resource = {"resource_type": kind, "resource_name": name, "configuration_keys": keys}
    (result,) = client.ask(
        "DescribeConfigs",
        version,
        resources=[resource],
        include_synonyms=True,
        include_documentation=True,
    ).results
    return result


def value(client: WireClient, kind: int, name: str, key: str) -> tuple[str | None, int]:
    (entry,) = describe(client, kind, name, [key]).configs
    return entry.value, entry.config_source


def alter(
    client: WireClient,
    kind: int,
    name: str,
    *entries: tuple[str, int, str | None],
    validate_only: bool = False,
) -> tuple[str, str | None]:
    configs = [{"name": key, "config_operation": op, "value": text} for key, op, text in entries]
    resource = {"resource_type": kind, "resource_name": name, "configs": configs}
    (answer,) = client.ask(
        "IncrementalAlterConfigs", 1, resources=[resource], validate_only=validate_only
    ).responses
    return answer.error_code.name, answer.error_message


@pytest.mark.parametrize("version", range(1, 5))
def test_a_topics_configuration_is_described(client: WireClient, version: int) -> None:
    result = describe(client, TOPIC, "t", None, version)
    assert result.error_code == 0
    entries = {entry.name: entry for entry in result.configs}
    policy = entries["cleanup.policy"]
    assert (policy.value, policy.config_source) == ("compact", DYNAMIC_TOPIC)
    assert not policy.read_only
    assert [(s.name, s.value, s.source) for s in policy.synonyms] == [
        ("cleanup.policy", "compact", DYNAMIC_TOPIC),
        ("log.cleanup.policy", "delete", DEFAULT),
    ]
    retention = entries["retention.ms"]
    assert (retention.value, retention.config_source) == ("18000000", STATIC)
    assert retention.synonyms[0].name == "log.retention.hours"
    assert retention.synonyms[0].value == "5"
    assert "internal.segment.bytes" not in entries
    if version >= 3:
        assert retention.config_type == 5  # LONG
        assert retention.documentation


def test_a_brokers_configuration_is_described(client: WireClient) -> None:
    entries = {entry.name: entry for entry in describe(client, BROKER, "1", None).configs}
    assert entries["node.id"].read_only
    assert not entries["message.max.bytes"].read_only
    assert entries["group.initial.rebalance.delay.ms"].value == "0"  # embedded
    assert entries["offsets.topic.replication.factor"].value == "1"


@pytest.mark.parametrize(
    ("kind", "name", "error"),
    [
        (TOPIC, "nope", "unknown_topic_or_partition"),
        (TOPIC, "a b", "invalid_topic_exception"),
        (BROKER, "9", "invalid_request"),
        (BROKER_LOGGER, "9", "invalid_request"),
        (GROUP, "", "invalid_request"),
    ],
)
def test_resources_that_are_not_here_are_refused(
    client: WireClient, kind: int, name: str, error: str
) -> None:
    assert describe(client, kind, name, None).error_code.name == error
    assert alter(client, kind, name, ("retention.ms", SET, "1"))[0] == error


def test_single_keys_are_set_and_deleted(client: WireClient) -> None:
    assert alter(client, TOPIC, "t", ("retention.ms", SET, "7"), ("flush.ms", SET, "8")) == (
        "none",
        None,
    )
    assert value(client, TOPIC, "t", "retention.ms") == ("7", DYNAMIC_TOPIC)
    assert value(client, TOPIC, "t", "cleanup.policy") == ("compact", DYNAMIC_TOPIC)
    assert alter(client, TOPIC, "t", ("retention.ms", DELETE, None))[0] == "none"
    assert value(client, TOPIC, "t", "retention.ms") == ("18000000", STATIC)
    assert value(client, TOPIC, "t", "flush.ms") == ("8", DYNAMIC_TOPIC)


def test_lists_are_appended_to_and_subtracted_from(
    broker: barnabas.Broker, client: WireClient
) -> None:
    broker.create_topic("lists")
    assert alter(client, TOPIC, "lists", ("cleanup.policy", APPEND, "compact"))[0] == "none"
    # It started from the default, which is in force.
    assert value(client, TOPIC, "lists", "cleanup.policy")[0] == "delete,compact"
    assert alter(client, TOPIC, "lists", ("cleanup.policy", SUBTRACT, "delete"))[0] == "none"
    assert value(client, TOPIC, "lists", "cleanup.policy")[0] == "compact"
    error, message = alter(client, TOPIC, "lists", ("retention.ms", APPEND, "1"))
    assert error == "invalid_config"
    assert message == "Can't APPEND to key retention.ms because its type is not LIST."


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        ([("nope", SET, "1")], "invalid_config", "Unknown topic config name: nope"),
        ([("retention.ms", SET, "x")], "invalid_config", "Not a number of type LONG"),
        ([("retention.ms", SET, None)], "invalid_request", "Null value not supported"),
        ([("retention.ms", 9, "1")], "invalid_request", "Unknown operations type 9"),
        (
            [("flush.ms", SET, "1"), ("flush.ms", DELETE, None)],
            "invalid_request",
            "duplicate config keys",
        ),
        ([("flush.ms", SET, "5"), ("nope", SET, "1")], "invalid_config", "nope"),
    ],
)
def test_a_bad_change_changes_nothing(
    broker: barnabas.Broker,
    client: WireClient,
    entries: list[tuple[str, int, str | None]],
    error: str,
    message: str,
) -> None:
    before = describe(client, TOPIC, "t", None)
    code, text = alter(client, TOPIC, "t", *entries)
    assert code == error
    assert message in (text or "")
    assert describe(client, TOPIC, "t", None) == before


def test_a_resource_named_twice_is_refused(client: WireClient) -> None:
    resource = {
        "resource_type": TOPIC,
        "resource_name": "t",
        "configs": [{"name": "retention.ms", "config_operation": SET, "value": "1"}],
    }
    (answer,) = client.ask("IncrementalAlterConfigs", 1, resources=[resource] * 2).responses
    assert answer.error_code.name == "invalid_request"


def test_validate_only_changes_nothing(client: WireClient) -> None:
    before = describe(client, TOPIC, "t", None)
    change = ("retention.ms", SET, "99")
    assert alter(client, TOPIC, "t", change, validate_only=True)[0] == "none"
    bad = ("retention.ms", SET, "x")
    assert alter(client, TOPIC, "t", bad, validate_only=True)[0] == "invalid_config"
    assert describe(client, TOPIC, "t", None) == before


@pytest.mark.parametrize("version", range(3))
def test_alter_configs_replaces_everything(
    broker: barnabas.Broker, client: WireClient, version: int
) -> None:
    name = f"replaced-{version}"
    broker.create_topic(name, config={"retention.ms": 1, "flush.ms": 2})
    resource = {
        "resource_type": TOPIC,
        "resource_name": name,
        "configs": [{"name": "flush.ms", "value": "3"}],
    }
    (answer,) = client.ask("AlterConfigs", version, resources=[resource]).responses
    assert answer.error_code == 0
    assert value(client, TOPIC, name, "flush.ms") == ("3", DYNAMIC_TOPIC)
    assert value(client, TOPIC, name, "retention.ms")[1] == STATIC


def produce(broker: barnabas.Broker, topic: str, size_bytes: int) -> None:
    settings = {
        "bootstrap.servers": broker.bootstrap_servers,
        "message.max.bytes": 100_000_000,
        "log_level": 0,
    }
    producer = Producer(settings)
    errors: list[Any] = []
    producer.produce(topic, b"x" * size_bytes, on_delivery=lambda error, _: errors.append(error))
    producer.flush(20)
    if errors[0] is not None:
        raise KafkaException(errors[0])


def test_a_topics_limit_takes_effect_at_once(broker: barnabas.Broker, client: WireClient) -> None:
    broker.create_topic("limited")
    produce(broker, "limited", 5000)
    assert alter(client, TOPIC, "limited", ("max.message.bytes", SET, "1000"))[0] == "none"
    with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
        produce(broker, "limited", 5000)
    assert alter(client, TOPIC, "limited", ("max.message.bytes", DELETE, None))[0] == "none"
    produce(broker, "limited", 5000)


def test_a_brokers_limit_takes_effect_at_once_and_survives_a_restart(tmp_path: Any) -> None:
    with barnabas.Broker(tmp_path) as broker, WireClient(broker.bootstrap_servers) as client:
        broker.create_topic("t")
        limit = ("message.max.bytes", SET, "1000")
        assert alter(client, BROKER, "1", limit)[0] == "none"
        assert alter(client, BROKER, "", ("message.max.bytes", SET, "2000"))[0] == "none"
        with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
            produce(broker, "t", 5000)
    with barnabas.Broker(tmp_path) as broker, WireClient(broker.bootstrap_servers) as client:
        found = describe(client, TOPIC, "t", ["max.message.bytes"]).configs[0].synonyms
        assert [(s.value, s.source) for s in found] == [
            ("1000", DYNAMIC_BROKER),
            ("2000", DYNAMIC_DEFAULT),
            ("1048588", DEFAULT),
        ]
        assert describe(client, BROKER, "", None).configs[0].value == "2000"
        with pytest.raises(KafkaException, match="MSG_SIZE_TOO_LARGE"):
            produce(broker, "t", 5000)
        assert alter(client, BROKER, "1", ("message.max.bytes", DELETE, None))[0] == "none"
        assert alter(client, BROKER, "", ("message.max.bytes", DELETE, None))[0] == "none"
        produce(broker, "t", 5000)


def test_read_only_broker_keys_are_refused(client: WireClient) -> None:
    error, message = alter(client, BROKER, "1", ("num.network.threads", SET, "9"))
    assert error == "invalid_request"
    assert message == "Cannot update these configs dynamically: [num.network.threads]"
    two = (("num.partitions", SET, "3"), ("node.id", SET, "2"))
    assert "[node.id, num.partitions]" in (alter(client, BROKER, "1", *two)[1] or "")
    for name in ("no.such.key", "log.cleaner.threads", "num.partitions"):
        assert alter(client, BROKER, "1", (name, DELETE, None)) == ("none", None)
        assert alter(client, BROKER, "1", (name, SET, "1"))[0] == "invalid_request"
    assert alter(client, BROKER, "x", ("message.max.bytes", SET, "9"))[0] == "invalid_request"


def test_resources_with_configurations_are_listed(client: WireClient) -> None:
    everything = client.ask("ListConfigResources", 1, resource_types=[])
    found = {(r.resource_type, r.resource_name) for r in everything.config_resources}
    assert (TOPIC, "t") in found
    assert (BROKER, "1") in found
    topics = client.ask("ListConfigResources", 1, resource_types=[TOPIC]).config_resources
    assert {r.resource_type for r in topics} == {TOPIC}


def test_a_limit_that_locks_everybody_out_is_refused(client: WireClient) -> None:
    error, message = alter(client, BROKER, "1", ("max.connections.per.ip", SET, "0"))
    assert error == "invalid_request"
    assert message == (
        "requirement failed: max.connections.per.ip can be set to zero only if "
        "max.connections.per.ip.overrides property is set."
    )
    assert alter(client, BROKER, "1", ("log.retention.ms", SET, "0"))[0] == "invalid_request"
    assert alter(client, BROKER, "1", ("log.retention.ms", SET, "x"))[0] == "invalid_request"


def test_the_expiration_of_producer_ids_changes_while_the_broker_runs(client: WireClient) -> None:
    key = "producer.id.expiration.ms"
    assert alter(client, BROKER, "1", (key, SET, "1000"))[0] == "none"
    assert value(client, BROKER, "1", key) == ("1000", DYNAMIC_BROKER)
    assert alter(client, BROKER, "1", (key, DELETE, None))[0] == "none"


def test_compaction_lags_that_contradict_each_other_are_refused(client: WireClient) -> None:
    lags = (("min.compaction.lag.ms", SET, "100"), ("max.compaction.lag.ms", SET, "50"))
    assert alter(client, TOPIC, "t", *lags) == (
        "invalid_config",
        "conflict topic config setting min.compaction.lag.ms (100) > max.compaction.lag.ms (50)",
    )


def test_defaults_of_all_topics_cannot_be_set(client: WireClient) -> None:
    assert alter(client, TOPIC, "", ("retention.ms", SET, "1"))[0] == "invalid_request"
    assert alter(client, TOPIC, "nowhere", ("retention.ms", SET, "1")) == (
        "unknown_topic_or_partition",
        "The topic 'nowhere' does not exist.",
    )


def test_a_list_cannot_outgrow_what_a_message_can_say(client: WireClient) -> None:
    key = "follower.replication.throttled.replicas"
    first, second = (",".join(f"{n}:{n}" for n in range(a, a + 2_500)) for a in (0, 10_000))
    assert alter(client, TOPIC, "t", (key, SET, first))[0] == "none"
    assert alter(client, TOPIC, "t", (key, APPEND, second))[0] == "invalid_config"
    assert describe(client, TOPIC, "t", None).error_code == 0
    assert alter(client, TOPIC, "t", (key, DELETE, None))[0] == "none"


def test_loggers_are_described_with_their_levels(client: WireClient) -> None:
    listed = client.ask("ListConfigResources", 1, resource_types=[BROKER_LOGGER])
    assert [r.resource_name for r in listed.config_resources] == ["1"]
    result = describe(client, BROKER_LOGGER, "1", None)
    assert result.error_code == 0
    loggers = {entry.name: entry for entry in result.configs}
    assert loggers["barnabas.node"].value in logging.getLevelNamesMapping()
    assert all(entry.read_only for entry in result.configs)


def test_groups_have_nothing_to_configure(client: WireClient) -> None:
    result = describe(client, GROUP, "g", None)
    assert (result.error_code, result.configs) == (0, ())


def test_a_resource_that_cannot_be_described_does_not_spoil_the_others(
    broker: barnabas.Broker, client: WireClient
) -> None:
    broker.create_topic("spoilt")
    catalog = broker._node.catalog
    topic = catalog.topic("spoilt")
    assert topic is not None
    catalog.put(topic._replace(config={"retention.ms": "no number"}))
    resources = [
        {"resource_type": TOPIC, "resource_name": name, "configuration_keys": None}
        for name in ("spoilt", "t")
    ]
    spoilt, other = client.ask("DescribeConfigs", 4, resources=resources).results
    assert spoilt.error_code.name == "unknown_server_error"
    assert (other.error_code, len(other.configs)) == (0, 33)
    broker.delete_topic("spoilt")
