"""The same damaged batches to Barnabas and to Apache Kafka: we never take what Kafka refuses.

Where both refuse, the error is the same, except where Kafka knows no better than
UNKNOWN_SERVER_ERROR. Where we alone refuse, it is on purpose: Kafka does not look at the lengths
within compressed records, nor at offset deltas, and stores what consumers then fail on.
"""

import random
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from barnabas._core import compress, crc32c
from barnabas._records import encode_batch
from clients.contract import create_topic
from faults.produce_client import ProduceClient
from peers.servers import BarnabasServer, KafkaServer, Server

pytestmark = pytest.mark.java

BATCHES = 1500
NONE, SERVER_ERROR, BAD_CODEC, INVALID_RECORD = 0, -1, 76, 87
OUR_REFUSALS = {BAD_CODEC, INVALID_RECORD}
NO_LEADER_YET = {3, 5, 6}
# Transactions: neither has any of these.
TRANSACTIONAL_BIT = 0x10
LENGTH, CRC, ATTRIBUTES, BASE_TIMESTAMP, RECORDS = 8, 17, 21, 27, 61
TELLING_BYTES = (0, 1, 2, 3, 0x80, 0xFF)


def any_batch(rng: random.Random) -> bytearray:
    now_ms = time.time_ns() // 1_000_000
    return bytearray(
        encode_batch(
            [
                (
                    rng.choice([None, b"k", b"key"]),
                    rng.choice([None, b"", b"v" * rng.randrange(30)]),
                    now_ms + rng.randrange(5),
                    [("h", rng.choice([None, b"x"]))] * rng.randrange(3),
                )
                for _ in range(rng.randrange(1, 5))
            ]
        )
    )


def damage_header(rng: random.Random, batch: bytearray) -> bytearray:
    for _ in range(rng.choice([1, 1, 2])):
        batch[rng.randrange(ATTRIBUTES, RECORDS)] = _any_byte(rng)
    batch[ATTRIBUTES + 1] &= ~TRANSACTIONAL_BIT
    # 292 million years ago Kafka's comparison overflows, at the millisecond.
    batch[BASE_TIMESTAMP] &= 0x7F
    return batch


def damage_records(rng: random.Random, batch: bytearray) -> bytearray:
    records = batch[RECORDS:]
    for _ in range(rng.choice([0, 1, 1, 2])):
        position = rng.randrange(len(records))
        kind = rng.random()
        if kind < 0.6:
            records[position] = _any_byte(rng)
        elif kind < 0.8:
            records.insert(position, _any_byte(rng))
        elif len(records) > 1:
            del records[position]
    codec = rng.randrange(5)
    block = bytearray(compress(codec, bytes(records)))
    if rng.random() < 0.15:
        block[rng.randrange(len(block))] ^= 1 << rng.randrange(8)
    batch[RECORDS:] = block
    struct.pack_into(">h", batch, ATTRIBUTES, codec)
    struct.pack_into(">i", batch, LENGTH, len(batch) - 12)
    return batch


def _any_byte(rng: random.Random) -> int:
    return rng.choice([*TELLING_BYTES, rng.randrange(256)])


def damaged_batch(rng: random.Random) -> bytes:
    damage = damage_header if rng.random() < 0.35 else damage_records
    batch = damage(rng, any_batch(rng))
    struct.pack_into(">I", batch, CRC, crc32c(bytes(batch[ATTRIBUTES:])))
    return bytes(batch)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    directory: Path = tmp_path_factory.mktemp("mutated")
    with BarnabasServer(directory / "ours") as ours, KafkaServer(directory / "kafka") as kafka:
        yield ours, kafka


def test_we_never_take_what_kafka_refuses(servers: tuple[Server, Server], seed: int) -> None:
    rng = random.Random(seed)
    topics = [create_topic(server.bootstrap) for server in servers]
    verdicts: Counter[tuple[int, int]] = Counter()
    with ProduceClient(servers[0].port) as ours, ProduceClient(servers[1].port) as kafka:
        while kafka.produce(topics[1], bytes(any_batch(rng))).error_code in NO_LEADER_YET:
            time.sleep(0.05)
        for _ in range(BATCHES):
            batch = damaged_batch(rng)
            our_code = ours.produce(topics[0], batch).error_code
            kafka_code = kafka.produce(topics[1], batch).error_code
            if our_code != kafka_code:
                assert kafka_code in (NONE, SERVER_ERROR), (our_code, kafka_code, batch.hex())
                assert our_code in OUR_REFUSALS, (our_code, kafka_code, batch.hex())
            verdicts[our_code, kafka_code] += 1
    assert verdicts[NONE, NONE] > BATCHES / 10, "some damage leaves a good batch"
    assert verdicts[INVALID_RECORD, INVALID_RECORD] > BATCHES / 10
