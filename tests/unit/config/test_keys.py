"""Values of keys: Kafka's types, limits and messages."""

import pytest

from barnabas.config.broker_config import (
    BrokerConfig,
    Source,
    check_broker_values,
    check_dynamic_keys,
    validate_topic_config,
)
from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.config.kafka_keys import UNUSED_KAFKA_KEYS
from barnabas.config.keys import format_value
from barnabas.config.topic_keys import TOPIC_KEYS
from barnabas.errors import ConfigError

DEFAULTS = BrokerConfig({})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("retention.ms", " 5 ", 5),
        ("retention.ms", "-1", -1),
        ("retention.ms", "+7", 7),
        ("max.message.bytes", "2147483647", 2**31 - 1),
        ("preallocate", "TRUE", True),
        ("cleanup.policy", "compact, delete", ("compact", "delete")),
        ("cleanup.policy", "", ()),
        ("min.cleanable.dirty.ratio", "0.25", 0.25),
        ("compression.type", "zstd", "zstd"),
        ("compression.gzip.level", "-1", -1),
        ("leader.replication.throttled.replicas", "0:1,1:1", ("0:1", "1:1")),
        ("leader.replication.throttled.replicas", "*", ("*",)),
    ],
)
def test_good_values_are_parsed(name: str, text: str, value: object) -> None:
    assert TOPIC_KEYS[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("retention.ms", "x", "Not a number of type LONG"),
        ("retention.ms", "1.5", "Not a number of type LONG"),
        ("retention.ms", "", "Not a number of type LONG"),
        ("retention.ms", "9223372036854775808", "Not a number of type LONG"),
        ("retention.ms", "-2", "Value must be at least -1"),
        ("max.message.bytes", "2147483648", "Not a number of type INT"),
        ("segment.bytes", "1000", "Value must be at least 1048576"),
        ("preallocate", "yes", "Expected value to be either true or false"),
        ("min.cleanable.dirty.ratio", "2", "Value must be no more than 1"),
        ("min.cleanable.dirty.ratio", "x", "Not a number of type DOUBLE"),
        ("min.cleanable.dirty.ratio", "0_1", "Not a number of type DOUBLE"),
        ("min.cleanable.dirty.ratio", "inf", "Not a number of type DOUBLE"),
        (
            "compression.type",
            "rar",
            "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
        ),
        ("cleanup.policy", "burn", "String must be one of: compact, delete"),
        ("compression.gzip.level", "10", "Value must be between 1 and 9 or equal to -1"),
        ("follower.replication.throttled.replicas", "0", "Must be the literal '*'"),
    ],
)
def test_bad_values_are_refused_in_kafkas_words(name: str, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate_topic_config({name: text}, DEFAULTS)
    assert f"for configuration {name}: {reason}" in str(caught.value)


def test_an_unknown_topic_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"name: retention; did you mean retention\.ms"):
        validate_topic_config({"retention": "1"}, DEFAULTS)


def test_tiered_storage_is_refused() -> None:
    with pytest.raises(ConfigError, match="Tiered Storage"):
        validate_topic_config({"remote.storage.enable": "true"}, DEFAULTS)


def test_an_empty_entry_of_a_list_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'cleanup\.policy' values must not be empty"):
        validate_topic_config({"cleanup.policy": "delete,,compact"}, DEFAULTS)


def test_an_entry_of_a_list_given_twice_counts_once() -> None:
    assert TOPIC_KEYS["cleanup.policy"].parse("delete, delete,compact") == ("delete", "compact")


@pytest.mark.parametrize(
    ("broker", "topic"),
    [
        ({}, {"min.compaction.lag.ms": "100", "max.compaction.lag.ms": "50"}),
        ({"log.cleaner.max.compaction.lag.ms": "50"}, {"min.compaction.lag.ms": "100"}),
    ],
)
def test_a_topics_compaction_lags_must_not_contradict_each_other(
    broker: dict[str, str], topic: dict[str, str]
) -> None:
    conflict = r"min.compaction.lag.ms \(100\) > max.compaction.lag.ms \(50\)"
    with pytest.raises(ConfigError, match=conflict):
        validate_topic_config(topic, BrokerConfig(broker))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("max.connections.per.ip", "0", "can be set to zero only if"),
        ("log.retention.ms", "0", "log.retention.ms must be unlimited"),
        ("log.retention.minutes", "0", "log.retention.ms must be unlimited"),
        ("log.retention.hours", "0", "log.retention.ms must be unlimited"),
        ("log.roll.ms", "0", "log.roll.ms must be greater than or equal to 1"),
        ("log.roll.jitter.ms", "-1", "log.roll.jitter.ms must be greater than or equal to 0"),
    ],
)
def test_broker_values_that_would_break_it_are_refused(name: str, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        check_broker_values(BrokerConfig({name: text}))
    if not name.endswith(("minutes", "hours")):
        with pytest.raises(ConfigError, match=reason):
            check_broker_values(DEFAULTS.with_dynamic(Source.DYNAMIC_BROKER, {name: text}))
    check_broker_values(DEFAULTS)


@pytest.mark.parametrize("name", ["num.partitions", "listeners", "ssl.keystore.location"])
def test_read_only_broker_keys_cannot_be_changed(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"dynamically: \[{name}\]"):
        check_dynamic_keys([name, "log.retention.ms"])


def test_all_of_apache_kafkas_broker_keys_are_known() -> None:
    assert len(UNUSED_KAFKA_KEYS | BROKER_KEYS.keys()) >= 360
    assert not UNUSED_KAFKA_KEYS & BROKER_KEYS.keys()


@pytest.mark.parametrize("table", [TOPIC_KEYS, BROKER_KEYS], ids=["topic", "broker"])
def test_every_default_passes_its_own_check(table: dict[str, object]) -> None:
    for key in (TOPIC_KEYS if table is TOPIC_KEYS else BROKER_KEYS).values():
        text = format_value(key.default)
        if text is not None:
            assert key.parse(text) == key.default
        else:
            assert key.nullable


def test_synonyms_of_topic_keys_are_broker_keys() -> None:
    for key in TOPIC_KEYS.values():
        for synonym in key.synonyms:
            assert synonym.name in BROKER_KEYS
