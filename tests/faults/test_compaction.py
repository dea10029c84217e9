"""Compaction in a running broker: what stays, what clients see meanwhile, and after a kill."""

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from clients.test_topic_settings import alter
from faults.conftest import ServerFactory
from faults.rows import Row
from faults.segments import flip_bit
from peers.servers import Server

TOPIC = "state"
TIMEOUT_S = 30
BROKER = {
    "log.cleaner.backoff.ms": "200",
    "log.retention.check.interval.ms": "300",
    "log.initial.task.delay.ms": "0",
    "offsets.topic.num.partitions": "1",
}
COMPACTED = {
    "cleanup.policy": "compact",
    "internal.segment.bytes": "16384",
    "min.cleanable.dirty.ratio": "0.01",
    "file.delete.delay.ms": "0",
}
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
ROUND = 200  # records between two kills
KILLS_SHARE = 5  # of --kills, each of which reads the whole log here
DAMAGED_BIT = 800  # of a segment: in its first batch

Records = dict[int, tuple[bytes, bytes | None]]


def create(server: Server, config: Mapping[str, str]) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    topic = NewTopic(TOPIC, num_partitions=1, replication_factor=1, config=dict(config))
    admin.create_topics([topic])[TOPIC].result(TIMEOUT_S)


def produce(server: Server, records: list[tuple[bytes, bytes | None]], **config: object) -> None:
    producer = Producer({"bootstrap.servers": server.bootstrap, **config})
    errors: list[object] = []
    for number, (key, value) in enumerate(records):
        producer.produce(
            TOPIC, value, key, partition=0, on_delivery=lambda error, _: errors.append(error)
        )
        if number % 20 == 19:
            assert producer.flush(TIMEOUT_S) == 0
    assert producer.flush(TIMEOUT_S) == 0
    assert set(errors) == {None}


def read_all(server: Server, offset: int = 0, topic: str = TOPIC) -> Records:
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": "none",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end is told by an answer without records
            "check.crcs": True,
        }
    )
    consumer.assign([TopicPartition(topic, 0, offset)])
    found: Records = {}
    try:
        while True:
            message = consumer.poll(TIMEOUT_S)
            assert message is not None
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                return found
            at, key = message.offset(), message.key()
            assert at is not None
            assert key is not None
            found[at] = (key, message.value())
    finally:
        consumer.close()


def last_of_each(records: Records) -> dict[bytes, bytes | None]:
    return {key: value for _, (key, value) in sorted(records.items())}


def some_records(rng: random.Random, count: int, keys: int) -> list[tuple[bytes, bytes | None]]:
    return [
        (
            f"key-{rng.randrange(keys)}".encode(),
            None if rng.random() < 0.1 else rng.randbytes(rng.randrange(200)),
        )
        for _ in range(count)
    ]


def cleaned_offset(server: Server, topic: str = TOPIC) -> int:
    path = server.data_dir / "cleaner-offset-checkpoint"
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[2]) for line in lines if line.startswith(f"{topic} 0 ")), 0)


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def active_base(server: Server) -> int:
    return max(int(path.stem) for path in server.partition_dir(TOPIC, 0).glob("*.log"))


def await_clean(server: Server) -> None:
    await_true(lambda: cleaned_offset(server) == active_base(server))


@pytest.mark.parametrize("codec", CODECS)
def test_of_each_key_the_last_record_stays(
    new_server: ServerFactory, seed: int, codec: str
) -> None:
    rng = random.Random(seed)
    server = new_server(BROKER)
    create(server, COMPACTED)
    records = some_records(rng, 3000, 50)
    produce(server, records, **{"compression.type": codec, "enable.idempotence": True})
    await_clean(server)
    left = read_all(server)
    clean_end = cleaned_offset(server)
    assert len(left) < len(records) / 2
    last_offsets = {key: at for at, (key, _) in enumerate(records[:clean_end])}
    assert {at for at in left if at < clean_end} == set(last_offsets.values())
    assert all(left[at] == records[at] for at in left)
    # Any offset can be read from, also those that are gone.
    for at in rng.sample(range(len(records)), 5):
        assert read_all(server, at) == {o: r for o, r in left.items() if o >= at}
    server.stop()
    server.start()
    assert read_all(server) == left


def test_tombstones_go_and_a_change_of_policy_is_taken_up(new_server: ServerFactory) -> None:
    server = new_server(BROKER)
    create(server, {**COMPACTED, "cleanup.policy": "delete"})
    records: list[tuple[bytes, bytes | None]] = [(b"gone", b"1"), (b"gone", None)]
    records += [(f"k{n}".encode(), bytes(500)) for n in range(60)]
    produce(server, records)
    time.sleep(0.5)
    assert len(read_all(server)) == len(records)
    alter(server, TOPIC, {"cleanup.policy": "compact", "delete.retention.ms": "300"})
    await_clean(server)
    assert last_of_each(read_all(server)) == dict(records)
    time.sleep(0.5)
    produce(server, [(f"l{n}".encode(), bytes(500)) for n in range(60)])
    await_clean(server)
    assert b"gone" not in last_of_each(read_all(server))


def test_a_reader_sees_no_error_while_segments_are_swapped(
    new_server: ServerFactory, seed: int
) -> None:
    rng = random.Random(seed)
    server = new_server({**BROKER, "log.cleaner.backoff.ms": "1"})
    create(server, COMPACTED)
    written: list[tuple[bytes, bytes | None]] = []
    for _ in range(15):
        more = some_records(rng, 300, 40)
        produce(server, more, **{"enable.idempotence": True})
        written += more
        assert last_of_each(read_all(server)) == dict(written)
    await_clean(server)
    assert last_of_each(read_all(server)) == dict(written)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_lose_nothing_and_bring_nothing_back(
    new_server: ServerFactory, seed: int, pytestconfig: pytest.Config
) -> None:
    rng = random.Random(seed)
    server = new_server({**BROKER, "log.cleaner.backoff.ms": "1"})
    create(server, {**COMPACTED, "delete.retention.ms": "0"})
    state: dict[bytes, bytes | None] = {}
    moved = cleaned = 0
    kills = max(3, int(pytestconfig.getoption("--kills")) // KILLS_SHARE)
    for _ in range(kills):
        more = some_records(rng, ROUND, 40)
        produce(server, more, **{"enable.idempotence": True})
        state.update(more)
        time.sleep(rng.uniform(0, 0.1))
        server.kill()
        before, cleaned = cleaned, cleaned_offset(server)
        moved += cleaned > before
        server.start()
        found = last_of_each(read_all(server))
        alive = {key: value for key, value in state.items() if value is not None}
        assert {key: value for key, value in found.items() if value is not None} == alive
    directory: Path = server.partition_dir(TOPIC, 0)
    await_clean(server)
    assert not [*directory.glob("*.cleaned"), *directory.glob("*.swap")]
    assert moved >= kills // 2  # of the kills met a log that had been compacted further
    assert len(read_all(server)) < kills * ROUND / 2


def test_a_corrupt_batch_is_reported_and_stays_where_it_is(
    new_server: ServerFactory, count: Callable[..., None]
) -> None:
    server = new_server({**BROKER, "log.cleaner.enable": "false"})
    create(server, COMPACTED)
    produce(server, some_records(random.Random(1), 1500, 20))
    server.stop()
    segments = sorted(server.partition_dir(TOPIC, 0).glob("*.log"))
    damaged = segments[1]
    flip_bit(damaged, DAMAGED_BIT)
    content = damaged.read_bytes()
    server.config["log.cleaner.enable"] = "true"
    server.start()
    await_true(lambda: "is not compacted any more" in server.output())
    assert f"{damaged.name}: a batch whose CRC does not match at byte 0" in server.output()
    time.sleep(1)
    assert server.output().count("is not compacted any more") == 1
    assert damaged.read_bytes() == content
    assert cleaned_offset(server) == 0
    count(Row.WRONG_BIT)


def test_a_log_is_compacted_again_when_what_was_damaged_is_gone(new_server: ServerFactory) -> None:
    server = new_server({**BROKER, "log.cleaner.enable": "false"})
    create(server, {**COMPACTED, "cleanup.policy": "compact,delete"})
    produce(server, some_records(random.Random(1), 1500, 20))
    server.stop()
    first, second = sorted(server.partition_dir(TOPIC, 0).glob("*.log"))[:2]
    flip_bit(first, DAMAGED_BIT)
    server.config["log.cleaner.enable"] = "true"
    server.start()
    await_true(lambda: "is not compacted any more" in server.output())
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    behind = TopicPartition(TOPIC, 0, int(second.stem))
    admin.delete_records([behind])[behind].result(30)
    await_clean(server)


def test_keys_that_do_not_fit_stop_no_other_topic(new_server: ServerFactory) -> None:
    server = new_server({**BROKER, "log.cleaner.dedupe.buffer.size": "1048577"})
    config = {**COMPACTED, "internal.segment.bytes": "2000000", "segment.ms": "200"}
    create(server, config)
    bulk = Producer(
        {
            "bootstrap.servers": server.bootstrap,
            "compression.type": "zstd",
            "linger.ms": 3000,
            "batch.num.messages": 100_000,
            "batch.size": 15_000_000,
            "message.max.bytes": 15_000_000,
        }
    )
    for number in range(90_000):
        bulk.produce(TOPIC, b"", f"key-{number}", partition=0)
    assert bulk.flush(TIMEOUT_S) == 0
    await_true(lambda: "not even one batch's keys fit" in server.output())
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    other = NewTopic("other", num_partitions=1, replication_factor=1, config=COMPACTED)
    admin.create_topics([other])["other"].result(TIMEOUT_S)
    producer = Producer({"bootstrap.servers": server.bootstrap})
    for number in range(400):
        producer.produce("other", bytes(200), b"key", partition=0)
        if number % 20 == 19:
            assert producer.flush(TIMEOUT_S) == 0
    await_true(lambda: cleaned_offset(server, "other") > 0)
    assert server.output().count("not even one batch's keys fit") == 1


def test_retention_goes_on_behind_a_segment_of_which_nothing_is_left(
    new_server: ServerFactory,
) -> None:
    server = new_server(BROKER)
    create(server, {**COMPACTED, "cleanup.policy": "delete"})
    produce(server, [(b"key", bytes(200))] * 600)
    alter(server, TOPIC, {"cleanup.policy": "compact,delete"})
    await_clean(server)
    assert (server.partition_dir(TOPIC, 0) / f"{0:020}.log").stat().st_size == 0
    alter(server, TOPIC, {"retention.ms": "1000"})
    await_true(lambda: active_base(server) == 600)
    assert [path.stem for path in server.partition_dir(TOPIC, 0).glob("*.log")] == [f"{600:020}"]


def test_old_corruption_is_found_and_left_as_it_is(
    new_server: ServerFactory, count: Callable[..., None]
) -> None:
    server = new_server({**BROKER, "log.scrub.interval.ms": "-1"})
    create(server, {"internal.segment.bytes": "16384"})
    produce(server, some_records(random.Random(1), 1500, 20))
    segments = sorted(server.partition_dir(TOPIC, 0).glob("*.log"))
    damaged = segments[1]
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    entry = ConfigEntry("log.scrub.interval.ms", "300", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    (future,) = admin.incremental_alter_configs([resource]).values()
    future.result(TIMEOUT_S)
    await_true(lambda: "it is left as it is" in server.output())
    said = [line for line in server.output().splitlines() if "it is left as it is" in line]
    assert all(f"{damaged.name}: a batch whose CRC does not match at byte" in s for s in said)
    assert damaged.read_bytes() == content
    count(Row.WRONG_BIT)


def test_offsets_of_groups_are_compacted_and_survive(new_server: ServerFactory) -> None:
    server = new_server({**BROKER, "offsets.topic.segment.bytes": "1048576"})
    create(server, {})
    produce(server, [(b"k", b"v")] * 10)
    offsets_topic = "__consumer_offsets"
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "g"})
    consumer.commit(offsets=[TopicPartition(TOPIC, 0, 0)], asynchronous=False)
    alter(server, offsets_topic, {"min.cleanable.dirty.ratio": "0.01", "segment.ms": "100"})
    for round_ in range(20):
        for _ in range(20):
            consumer.commit(offsets=[TopicPartition(TOPIC, 0, round_ % 10)], asynchronous=False)
        time.sleep(0.12)
    consumer.close()
    await_true(lambda: cleaned_offset(server, offsets_topic) > 300)
    server.kill()
    server.start()
    again = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "g"})
    (committed,) = again.committed([TopicPartition(TOPIC, 0)], timeout=TIMEOUT_S)
    again.close()
    assert committed.offset == 9
