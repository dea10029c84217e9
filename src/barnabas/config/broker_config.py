"""The configuration in force, from its layers. Imports the rest of `config`.

A broker's value of a key is the first of: its dynamic value for this broker, its dynamic default
for all brokers, its static value (command line, then file), the same of its synonyms, its default.
A topic's is what was set for the topic, else the broker's value of the key's first synonym that
has one.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.config.kafka_keys import UNUSED_KAFKA_KEYS, UNUSED_PREFIXES
from barnabas.config.keys import Key, Synonym, Update, Value
from barnabas.config.properties import Properties
from barnabas.config.topic_keys import TOPIC_KEYS
from barnabas.errors import ConfigError
from barnabas.wording import close_names

CoreValue = int | str | bool


class Source(enum.IntEnum):
    """Where a value is from, with the numbers DescribeConfigs gives them."""

    DYNAMIC_TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5


class Setting(NamedTuple):
    """One value of a key, or of a synonym of it."""

    name: str
    value: Value  # in the unit of the key that was asked for
    source: Source
    given: Value  # as it was given, in the synonym's own unit


class BrokerConfig:
    """One broker's configuration. Changes only through `set_dynamic`."""

    def __init__(
        self, static: Mapping[str, str], defaults: Mapping[str, Value] | None = None
    ) -> None:
        """`static`: texts by key, all of them used here. Raises ConfigError for a bad value."""
        self._defaults = dict(defaults or {})
        self._layers: dict[Source, dict[str, Value]] = {
            Source.DYNAMIC_BROKER: {},
            Source.DYNAMIC_DEFAULT_BROKER: {},
            Source.STATIC_BROKER: {
                name: BROKER_KEYS[name].parse(text) for name, text in static.items()
            },
        }

    # -- a broker's values

    def get(self, name: str) -> Value:
        """The value in force."""
        return next(self.settings(name)).value

    def integer(self, name: str) -> int:
        """The value in force of a number."""
        value = self.get(name)
        assert isinstance(value, int), name
        return value

    def boolean(self, name: str) -> bool:
        """The value in force of a switch."""
        value = self.get(name)
        assert isinstance(value, bool), name
        return value

    def settings(self, name: str) -> Iterator[Setting]:
        """All values of a broker key, the one in force first. There is at least the default."""
        key = BROKER_KEYS[name]
        names = (Synonym(name), *key.synonyms)
        for synonym in names:
            for source, layer in self._layers.items():
                if synonym.name in layer:
                    given = layer[synonym.name]
                    yield Setting(synonym.name, _scaled(given, synonym.factor), source, given)
        for synonym in names:
            default = self._default(BROKER_KEYS[synonym.name])
            if default is not None:
                value = _scaled(default, synonym.factor)
                yield Setting(synonym.name, value, Source.DEFAULT, default)
                return
        yield Setting(name, None, Source.DEFAULT, None)

    def core_settings(self) -> dict[str, CoreValue]:
        """All values in force, as the core takes them."""
        return {
            name: value
            for name in BROKER_KEYS
            if (value := _core_value(self.get(name))) is not None
        }

    def with_dynamic(self, source: Source, config: Mapping[str, str]) -> "BrokerConfig":
        """What the configuration would be with another layer of dynamic values. Raises ConfigError
        for a bad one.
        """
        changed = BrokerConfig({}, self._defaults)
        changed._layers = dict(self._layers)
        changed.set_dynamic(source, config)
        return changed

    def set_dynamic(self, source: Source, config: Mapping[str, str]) -> None:
        """Replaces a layer of dynamic values. They have been validated before."""
        self._layers[source] = {
            name: BROKER_KEYS[name].parse(text) for name, text in config.items()
        }

    # -- a topic's values

    def topic_settings(self, name: str, topic_config: Mapping[str, str]) -> Iterator[Setting]:
        """All values of a topic key, the one in force first."""
        key = TOPIC_KEYS[name]
        if name in topic_config:
            value = key.parse(topic_config[name])
            yield Setting(name, value, Source.DYNAMIC_TOPIC, value)
        if key.internal:
            yield from self.settings(name)
        elif key.synonyms:
            # The other synonyms are those of the first one too.
            yield from self.settings(key.synonyms[0].name)
        else:
            yield Setting(name, key.default, Source.DEFAULT, key.default)

    def topic_value(self, name: str, topic_config: Mapping[str, str]) -> Value:
        """The value in force for a topic."""
        return next(self.topic_settings(name, topic_config)).value

    def core_topic_config(self, topic_config: Mapping[str, str]) -> dict[str, CoreValue]:
        """All values in force for a topic, as the core takes them."""
        return {
            name: value
            for name in TOPIC_KEYS
            if (value := _core_value(self.topic_value(name, topic_config))) is not None
        }

    def _default(self, key: Key) -> Value:
        return self._defaults.get(key.name, key.default)


def split_known(entries: Mapping[str, str], origin: str) -> tuple[dict[str, str], list[str]]:
    """Entries whose keys Barnabas has, and the keys that are of no effect.

    Raises ConfigError for a key that nobody knows.
    """
    known: dict[str, str] = {}
    unused: list[str] = []
    for name, text in entries.items():
        if name in BROKER_KEYS:
            known[name] = text
            if not BROKER_KEYS[name].used:
                unused.append(name)
        elif name in UNUSED_KAFKA_KEYS or name.startswith(UNUSED_PREFIXES):
            unused.append(name)
        else:
            place = place_of(name, entries, origin)
            raise ConfigError(f"{place}: unknown configuration key {name}{_meant(name)}")
    return known, unused


def _meant(name: str) -> str:
    """For the end of an error: what may have been meant by a key that no broker has."""
    if name in TOPIC_KEYS:
        synonyms = TOPIC_KEYS[name].synonyms
        own = f", the broker's is {synonyms[0].name}" if synonyms else ""
        return f": it is a topic's{own}"
    close = close_names(name, (*BROKER_KEYS, *UNUSED_KAFKA_KEYS))
    return f"; did you mean {' or '.join(close)}?" if close else ""


def place_of(name: str, entries: Mapping[str, str], origin: str) -> str:
    """Where a key was given, for whoever has to mend it: the line, too, if that is known."""
    if isinstance(entries, Properties):
        return f"{origin}, line {entries.lines[name]}"
    return origin


def validate_topic_config(config: Mapping[str, str | None], broker: BrokerConfig) -> None:
    """Checks a topic's own configuration. Raises ConfigError with Kafka's message."""
    given: dict[str, str] = {}
    for name, text in config.items():
        key = TOPIC_KEYS.get(name)
        if key is None:
            close = close_names(name, TOPIC_KEYS)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise ConfigError(f"Unknown topic config name: {name}{hint}")
        if text is None:
            raise ConfigError(f"Null value not supported for topic configs: {name}")
        key.parse(text)
        given[name] = text
    if not given:
        return
    if given.get("remote.storage.enable", "").strip().lower() == "true":
        raise ConfigError(
            "Tiered Storage functionality is disabled in the broker. "
            "Topic cannot be configured with remote log storage."
        )
    lags = ("min.compaction.lag.ms", "max.compaction.lag.ms")
    shortest, longest = (broker.topic_value(name, given) for name in lags)
    assert isinstance(shortest, int)
    assert isinstance(longest, int)
    if shortest > longest:
        raise ConfigError(
            f"conflict topic config setting {lags[0]} ({shortest}) > {lags[1]} ({longest})"
        )


def check_dynamic_keys(names: Iterable[str]) -> None:
    """Whether these broker keys may change while the broker runs. Raises ConfigError with Kafka's
    message; it has none for keys that it has never heard of, and keeps them.
    """
    fixed = [
        name
        for name in sorted(names)
        if name not in BROKER_KEYS or BROKER_KEYS[name].update is not Update.DYNAMIC
    ]
    if fixed:
        raise ConfigError(f"Cannot update these configs dynamically: [{', '.join(fixed)}]")


def check_broker_values(config: BrokerConfig) -> None:
    """What Kafka asks of a broker's values in force beyond each key's own check. Raises
    ConfigError with Kafka's message.
    """
    retention_ms, roll_ms, jitter_ms = (
        config.get(name) for name in ("log.retention.ms", "log.roll.ms", "log.roll.jitter.ms")
    )
    if retention_ms == 0:
        raise ConfigError("log.retention.ms must be unlimited (-1) or, greater than or equal to 1")
    if isinstance(roll_ms, int) and roll_ms < 1:
        raise ConfigError("log.roll.ms must be greater than or equal to 1")
    if isinstance(jitter_ms, int) and jitter_ms < 0:
        raise ConfigError("log.roll.jitter.ms must be greater than or equal to 0")
    threads = config.integer("log.cleaner.threads")
    if threads > 0 and config.integer("log.cleaner.dedupe.buffer.size") // threads <= 1 << 20:
        raise ConfigError("log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.")
    if config.get("max.connections.per.ip") == 0:
        # There are no overrides here: nobody could connect any more, not even to undo it.
        raise ConfigError(
            "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides "
            "property is set."
        )


def _scaled(value: Value, factor: int) -> Value:
    """A value in another unit; negative ones mean "no limit" in all of them."""
    if factor == 1 or not isinstance(value, int) or value < 0:
        return value
    return value * factor


def _core_value(value: Value) -> CoreValue | None:
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value) if isinstance(value, float) else value
