"""The broker keys that are the default of one topic key, and like it in everything."""

from typing import Final

from barnabas.config.keys import Importance, Key, Update
from barnabas.config.topic_keys import TOPIC_KEYS

_HIGH, _MEDIUM = Importance.HIGH, Importance.MEDIUM


def _topic_default(name: str, topic_key: str, importance: Importance = _MEDIUM) -> Key:
    """The dynamic default of a topic key: like it in everything."""
    key = TOPIC_KEYS[topic_key]
    return Key(
        name=name,
        type=key.type,
        default=key.default,
        doc=f"The default of the topic key {topic_key}: {key.doc[0].lower()}{key.doc[1:]}",
        importance=importance,
        validator=key.validator,
        update=Update.DYNAMIC,
        nullable=key.nullable,
        internal=key.internal,
        used=key.used,
    )


TOPIC_DEFAULT_KEYS: Final = (
    _topic_default("compression.gzip.level", "compression.gzip.level"),
    _topic_default("compression.lz4.level", "compression.lz4.level"),
    _topic_default("compression.type", "compression.type", _HIGH),
    _topic_default("compression.zstd.level", "compression.zstd.level"),
    _topic_default("internal.segment.bytes", "internal.segment.bytes"),
    _topic_default("log.cleaner.delete.retention.ms", "delete.retention.ms"),
    _topic_default("log.cleaner.max.compaction.lag.ms", "max.compaction.lag.ms"),
    _topic_default("log.cleaner.min.cleanable.ratio", "min.cleanable.dirty.ratio"),
    _topic_default("log.cleaner.min.compaction.lag.ms", "min.compaction.lag.ms"),
    _topic_default("log.cleanup.policy", "cleanup.policy"),
    _topic_default("log.flush.interval.messages", "flush.messages", _HIGH),
    _topic_default("log.index.interval.bytes", "index.interval.bytes"),
    _topic_default("log.index.size.max.bytes", "segment.index.bytes"),
    _topic_default("log.local.retention.bytes", "local.retention.bytes"),
    _topic_default("log.local.retention.ms", "local.retention.ms"),
    _topic_default("log.message.timestamp.after.max.ms", "message.timestamp.after.max.ms"),
    _topic_default("log.message.timestamp.before.max.ms", "message.timestamp.before.max.ms"),
    _topic_default("log.message.timestamp.type", "message.timestamp.type"),
    _topic_default("log.preallocate", "preallocate"),
    _topic_default("log.retention.bytes", "retention.bytes", _HIGH),
    _topic_default("log.segment.bytes", "segment.bytes", _HIGH),
    _topic_default("log.segment.delete.delay.ms", "file.delete.delay.ms", _HIGH),
    _topic_default("message.max.bytes", "max.message.bytes", _HIGH),
    _topic_default("min.insync.replicas", "min.insync.replicas", _HIGH),
    _topic_default("unclean.leader.election.enable", "unclean.leader.election.enable", _HIGH),
)
