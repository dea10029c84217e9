"""The configuration keys of compaction, with Kafka's defaults, and of scrubbing, which are ours."""

import sys
from typing import Final

from barnabas.config.broker_key import broker_key
from barnabas.config.keys import ConfigType, Importance, Update
from barnabas.config.validators import at_least

_MEDIUM, _DYNAMIC = Importance.MEDIUM, Update.DYNAMIC


CLEANER_KEYS: Final = (
    broker_key(
        _MEDIUM,
        "log.cleaner.backoff.ms",
        ConfigType.LONG,
        15_000,
        "How long compaction sleeps when there is nothing to compact.",
        check=at_least(0),
        update=_DYNAMIC,
    ),
    broker_key(
        _MEDIUM,
        "log.cleaner.dedupe.buffer.size",
        ConfigType.LONG,
        128 << 20,
        "The memory for keys, of all threads of compaction together, at most.",
        update=_DYNAMIC,
    ),
    broker_key(
        _MEDIUM,
        "log.cleaner.enable",
        ConfigType.BOOLEAN,
        True,
        "Whether topics are compacted at all.",
    ),
    broker_key(
        _MEDIUM,
        "log.cleaner.io.buffer.load.factor",
        ConfigType.DOUBLE,
        0.9,
        "How full the memory for keys may get.",
        update=_DYNAMIC,
    ),
    broker_key(
        _MEDIUM,
        "log.cleaner.io.buffer.size",
        ConfigType.INT,
        512 << 10,
        "The buffers for reading and writing, of all threads of compaction together.",
        check=at_least(0),
        update=_DYNAMIC,
    ),
    broker_key(
        _MEDIUM,
        "log.cleaner.io.max.bytes.per.second",
        ConfigType.DOUBLE,
        sys.float_info.max,
        "The most that compaction reads and writes, of all threads together.",
        update=_DYNAMIC,
    ),
    broker_key(
        _MEDIUM,
        "log.cleaner.threads",
        ConfigType.INT,
        1,
        "Threads that compact; no fewer than there are log directories, unless it is 0.",
        check=at_least(0),
    ),
    broker_key(
        _MEDIUM,
        "log.scrub.interval.ms",
        ConfigType.LONG,
        7 * 24 * 3_600_000,
        "How often old segments are read back and checked; -1 is never. Barnabas' own key.",
        check=at_least(-1),
        update=_DYNAMIC,
    ),
    broker_key(
        _MEDIUM,
        "log.scrub.max.bytes.per.second",
        ConfigType.DOUBLE,
        10.0 * (1 << 20),
        "The most that is read back at that. Barnabas' own key.",
        check=at_least(1),
        update=_DYNAMIC,
    ),
)
