"""The configuration keys of a broker that Barnabas uses, with Kafka's defaults."""

import os
from collections.abc import Mapping
from typing import Final

from barnabas.arguments import INT32_MAX, INT64_MAX
from barnabas.config.broker_key import broker_key as _key
from barnabas.config.cleaner_keys import CLEANER_KEYS
from barnabas.config.group_keys import GROUP_KEYS
from barnabas.config.keys import (
    ConfigType,
    Importance,
    Key,
    Synonym,
    Update,
    Value,
)
from barnabas.config.topic_default_keys import TOPIC_DEFAULT_KEYS
from barnabas.config.transaction_keys import TRANSACTION_KEYS
from barnabas.config.validators import at_least, between, list_of, not_empty
from barnabas.state.units import DAY_MS, HOUR_MS, MINUTE_MS

_INT, _SHORT, _LONG = ConfigType.INT, ConfigType.SHORT, ConfigType.LONG
_BOOL, _STRING, _LIST = ConfigType.BOOLEAN, ConfigType.STRING, ConfigType.LIST
_HIGH, _MEDIUM, _LOW = Importance.HIGH, Importance.MEDIUM, Importance.LOW

REACTORS_DEFAULT_MAX: Final = 4
REACTORS_MAX: Final = 1024


def _time(name: str, doc: str, *synonyms: Synonym) -> Key:
    """A dynamic time in milliseconds that its synonyms, most in coarser units, give the default."""
    return Key(
        name=name,
        type=_LONG,
        default=None,
        doc=doc,
        importance=_HIGH,
        synonyms=synonyms,
        update=Update.DYNAMIC,
        nullable=True,
    )


_IDENTITY = (
    _key(
        _HIGH,
        "node.id",
        _INT,
        1,
        "The id of this broker.",
        check=at_least(0),
    ),
    _key(_HIGH, "broker.id", _INT, -1, "The older name of node.id; -1 is not set."),
    _key(_MEDIUM, "broker.rack", _STRING, None, "The rack this broker is in."),
    _key(
        _HIGH,
        "process.roles",
        _LIST,
        ("broker", "controller"),
        "What Kafka's process would be; a Barnabas broker is its own controller.",
        check=list_of("broker", "controller"),
        used=False,
    ),
    _key(
        _HIGH,
        "metadata.log.dir",
        _STRING,
        None,
        "Where Apache Kafka has its metadata log, when that is not in the first of log.dirs; read "
        "when a data directory of Kafka's is adopted.",
    ),
)

_NETWORK = (
    _key(
        _HIGH,
        "listeners",
        _LIST,
        ("PLAINTEXT://127.0.0.1:9092",),
        "Where clients connect: NAME://HOST:PORT; port 0 picks a free one.",
    ),
    _key(_HIGH, "advertised.listeners", _LIST, None, "What clients are told to connect to."),
    _key(
        _LOW,
        "listener.security.protocol.map",
        _STRING,
        "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
        "The protocol of each listener name.",
    ),
    _key(
        _HIGH,
        "controller.listener.names",
        _LIST,
        (),
        "Listeners of Kafka's controllers; there are none here, so these are passed over.",
    ),
    _key(
        _HIGH,
        "allow.insecure.listeners",
        _BOOL,
        False,
        "Allows a listener off loopback without authentication. Barnabas' own key.",
    ),
    _key(
        _HIGH,
        "num.network.threads",
        _INT,
        min(REACTORS_DEFAULT_MAX, os.cpu_count() or 1),
        "Threads that serve connections; by default one a processor, 4 at most.",
        check=between(1, REACTORS_MAX),
    ),
    _key(
        _HIGH,
        "num.io.threads",
        _INT,
        8,
        "Threads for what may wait for a disk, of each log directory.",
        check=at_least(1),
    ),
    _key(
        _HIGH,
        "queued.max.requests",
        _INT,
        500,
        "Requests that may wait for the broker loop before connections are not read from.",
        check=at_least(1),
    ),
    _key(
        _MEDIUM,
        "queued.max.request.bytes",
        _LONG,
        -1,
        "Bytes of requests that arrive or wait for the broker loop before connections are not read "
        "from; -1: a quarter of the machine's memory, from 128 MiB to 1 GiB.",
    ),
    _key(
        _MEDIUM,
        "max.connections",
        _INT,
        INT32_MAX,
        "Connections at a time.",
        check=at_least(0),
        update=Update.DYNAMIC,
    ),
    _key(
        _MEDIUM,
        "max.connections.per.ip",
        _INT,
        INT32_MAX,
        "Connections at a time from one address.",
        check=at_least(0),
        update=Update.DYNAMIC,
    ),
    _key(
        _MEDIUM,
        "connections.max.idle.ms",
        _LONG,
        10 * MINUTE_MS,
        "Connections on which nothing moves for so long are closed, and those on which one request "
        "takes longer to arrive.",
    ),
    _key(
        _HIGH,
        "socket.request.max.bytes",
        _INT,
        100 << 20,
        "The largest request.",
        check=at_least(1),
    ),
    _key(
        _MEDIUM,
        "socket.listen.backlog.size",
        _INT,
        50,
        "Connections that may wait to be accepted; 1024 at least.",
        check=at_least(1),
    ),
    _key(
        _HIGH,
        "socket.send.buffer.bytes",
        _INT,
        100 << 10,
        "SO_SNDBUF; -1 leaves it to the system.",
    ),
    _key(
        _HIGH,
        "socket.receive.buffer.bytes",
        _INT,
        100 << 10,
        "SO_RCVBUF; -1 leaves it to the system.",
    ),
    _key(
        _MEDIUM,
        "fetch.max.bytes",
        _INT,
        55 << 20,
        "The largest fetch response.",
        check=at_least(1024),
    ),
    _key(
        _MEDIUM,
        "max.incremental.fetch.session.cache.slots",
        _INT,
        1000,
        "Fetch sessions remembered.",
        check=at_least(0),
    ),
    _key(
        _MEDIUM,
        "max.request.partition.size.limit",
        _INT,
        2000,
        "Partitions in one DescribeTopicPartitions response.",
        check=at_least(1),
    ),
)

_TOPICS = (
    _key(
        _HIGH,
        "auto.create.topics.enable",
        _BOOL,
        True,
        "Whether asking for the metadata of a topic creates it.",
    ),
    _key(_HIGH, "delete.topic.enable", _BOOL, True, "Whether topics can be deleted."),
    _key(
        _MEDIUM,
        "num.partitions",
        _INT,
        1,
        "Partitions of a topic created without a number.",
        check=at_least(1),
    ),
    _key(
        _MEDIUM,
        "default.replication.factor",
        _INT,
        1,
        "Replicas of a topic created without a number.",
    ),
)

_LOG = (
    _key(
        _HIGH,
        "log.dir",
        _LIST,
        None,
        "The log directories, when log.dirs is not set.",
        check=not_empty,
    ),
    _key(
        _HIGH,
        "log.dirs",
        _LIST,
        None,
        "The log directories; the metadata is in the first.",
        check=not_empty,
    ),
    _key(
        _HIGH,
        "num.replica.alter.log.dirs.threads",
        _INT,
        None,
        "Threads that move partitions between log directories; by default one for each directory.",
        check=at_least(1),
    ),
    _key(
        _MEDIUM,
        "replica.alter.log.dirs.io.max.bytes.per.second",
        _LONG,
        2**63 - 1,
        "The most that is copied from log directory to log directory, by all threads together.",
        check=at_least(0),
        update=Update.DYNAMIC,
    ),
    _key(
        _HIGH,
        "num.recovery.threads.per.data.dir",
        _INT,
        2,
        "Threads that load logs at start.",
        check=at_least(1),
    ),
    _key(
        _HIGH,
        "log.flush.offset.checkpoint.interval.ms",
        _INT,
        MINUTE_MS,
        "How often recovery points are written.",
        check=at_least(0),
    ),
    _key(
        _HIGH,
        "log.flush.scheduler.interval.ms",
        _LONG,
        INT64_MAX,
        "The fallback of log.flush.interval.ms. Logs are looked at every second for a due fsync.",
    ),
    _key(
        _MEDIUM,
        "log.retention.check.interval.ms",
        _LONG,
        5 * MINUTE_MS,
        "How often segments are looked at for deletion.",
        check=at_least(1),
    ),
    _key(
        _LOW,
        "transaction.partition.verification.enable",
        _BOOL,
        True,
        "Whether a partition must be known to the transaction before records of it are appended.",
        update=Update.DYNAMIC,
    ),
    _key(
        _LOW,
        "producer.id.expiration.ms",
        _INT,
        DAY_MS,
        "How long the state of a producer without new records is kept.",
        check=at_least(1),
        update=Update.DYNAMIC,
    ),
    _time(
        "log.retention.ms",
        "The default of the topic key retention.ms.",
        Synonym("log.retention.minutes", MINUTE_MS),
        Synonym("log.retention.hours", HOUR_MS),
    ),
    _key(_HIGH, "log.retention.minutes", _INT, None, "log.retention.ms in minutes."),
    _key(_HIGH, "log.retention.hours", _INT, 7 * 24, "log.retention.ms in hours."),
    _time(
        "log.roll.ms",
        "The default of the topic key segment.ms.",
        Synonym("log.roll.hours", HOUR_MS),
    ),
    _key(
        _HIGH,
        "log.roll.hours",
        _INT,
        7 * 24,
        "log.roll.ms in hours.",
        check=at_least(1),
    ),
    _time(
        "log.roll.jitter.ms",
        "The default of the topic key segment.jitter.ms.",
        Synonym("log.roll.jitter.hours", HOUR_MS),
    ),
    _key(
        _HIGH,
        "log.roll.jitter.hours",
        _INT,
        0,
        "log.roll.jitter.ms in hours.",
        check=at_least(0),
    ),
    _time(
        "log.flush.interval.ms",
        "The default of the topic key flush.ms.",
        Synonym("log.flush.scheduler.interval.ms"),
    ),
)

BROKER_KEYS: Final[Mapping[str, Key]] = {
    key.name: key
    for keys in (
        _IDENTITY,
        _NETWORK,
        _TOPICS,
        GROUP_KEYS,
        TRANSACTION_KEYS,
        _LOG,
        CLEANER_KEYS,
        TOPIC_DEFAULT_KEYS,
    )
    for key in keys
}

EMBEDDED_DEFAULTS: Final[Mapping[str, Value]] = {
    "group.initial.rebalance.delay.ms": 0,
}
"""Where an embedded broker differs: tests and notebooks do not wait for more members."""

VIRTUAL_CLOCK_DEFAULTS: Final[Mapping[str, Value]] = {
    "connections.max.idle.ms": -1,
}
"""Where one with a virtual clock differs, too: its connections live in real time."""
