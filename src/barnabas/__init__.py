"""Barnabas: Kafka you `pip install`.

What is public is imported on first use, so that `import barnabas` costs a millisecond.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barnabas._core import CoreError, __version__
    from barnabas._records import Batch, CorruptBatch, Record
    from barnabas.clock import VirtualClock
    from barnabas.embed import Broker
    from barnabas.errors import BarnabasError, BrokerClosed, ConfigError, KafkaError, StartError
    from barnabas.log import Log, LogStat

__all__ = [
    "BarnabasError",
    "Batch",
    "Broker",
    "BrokerClosed",
    "ConfigError",
    "CoreError",
    "CorruptBatch",
    "KafkaError",
    "Log",
    "LogStat",
    "Record",
    "StartError",
    "VirtualClock",
    "__version__",
]

_MODULES = {
    "BarnabasError": "barnabas.errors",
    "Batch": "barnabas._records",
    "Broker": "barnabas.embed",
    "BrokerClosed": "barnabas.errors",
    "ConfigError": "barnabas.errors",
    "CoreError": "barnabas._core",
    "CorruptBatch": "barnabas._records",
    "KafkaError": "barnabas.errors",
    "Log": "barnabas.log",
    "LogStat": "barnabas.log",
    "Record": "barnabas._records",
    "StartError": "barnabas.errors",
    "VirtualClock": "barnabas.clock",
    "__version__": "barnabas._core",
}


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'barnabas' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
