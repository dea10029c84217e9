"""Which value is in force, and where it is from."""

import pytest

from barnabas.config.broker_config import BrokerConfig, Source
from barnabas.errors import ConfigError

HOUR_MS = 3_600_000


def test_kafkas_defaults_are_in_force() -> None:
    config = BrokerConfig({})
    assert config.get("num.partitions") == 1
    assert config.get("group.initial.rebalance.delay.ms") == 3000
    assert config.topic_value("retention.ms", {}) == 7 * 24 * HOUR_MS
    assert config.topic_value("segment.bytes", {}) == 1 << 30
    assert config.topic_value("max.message.bytes", {}) == 1048588
    assert config.topic_value("flush.ms", {}) == 2**63 - 1


def test_a_lone_broker_needs_no_three_replicas() -> None:
    assert BrokerConfig({}).get("offsets.topic.replication.factor") == 1


def test_layers_are_searched_from_dynamic_to_default() -> None:
    config = BrokerConfig({"message.max.bytes": "1"})
    assert config.get("message.max.bytes") == 1
    config.set_dynamic(Source.DYNAMIC_DEFAULT_BROKER, {"message.max.bytes": "2"})
    assert config.get("message.max.bytes") == 2
    config.set_dynamic(Source.DYNAMIC_BROKER, {"message.max.bytes": "3"})
    found = [(s.name, s.value, s.source) for s in config.topic_settings("max.message.bytes", {})]
    name = "message.max.bytes"
    assert found == [
        (name, 3, Source.DYNAMIC_BROKER),
        (name, 2, Source.DYNAMIC_DEFAULT_BROKER),
        (name, 1, Source.STATIC_BROKER),
        (name, 1048588, Source.DEFAULT),
    ]
    own = {"max.message.bytes": "4"}
    assert next(config.topic_settings("max.message.bytes", own)).source is Source.DYNAMIC_TOPIC
    config.set_dynamic(Source.DYNAMIC_BROKER, {})
    assert config.get("message.max.bytes") == 2


def test_the_finest_unit_of_a_time_wins() -> None:
    hours = BrokerConfig({"log.retention.hours": "2"})
    assert hours.topic_value("retention.ms", {}) == 2 * HOUR_MS
    minutes = BrokerConfig({"log.retention.hours": "2", "log.retention.minutes": "3"})
    assert minutes.topic_value("retention.ms", {}) == 180_000
    both = BrokerConfig({"log.retention.minutes": "3", "log.retention.ms": "4"})
    assert both.topic_value("retention.ms", {}) == 4
    for_ever = BrokerConfig({"log.retention.hours": "-1"})
    assert for_ever.topic_value("retention.ms", {}) == -1


def test_synonyms_are_shown_as_they_were_given() -> None:
    setting = next(BrokerConfig({"log.roll.hours": "2"}).topic_settings("segment.ms", {}))
    assert (setting.name, setting.value, setting.given) == ("log.roll.hours", 2 * HOUR_MS, 2)


def test_the_core_gets_plain_values() -> None:
    topic = BrokerConfig({}).core_topic_config({"cleanup.policy": "compact,delete"})
    assert topic["cleanup.policy"] == "compact,delete"
    assert "internal.segment.bytes" not in topic
    small = BrokerConfig({}).core_topic_config({"internal.segment.bytes": "500"})
    assert small["internal.segment.bytes"] == 500
    broker = BrokerConfig({"internal.segment.bytes": "600"})
    assert broker.core_topic_config({})["internal.segment.bytes"] == 600
    assert all(isinstance(v, int | str | bool) for v in broker.core_settings().values())


@pytest.mark.parametrize("text", ["0", "1025", "100000"])
def test_a_number_of_threads_that_no_machine_has_names_its_key(text: str) -> None:
    with pytest.raises(ConfigError, match=r"num\.network\.threads"):
        BrokerConfig({"num.network.threads": text})
