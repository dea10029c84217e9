"""The defaults of the native code, for whoever uses it without the registry's, are the registry's.

A bare log without a configuration goes by them.
"""

import inspect
import re
import sys
from pathlib import Path

from barnabas import Log
from barnabas._records import BATCH_SIZE
from barnabas.config.broker_config import BrokerConfig
from barnabas.config.broker_keys import BROKER_KEYS
from barnabas.config.topic_keys import TOPIC_KEYS
from barnabas.coordinator.settings import group_config, transaction_config
from barnabas.state.group.config import GroupConfig
from barnabas.state.txn.config import TransactionConfig

CSRC = Path(__file__).parents[3] / "csrc"
KEYS = {**BROKER_KEYS, **TOPIC_KEYS}

# `type name = value;  // key`, with what else there is to say behind the key.
_FIELD = re.compile(
    r"^  [\w:]+ \w+ = ([^;]+);\s*// ([a-z0-9]+(?:\.[a-z0-9]+)+)(?:$|[,;]| [(/])", re.M
)
_READ = re.compile(r'reader\.read\("([a-z0-9.]+)"')
_NAMES = {
    "true": True,
    "false": False,
    "INT32_MAX": 2**31 - 1,
    "INT64_MAX": 2**63 - 1,
    "std::numeric_limits<int64_t>::max()": 2**63 - 1,
    "DBL_MAX": sys.float_info.max,
}
# Values that the registry has no default for, or that it works out.
WITHOUT_DEFAULT = {
    "num.network.threads",  # by processors
    "num.replica.alter.log.dirs.threads",  # by log directories
    "internal.segment.bytes",  # segment.bytes
    "compression.gzip.level",  # the codec's own
    "compression.lz4.level",
    "compression.zstd.level",
}


def evaluated(text: str) -> float:
    """The value of a C++ constant expression."""
    if text in _NAMES:
        return _NAMES[text]
    value = 1.0 if "." in text else 1
    for factor in re.sub(r"'|(?<=\d)(?:LL|u)\b", "", text).split(" * "):
        number, _, bits = factor.partition(" << ")
        value *= float(number) if "." in number else int(number) << int(bits or 0)
    return value


def native_defaults() -> list[tuple[str, float]]:
    return [
        (key, evaluated(value))
        for path in CSRC.rglob("*.h")
        for value, key in _FIELD.findall(path.read_text())
        if key in KEYS and key not in WITHOUT_DEFAULT
    ]


def test_the_native_code_has_the_registrys_defaults() -> None:
    differing = [(key, value) for key, value in native_defaults() if value != KEYS[key].default]
    assert differing == []


def test_each_number_that_the_native_code_reads_is_compared() -> None:
    read = set(_READ.findall((CSRC / "dataplane/settings.cc").read_text()))
    assert read - {key for key, _ in native_defaults()} == WITHOUT_DEFAULT


def test_a_log_compacts_with_as_much_memory_as_a_broker() -> None:
    default = inspect.signature(Log.compact).parameters["dedupe_buffer_bytes"].default
    assert default == BROKER_KEYS["log.cleaner.dedupe.buffer.size"].default


def test_the_state_machines_have_the_registrys_defaults() -> None:
    settings = BrokerConfig({}).core_settings()
    assert GroupConfig() == group_config(settings)
    assert TransactionConfig() == transaction_config(settings)


def test_a_producer_fills_batches_as_a_log_does() -> None:
    options = (CSRC / "embedded/producer.h").read_text()
    assert [evaluated(text) for text in re.findall(r" batch_bytes = ([^;]+);", options)] == [
        BATCH_SIZE
    ]
