"""Values of keys: Kafka's types, limits and messages."""

import pytest

from barnabas.config.broker_config import validate_broker_config, validate_topic_config
from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.config.kafka_keys import UNUSED_KAFKA_KEYS
from barnabas.config.keys import format_value
from barnabas.config.topic_keys import TOPIC_KEYS
from barnabas.errors import ConfigError


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
        (
            "compression.type",
            "rar",
            "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
        ),
        ("cleanup.policy", "burn", "String must be one of: compact, delete"),
        ("cleanup.policy", "delete,delete", "Duplicate values are not allowed"),
        ("compression.gzip.level", "10", "Value must be between 1 and 9 or equal to -1"),
        ("follower.replication.throttled.replicas", "0", "Must be the literal '*'"),
    ],
)
def test_bad_values_are_refused_in_kafkas_words(name: str, text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate_topic_config({name: text})
    assert f"for configuration {name}: {reason}" in str(caught.value)


def test_an_unknown_topic_key_is_named() -> None:
    with pytest.raises(ConfigError, match="Unknown topic config name: retention"):
        validate_topic_config({"retention": "1"})


def test_tiered_storage_is_refused() -> None:
    with pytest.raises(ConfigError, match="Tiered storage"):
        validate_topic_config({"remote.storage.enable": "true"})


@pytest.mark.parametrize("name", ["num.partitions", "listeners", "ssl.keystore.location"])
def test_read_only_broker_keys_cannot_be_changed(name: str) -> None:
    with pytest.raises(ConfigError, match=f"Cannot update these configs dynamically.*{name}"):
        validate_broker_config({name: "1"})


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
