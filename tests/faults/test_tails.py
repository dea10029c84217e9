"""Torn and corrupt segment files: real files of a killed broker, real restarts.

All partitions of a topic hold the same batches; each is damaged in another way, so that one restart
tries them all.
"""

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from clients.contract import create_topic
from faults.conftest import ServerFactory
from faults.segments import BATCH_HEADER_BYTES, BatchAt, batches_of
from peers.servers import Server

BATCHES = 12
RECORDS_PER_BATCH = 7
RANDOM_CUTS = 20
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TIMEOUT_S = 30
SEGMENT = f"{0:020d}.log"

Damage = Callable[[Path, int], None]


def truncate(segment: Path, position: int) -> None:
    with segment.open("r+b") as file:
        file.truncate(position)


def zero_fill(segment: Path, position: int) -> None:
    """As a file system leaves it that grew the file and did not get to write the bytes."""
    size = segment.stat().st_size
    with segment.open("r+b") as file:
        file.seek(position)
        file.write(bytes(size - position))


def zero_fill_and_grow(segment: Path, position: int) -> None:
    zero_fill(segment, position)
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size + 4096)


@dataclass(frozen=True)
class Filled:
    """A killed broker whose topic has one segment of known batches in each partition."""

    server: Server
    topic: str
    batches: list[BatchAt]

    def segment(self, partition: int) -> Path:
        return self.server.partition_dir(self.topic, partition) / SEGMENT


def _fill(server: Server, partitions: int) -> Filled:
    topic = create_topic(server.bootstrap, partitions)
    for number in range(BATCHES):
        producer = Producer(
            {
                "bootstrap.servers": server.bootstrap,
                "compression.type": CODECS[number % len(CODECS)],
                "linger.ms": 60_000,  # a batch leaves when it is full
                "batch.num.messages": RECORDS_PER_BATCH,
            }
        )
        for partition in range(partitions):
            for i in range(RECORDS_PER_BATCH):
                value = f"batch {number} record {i} " + "x" * number * 10
                producer.produce(topic, value, partition=partition, timestamp=1_700_000_000_000)
        deadline = time.monotonic() + TIMEOUT_S
        while len(producer) > 0:  # flush() would send what is not a whole batch yet
            assert time.monotonic() < deadline, f"{len(producer)} records are not acknowledged"
            producer.poll(0.1)
    server.kill()
    batches = batches_of(server.partition_dir(topic, 0) / SEGMENT)
    assert [batch.last_offset for batch in batches] == [
        (n + 1) * RECORDS_PER_BATCH - 1 for n in range(BATCHES)
    ]
    return Filled(server, topic, batches)


def _values(server: Server, topic: str, partition: int, end: int) -> list[bytes]:
    """The values of all records up to the offset `end`, which must be the partition's end."""
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "unused"})
    where = TopicPartition(topic, partition, 0)
    assert consumer.get_watermark_offsets(where, timeout=TIMEOUT_S) == (0, end)
    consumer.assign([where])
    values: list[bytes] = []
    while len(values) < end:
        messages = consumer.consume(end - len(values), TIMEOUT_S)
        assert messages, f"{len(values)} of {end} records in time"
        for message in messages:
            assert message.error() is None
            value = message.value()
            assert isinstance(value, bytes)
            values.append(value)
    consumer.close()
    return values


def _expected(batches: int) -> list[bytes]:
    return [
        f"batch {n} record {i} {'x' * n * 10}".encode()
        for n in range(batches)
        for i in range(RECORDS_PER_BATCH)
    ]


def _append(server: Server, topic: str, partitions: int) -> dict[int, int]:
    """Appends one record to each partition; their offsets."""
    offsets: dict[int, int] = {}

    def on_delivery(error: object, message: Message) -> None:
        partition, offset = message.partition(), message.offset()
        assert error is None
        assert partition is not None
        assert offset is not None
        offsets[partition] = offset

    producer = Producer({"bootstrap.servers": server.bootstrap, "enable.idempotence": True})
    for partition in range(partitions):
        producer.produce(topic, b"after", partition=partition, on_delivery=on_delivery)
    assert producer.flush(TIMEOUT_S) == 0
    return offsets


def _cuts(batches: list[BatchAt], rng: random.Random) -> list[int]:
    """File lengths around every boundary that matters, and some anywhere."""
    size = batches[-1].end
    edges = {0, 1, size - 1, size}
    for batch in batches[-3:]:
        edges |= {batch.position + d for d in (-1, 0, 1, 8, 12, 17, 21)}
        edges |= {batch.position + BATCH_HEADER_BYTES + d for d in (-1, 0, 1)}
    return sorted(edges | {rng.randrange(size) for _ in range(RANDOM_CUTS)})


@pytest.mark.parametrize("damage", [truncate, zero_fill, zero_fill_and_grow])
def test_torn_tail_is_cut_at_the_first_damaged_batch(
    new_server: ServerFactory, seed: int, damage: Damage
) -> None:
    server = new_server({})
    rng = random.Random(seed)
    filled = _fill(server, len(_cuts_upper_bound()))
    cuts = _cuts(filled.batches, rng)
    whole = []  # how many batches the damage left as they were, by partition
    for partition, position in enumerate(cuts):
        segment = filled.segment(partition)
        before = segment.read_bytes()
        damage(segment, position)
        after = segment.read_bytes()
        intact = (after[b.position : b.end] == before[b.position : b.end] for b in filled.batches)
        whole.append(sum(itertools.takewhile(bool, intact)))
    server.start()
    for partition, count in enumerate(whole):
        found = _values(server, filled.topic, partition, count * RECORDS_PER_BATCH)
        assert found == _expected(count), f"cut at {cuts[partition]}"
    offsets = _append(server, filled.topic, len(cuts))
    assert [offsets[p] for p in range(len(cuts))] == [n * RECORDS_PER_BATCH for n in whole]


def _cuts_upper_bound() -> range:
    """As many partitions as there can be cuts."""
    return range(4 + 3 * 10 + RANDOM_CUTS)


def test_corrupt_middle_is_set_aside_and_reported(new_server: ServerFactory, seed: int) -> None:
    server = new_server({})
    rng = random.Random(seed)
    filled = _fill(server, BATCHES - 1)
    kept: list[bytes] = []
    for partition, batch in enumerate(filled.batches[:-1]):
        segment = filled.segment(partition)
        data = bytearray(segment.read_bytes())
        # Any bit behind the length field and the leader epoch: both lie outside the checksum.
        position = batch.position + 17 + rng.randrange(batch.size - 17)
        data[position] ^= 1 << rng.randrange(8)
        segment.write_bytes(data)
        kept.append(bytes(data[batch.position :]))
    server.start()
    for partition in range(BATCHES - 1):
        found = _values(server, filled.topic, partition, partition * RECORDS_PER_BATCH)
        assert found == _expected(partition)
    log = server.output()
    for partition, tail in enumerate(kept):
        directory = server.partition_dir(filled.topic, partition)
        holders = [path for path in server.data_dir.rglob("*") if _ends_with(path, tail)]
        assert holders, f"what was cut from partition {partition} is gone"
        assert f"{filled.topic}-{partition}" in log, f"{directory} is not reported"


def _ends_with(path: Path, tail: bytes) -> bool:
    return path.is_file() and path.stat().st_size >= len(tail) and path.read_bytes().endswith(tail)


def test_damaged_indexes_are_rebuilt(new_server: ServerFactory) -> None:
    server = new_server({"log.index.interval.bytes": "100"})
    filled = _fill(server, 4)
    damages: list[Callable[[Path], object]] = [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff" * 96),
        lambda path: path.write_bytes(path.read_bytes()[:13]),
    ]
    for partition, damage in enumerate(damages):
        for kind in (".index", ".timeindex"):
            index = filled.segment(partition).with_suffix(kind)
            index.touch()  # a killed broker has not written all of its small indexes
            damage(index)
    server.start()
    for partition in range(len(damages)):
        found = _values(server, filled.topic, partition, BATCHES * RECORDS_PER_BATCH)
        assert found == _expected(BATCHES)
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "unused"})
    wanted = [TopicPartition(filled.topic, p, 1_700_000_000_000) for p in range(len(damages))]
    assert [p.offset for p in consumer.offsets_for_times(wanted, TIMEOUT_S)] == [0] * len(damages)
    consumer.close()
