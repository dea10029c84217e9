"""What works through old segments in the background reads no more a second than it may."""

import random
import time

from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from clients.test_topic_settings import alter
from faults.conftest import ServerFactory
from faults.test_compaction import (
    BROKER,
    COMPACTED,
    TIMEOUT_S,
    TOPIC,
    await_clean,
    await_true,
    create,
    produce,
    some_records,
)

BYTES_PER_S = 100_000
RECORDS = 3000  # some 130 bytes each in the log


def test_compaction_is_throttled(new_server: ServerFactory) -> None:
    limit = {"log.cleaner.io.max.bytes.per.second": str(BYTES_PER_S)}
    server = new_server({**BROKER, **limit})
    create(server, {**COMPACTED, "cleanup.policy": "delete"})
    produce(server, some_records(random.Random(1), RECORDS, RECORDS))
    segments = sorted(server.partition_dir(TOPIC, 0).glob("*.log"))[:-1]
    dirty_bytes = sum(segment.stat().st_size for segment in segments)
    begin = time.monotonic()
    alter(server, TOPIC, {"cleanup.policy": "compact"})
    await_clean(server)
    # Read for the keys, read once more, and what stays is written.
    assert time.monotonic() - begin > 2 * dirty_bytes / BYTES_PER_S


def test_scrubbing_is_throttled(new_server: ServerFactory) -> None:
    limit = {"log.scrub.max.bytes.per.second": str(BYTES_PER_S)}
    server = new_server({**BROKER, **limit, "log.scrub.interval.ms": "-1"})
    create(server, {"internal.segment.bytes": "16384"})
    produce(server, some_records(random.Random(1), RECORDS, RECORDS))
    *before, damaged, _ = sorted(server.partition_dir(TOPIC, 0).glob("*.log"))
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    entry = ConfigEntry("log.scrub.interval.ms", "300", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    begin = time.monotonic()
    (future,) = admin.incremental_alter_configs([resource]).values()
    future.result(TIMEOUT_S)
    await_true(lambda: "it is left as it is" in server.output())
    read_bytes = sum(segment.stat().st_size for segment in before)
    assert time.monotonic() - begin > 0.8 * read_bytes / BYTES_PER_S
