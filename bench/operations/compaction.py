"""How long it takes to compact a log."""

import os
import time
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bench.operation import LIBRDKAFKA, Operation
from bench.own_server import with_own_server
from bench.peer import ADMIN_TIMEOUT_S, Cost, Measured, Peer
from bench.results import OperationInfo

RECORDS = 10_000_000
KEYS = 1_000_000
RECORD_BYTES = 100  # key and value
KEY_BYTES = 10
NOT_YET_MS = 24 * 3600 * 1000
TOPIC = {
    "cleanup.policy": "compact",
    "segment.bytes": str(100 << 20),
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": str(NOT_YET_MS),
}
BROKER = {"log.cleaner.backoff.ms": "100"}
TIMEOUT_S = 300.0


def operations() -> list[Operation]:
    info = OperationInfo(
        "compaction",
        f"1 GB of {RECORD_BYTES} B records with {KEYS:,} keys",
        "Compaction",
        LIBRDKAFKA,
        ("compaction_s", "cpu_s_per_gb", "peak_rss_mb"),
    )
    return [
        Operation(
            info,
            _run,
            peers=("barnabas", "kafka"),
            repetitions=1,
            writes_gb=2.0,
            is_warmed_up=False,
        )
    ]


@with_own_server
def _run(peer: Peer) -> Measured:
    peer.server.config.update(BROKER)
    peer.server.start()
    topic = peer.create_topic(1, TOPIC)
    _fill(peer, topic)
    directory = peer.server.partition_dir(topic, 0)
    end = max(int(path.stem) for path in directory.glob("*.log"))  # the active one is left alone
    size_gb = sum(path.stat().st_size for path in directory.glob("*.log")) / 1e9
    begin = time.monotonic()
    with Cost(peer) as cost:
        _allow(peer, topic)
        _await_cleaned(peer.server.data_dir / "cleaner-offset-checkpoint", topic, end)
    return Measured(
        {
            "compaction_s": time.monotonic() - begin,
            "cpu_s_per_gb": cost.cpu_s / size_gb,
            "peak_rss_mb": cost.peak_rss_bytes / 1e6,
        }
    )


def _fill(peer: Peer, topic: str) -> None:
    """Every key ten times, in the same order."""
    producer = Producer({"bootstrap.servers": peer.bootstrap, "linger.ms": 5, "log_level": 3})
    keys = [b"%010d" % number for number in range(KEYS)]
    value = os.urandom(RECORD_BYTES - KEY_BYTES)
    for number in range(RECORDS):
        while True:
            try:
                producer.produce(topic, value, keys[number % KEYS])
                break
            except BufferError:
                producer.poll(0.01)
    assert producer.flush(TIMEOUT_S) == 0


def _allow(peer: Peer, topic: str) -> None:
    entry = ConfigEntry("min.compaction.lag.ms", "0", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = peer.admin()  # lives as long as its futures
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(ADMIN_TIMEOUT_S)


def _await_cleaned(checkpoint: Path, topic: str, end: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while _cleaned_up_to(checkpoint, topic) < end:
        assert time.monotonic() < deadline, "not compacted in time"
        time.sleep(0.01)


def _cleaned_up_to(checkpoint: Path, topic: str) -> int:
    lines = checkpoint.read_text().splitlines()[2:] if checkpoint.exists() else []
    found = [int(line.split()[2]) for line in lines if line.split()[:2] == [topic, "0"]]
    return max(found, default=0)
