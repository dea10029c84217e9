"""The configuration keys of compaction, with Kafka's defaults, and of scrubbing, which are ours."""

import sys
from typing import Final

from barnabas.config.keys import ConfigType, Importance, Key, Update, Value
from barnabas.config.validators import Validator, at_least


def _key(
    name: str,
    type_: ConfigType,
    default: Value,
    doc: str,
    *,
    check: Validator | None = None,
    update: Update = Update.DYNAMIC,
) -> Key:
    return Key(
        name=name,
        type=type_,
        default=default,
        doc=doc,
        importance=Importance.MEDIUM,
        validator=check,
        update=update,
    )


CLEANER_KEYS: Final = (
    _key(
        "log.cleaner.backoff.ms",
        ConfigType.LONG,
        15_000,
        "How long compaction sleeps when there is nothing to compact.",
        check=at_least(0),
    ),
    _key(
        "log.cleaner.dedupe.buffer.size",
        ConfigType.LONG,
        128 << 20,
        "The memory for keys, of all threads of compaction together, at most.",
    ),
    _key(
        "log.cleaner.enable",
        ConfigType.BOOLEAN,
        True,
        "Whether topics are compacted at all.",
        update=Update.READ_ONLY,
    ),
    _key(
        "log.cleaner.io.buffer.load.factor",
        ConfigType.DOUBLE,
        0.9,
        "How full the memory for keys may get.",
    ),
    _key(
        "log.cleaner.io.buffer.size",
        ConfigType.INT,
        512 << 10,
        "The buffers for reading and writing, of all threads of compaction together.",
        check=at_least(0),
    ),
    _key(
        "log.cleaner.io.max.bytes.per.second",
        ConfigType.DOUBLE,
        sys.float_info.max,
        "The most that compaction reads and writes, of all threads together.",
    ),
    _key(
        "log.cleaner.threads",
        ConfigType.INT,
        1,
        "Threads that compact.",
        check=at_least(0),
        update=Update.READ_ONLY,
    ),
    _key(
        "log.scrub.interval.ms",
        ConfigType.LONG,
        7 * 24 * 3_600_000,
        "How often old segments are read back and checked; -1 is never. Barnabas' own key.",
        check=at_least(-1),
    ),
    _key(
        "log.scrub.max.bytes.per.second",
        ConfigType.DOUBLE,
        10.0 * (1 << 20),
        "The most that is read back at that. Barnabas' own key.",
        check=at_least(1),
    ),
)
