"""The brokers that are compared, with comparable settings: each its own defaults."""

import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from bench.peer import TOPIC_SETTINGS
from peers.java import BROKER_JVM, KAFKA_VERSION
from peers.servers import BarnabasServer, KafkaServer, Server
from peers.tansu import TANSU_VERSION, TansuServer

KAFKA_HEAP = "1g"
NO_JOIN_DELAY = {"group.initial.rebalance.delay.ms": "0"}  # KafkaServer has it, too
# A minute of what is written at full speed does not fit on every disk.
SOON_DELETED = {"log.segment.delete.delay.ms": "1000"}


_TOPICS = ", ".join(f"{name}={value}" for name, value in TOPIC_SETTINGS.items())


def new_server(name: str, directory: Path) -> Server:
    """A broker that has not been started. Raises KeyError for a name that is no broker's."""
    kinds: dict[str, Callable[[], Server]] = {
        "barnabas": lambda: BarnabasServer(directory, NO_JOIN_DELAY | SOON_DELETED),
        "kafka": lambda: KafkaServer(directory, SOON_DELETED, heap=KAFKA_HEAP, jvm=BROKER_JVM),
        "tansu": lambda: TansuServer(directory),
    }
    return kinds[name]()


def description(name: str) -> str:
    """Version and settings, for a report."""
    if name == "kafka":
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True)
        return (
            f"Apache Kafka {KAFKA_VERSION}, KRaft, one node, defaults but for replication factors "
            "of 1, group.initial.rebalance.delay.ms=0 and log.segment.delete.delay.ms=1000; topics "
            f"with {_TOPICS}; to have a first checkpoint before it is killed, "
            "log.initial.task.delay.ms=2000 (its own is 30 s), both brokers "
            "log.flush.offset.checkpoint.interval.ms=2000; "
            f"heap {KAFKA_HEAP}, "
            f"{' '.join(BROKER_JVM)}, {java.stderr.splitlines()[0]}"
        )
    return {
        "barnabas": f"Barnabas {version('barnabas')}, defaults but for "
        "group.initial.rebalance.delay.ms=0 and log.segment.delete.delay.ms=1000; topics with "
        f"{_TOPICS}",
        "tansu": f"Tansu {TANSU_VERSION}, memory engine: it persists nothing",
        "kernel": "a C++ loop of recv, crc32c, pwrite and send, or of sendfile, and nothing else",
    }[name]
