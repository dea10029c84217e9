"""What a broker is started with: a file, settings given one by one, and what they come to."""

import enum
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from barnabas.config.broker_config import (
    BrokerConfig,
    check_broker_values,
    place_of,
    split_known,
)
from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.config.keys import Value
from barnabas.config.listeners import (
    EVERY_INTERFACE,
    Address,
    check_advertised,
    choose_listener,
    is_loopback,
    is_wildcard,
    machine_host,
    parse_listeners,
)
from barnabas.config.properties import Properties, parse_properties
from barnabas.errors import ConfigError


class Adopt(enum.Enum):
    """Whether a data directory that Apache Kafka has made is taken over."""

    NO = "no"
    TO_RETURN = "to return"  # topics stay as Kafka's metadata has them
    FOR_GOOD = "for good"  # topics may be changed, which Kafka's metadata will not know


DEFAULT_DATA_DIR: Final = "barnabas-data"
META_PROPERTIES: Final = "meta.properties"
"""The identity of a data directory, Kafka's own file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConfig:
    """All that a broker needs to know to start."""

    config: BrokerConfig
    data_dirs: tuple[Path, ...]  # log.dirs; the metadata is in the first
    listen: Address
    advertised: Address  # port 0: the port where it listens
    unused_keys: tuple[str, ...]  # Kafka's, given and of no effect
    adopt: Adopt = Adopt.NO
    kafka_metadata_dir: Path | None = None  # where Kafka's metadata log is, if it is said
    forgotten_dirs: tuple[Path, ...] = ()  # log directories that are lost for good

    @property
    def data_dir(self) -> Path:
        """The directory with the metadata."""
        return self.data_dirs[0]


def read_properties(path: Path) -> Properties:
    """The settings of a server.properties file. Raises ConfigError."""
    try:
        return parse_properties(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {path}: it is no text in UTF-8") from error
    except ConfigError as error:
        raise ConfigError(f"{path}, {error}") from error


def make_start_config(
    layers: Sequence[tuple[str, Mapping[str, str]]],
    *,
    data_dirs: Sequence[Path] | None = None,
    defaults: Mapping[str, Value] | None = None,
    adopt: Adopt = Adopt.NO,
    forgotten_dirs: Sequence[Path] = (),
) -> StartConfig:
    """Settings from several origins, the later ones stronger. Raises ConfigError."""
    static: dict[str, str] = {}
    unused: list[str] = []
    for origin, entries in layers:
        known, without_effect = split_known(entries, origin)
        static |= known
        unused += without_effect
    _check_values(static, layers)
    if "broker.id" in static and "node.id" not in static and int_or(static["broker.id"], -1) >= 0:
        static["node.id"] = static["broker.id"]
    metadata_dir = _kafka_metadata_dir(layers)
    if data_dirs is not None:  # where a name may have a comma
        static["log.dirs"] = ",".join(map(str, data_dirs))
    config = BrokerConfig(static, defaults)
    data_dirs = _data_dirs(config) if data_dirs is None else tuple(data_dirs)
    if adopt is not Adopt.NO and len(data_dirs) > 1:
        raise ConfigError(
            f"log.dirs: of {len(data_dirs)} directories none can be adopted, only one: --data-dir "
            "says which. It is served alone; to have all of them, let Apache Kafka move every "
            "partition into one first (kafka-reassign-partitions.sh)"
        )
    node_id = next((node for path in data_dirs if (node := _node_of(path)) is not None), None)
    if "node.id" not in static and node_id is not None:
        config = BrokerConfig(static, {**(defaults or {}), "node.id": node_id})
    check_broker_values(config)
    listen = _client_listener(config, "listeners")
    if listen is None:
        raise ConfigError("listeners: none given; PLAINTEXT://127.0.0.1:9092 is the default")
    if not is_loopback("listeners", listen.host) and not config.boolean("allow.insecure.listeners"):
        shown = Address(listen.host or EVERY_INTERFACE, listen.port)
        raise ConfigError(
            f"listeners: {shown} can be reached from other machines, and there is no "
            "authentication yet; if that is meant, say --insecure "
            "(allow.insecure.listeners=true)"
        )
    return StartConfig(
        config=config,
        data_dirs=data_dirs,
        listen=listen,
        advertised=_advertised(config, listen),
        unused_keys=tuple(sorted(set(unused))),
        adopt=adopt,
        kafka_metadata_dir=metadata_dir,
        forgotten_dirs=tuple(forgotten_dirs),
    )


def _check_values(
    static: Mapping[str, str], layers: Sequence[tuple[str, Mapping[str, str]]]
) -> None:
    """Says of a bad value in a file on which line it is."""
    for name, text in static.items():
        origin, entries = next(layer for layer in reversed(layers) if name in layer[1])
        try:
            BROKER_KEYS[name].parse(text)
        except ConfigError as error:
            if isinstance(entries, Properties):
                raise ConfigError(f"{place_of(name, entries, origin)}: {error}") from None
            raise


def _node_of(data_dir: Path) -> int | None:
    """The node whose directory it is, when there is one that says: who gives no id means that."""
    try:
        properties = parse_properties((data_dir / META_PROPERTIES).read_text())
    except (OSError, UnicodeDecodeError, ConfigError):
        return None
    node_id = int_or(properties.get("node.id", ""), -1)
    return None if node_id < 0 else node_id


def int_or(text: str, otherwise: int) -> int:
    """A text as a number; `otherwise` when it is none, for its key's own check to complain."""
    try:
        return int(text)
    except ValueError:
        return otherwise


def _client_listener(config: BrokerConfig, key: str) -> Address | None:
    values = config.get(key)
    if not values:
        return None
    assert isinstance(values, tuple)
    controllers = config.get("controller.listener.names")
    assert isinstance(controllers, tuple)
    protocols = str(config.get("listener.security.protocol.map"))
    return choose_listener(key, parse_listeners(key, values), controllers, protocols).address


def _advertised(config: BrokerConfig, listen: Address) -> Address:
    """What clients are told: what is configured, else where it listens.

    A host that is missing, or stands for every interface, is this machine's name.
    """
    key = "advertised.listeners"
    given = _client_listener(config, key)
    if given is not None:
        check_advertised(key, given.host)
        return given if given.host else Address(machine_host(key), given.port)
    if is_wildcard(listen.host):
        return Address(machine_host("listeners"), listen.port)
    return listen


def _kafka_metadata_dir(layers: Sequence[tuple[str, Mapping[str, str]]]) -> Path | None:
    """Where a Kafka with these settings keeps its metadata log: by default in the first log.dir."""
    entries = {key: text for _, layer in layers for key, text in layer.items()}
    for key in ("metadata.log.dir", "log.dirs", "log.dir"):
        first = entries.get(key, "").partition(",")[0].strip()
        if first:
            return Path(first)
    return None


def _data_dirs(config: BrokerConfig) -> tuple[Path, ...]:
    for key in ("log.dirs", "log.dir"):
        values = config.get(key)
        if values:
            assert isinstance(values, tuple)
            seen: set[str] = set()
            for value in values:
                if (real := os.path.realpath(value)) in seen:
                    raise ConfigError(f"{key}: {value} is there twice")
                seen.add(real)
            return tuple(Path(value) for value in values)
    return (Path(DEFAULT_DATA_DIR),)
