"""The configuration keys of groups, with Kafka's defaults."""

from typing import Final

from barnabas.arguments import INT32_MAX
from barnabas.config.broker_key import broker_key as _key
from barnabas.config.keys import ConfigType, Importance
from barnabas.config.validators import at_least
from barnabas.state.units import MINUTE_MS

_INT, _SHORT, _LONG = ConfigType.INT, ConfigType.SHORT, ConfigType.LONG
_HIGH, _MEDIUM, _LOW = Importance.HIGH, Importance.MEDIUM, Importance.LOW

GROUP_KEYS: Final = (
    _key(
        _MEDIUM,
        "group.initial.rebalance.delay.ms",
        _INT,
        3000,
        "How long the first rebalance of an empty group waits for more members.",
    ),
    _key(
        _MEDIUM,
        "group.min.session.timeout.ms",
        _INT,
        6000,
        "The shortest session timeout a member may ask for.",
    ),
    _key(
        _MEDIUM,
        "group.max.session.timeout.ms",
        _INT,
        30 * MINUTE_MS,
        "The longest session timeout a member may ask for.",
    ),
    _key(
        _MEDIUM,
        "group.max.size",
        _INT,
        INT32_MAX,
        "Members of a group.",
        check=at_least(1),
    ),
    _key(
        _HIGH,
        "offset.metadata.max.bytes",
        _INT,
        4096,
        "The largest metadata committed with an offset.",
    ),
    _key(
        _HIGH,
        "offsets.retention.minutes",
        _INT,
        7 * 24 * 60,
        "How long the offsets of a group without members are kept.",
        check=at_least(1),
    ),
    _key(
        _HIGH,
        "offsets.retention.check.interval.ms",
        _LONG,
        10 * MINUTE_MS,
        "How often expired offsets are looked for.",
        check=at_least(1),
    ),
    _key(
        _HIGH,
        "offsets.topic.num.partitions",
        _INT,
        50,
        "Partitions of __consumer_offsets, when it is created.",
        check=at_least(1),
    ),
    _key(
        _HIGH,
        "offsets.topic.replication.factor",
        _SHORT,
        1,
        "Replicas of __consumer_offsets: 3, or the number of brokers if that is less.",
        check=at_least(1),
    ),
    _key(
        _HIGH,
        "offsets.topic.segment.bytes",
        _INT,
        100 << 20,
        "The segment size of __consumer_offsets.",
        check=at_least(1),
    ),
)
