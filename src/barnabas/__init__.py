"""Barnabas: Kafka you `pip install`.

What is public is imported on first use: `import barnabas` alone loads neither the core nor numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from barnabas._core import CoreError, __version__
    from barnabas._records import Batch, CorruptBatch, Record
    from barnabas._sender import Delivery, RecordMetadata
    from barnabas.clock import VirtualClock
    from barnabas.embed import Broker
    from barnabas.embedded.batch import ConsumedBatch
    from barnabas.embedded.consumer import Consumer
    from barnabas.embedded.producer import BulkDelivery, Producer
    from barnabas.errors import BarnabasError, BrokerClosed, ConfigError, KafkaError, StartError
    from barnabas.log import Log, LogStat
    from barnabas.query.scan import scan

__all__ = [
    "BarnabasError",
    "Batch",
    "Broker",
    "BrokerClosed",
    "BulkDelivery",
    "ConfigError",
    "ConsumedBatch",
    "Consumer",
    "CoreError",
    "CorruptBatch",
    "Delivery",
    "KafkaError",
    "Log",
    "LogStat",
    "Producer",
    "Record",
    "RecordMetadata",
    "StartError",
    "VirtualClock",
    "__version__",
    "scan",
]

_MODULES = {
    "BarnabasError": "barnabas.errors",
    "Batch": "barnabas._records",
    "Broker": "barnabas.embed",
    "BrokerClosed": "barnabas.errors",
    "BulkDelivery": "barnabas.embedded.producer",
    "ConfigError": "barnabas.errors",
    "ConsumedBatch": "barnabas.embedded.batch",
    "Consumer": "barnabas.embedded.consumer",
    "CoreError": "barnabas._core",
    "CorruptBatch": "barnabas._records",
    "Delivery": "barnabas._sender",
    "KafkaError": "barnabas.errors",
    "Log": "barnabas.log",
    "LogStat": "barnabas.log",
    "Producer": "barnabas.embedded.producer",
    "Record": "barnabas._records",
    "RecordMetadata": "barnabas._sender",
    "StartError": "barnabas.errors",
    "VirtualClock": "barnabas.clock",
    "__version__": "barnabas._core",
    "scan": "barnabas.query.scan",
}


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'barnabas' has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
