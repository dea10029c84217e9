"""A wrong batch gets Kafka's error, and nothing is appended.

Run with `--peer kafka` the same list goes to Apache Kafka, which shows that the errors are its own.
Where we refuse what Kafka lets in, on purpose, the case says what Kafka does.
"""

import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from barnabas._core import compress, crc32c
from barnabas._records import encode_batch
from clients.contract import create_topic
from faults.produce_client import ProduceClient, ProduceResult
from peers.servers import BarnabasServer, KafkaServer, Server

NONE, CORRUPT, TOO_LARGE, INVALID_TIMESTAMP, BAD_CODEC, INVALID_RECORD = 0, 2, 10, 32, 76, 87
SERVER_ERROR = -1
NOW_MS = time.time_ns() // 1_000_000
HOUR_MS = 3_600_000
APPEND_TIME_BIT = 8
EXPANSION_LIMIT_BYTES = 64 << 20
# Offsets of header fields in a batch.
BASE_OFFSET, LENGTH, MAGIC, CRC, ATTRIBUTES, LAST_OFFSET_DELTA = 0, 8, 16, 17, 21, 23
MAX_TIMESTAMP, PRODUCER_ID, RECORD_COUNT, RECORDS = 35, 43, 57, 61


def batch(count: int = 3, codec: int = 0, timestamp_ms: int = NOW_MS) -> bytearray:
    records = [(b"key", b"value %d" % i, timestamp_ms) for i in range(count)]
    return bytearray(encode_batch(records, codec=codec))


def sealed(data: bytearray) -> bytes:
    """With a CRC that is right."""
    struct.pack_into(">I", data, CRC, crc32c(bytes(data[ATTRIBUTES:])))
    return bytes(data)


def changed(position: int, layout: str, value: int, *, seal: bool = True) -> bytes:
    data = batch()
    struct.pack_into(f">{layout}", data, position, value)
    return sealed(data) if seal else bytes(data)


def with_records(records: bytes, codec: int = 0, count: int = 3) -> bytes:
    data = batch(count)[:RECORDS] + compress(codec, records)
    struct.pack_into(">i", data, LENGTH, len(data) - 12)
    struct.pack_into(">h", data, ATTRIBUTES, codec)
    return sealed(data)


def plain_records(count: int = 3) -> bytes:
    return bytes(batch(count)[RECORDS:])


def with_bad_stream(codec: int) -> bytes:
    data = batch(codec=codec)
    data[RECORDS:] = b"\x00\x01\x02" * 10
    struct.pack_into(">i", data, LENGTH, len(data) - 12)
    return sealed(data)


def offset_gap(codec: int) -> bytes:
    records = bytearray(plain_records(2))
    second = records[0] // 2 + 1  # the first record's length is one zig-zag byte
    assert records[second + 3] == 2, "the offset delta, after length, attributes, timestamp delta"
    records[second + 3] = 4
    return with_records(bytes(records), codec, count=2)


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], bytes]
    code: int
    kafka: int | None = None  # what Kafka answers, where it is not the same
    indices: tuple[int, ...] = ()  # of the records to blame


def _cases_of_headers() -> Iterator[Case]:
    yield Case("no batch", lambda: b"", INVALID_RECORD)
    yield Case("a cut off batch", lambda: bytes(batch()[:-1]), INVALID_RECORD)
    yield Case("two batches", lambda: bytes(batch() * 2), INVALID_RECORD)
    yield Case("bytes behind the batch", lambda: bytes(batch() + b"x" * 70), CORRUPT)
    yield Case("length -1", lambda: changed(LENGTH, "i", -1, seal=False), CORRUPT)
    yield Case(
        "length 2^31-1",
        lambda: changed(LENGTH, "i", 2**31 - 1, seal=False),
        INVALID_RECORD,
        SERVER_ERROR,
    )
    yield Case(
        "length of less than a header", lambda: changed(LENGTH, "i", 48, seal=False), CORRUPT
    )
    yield Case("magic 0", lambda: changed(MAGIC, "b", 0), INVALID_RECORD)
    yield Case("magic 1", lambda: changed(MAGIC, "b", 1), INVALID_RECORD)
    yield Case("magic 3", lambda: changed(MAGIC, "b", 3), CORRUPT)
    yield Case("a wrong CRC", lambda: changed(CRC, "I", 1, seal=False), CORRUPT)
    yield Case("a base offset", lambda: changed(BASE_OFFSET, "q", 5), INVALID_RECORD)
    yield Case("a control batch", lambda: changed(ATTRIBUTES, "h", 0x20), INVALID_RECORD)
    yield Case("codec 5", lambda: changed(ATTRIBUTES, "h", 5), BAD_CODEC, SERVER_ERROR)
    yield Case("a delete horizon", lambda: changed(ATTRIBUTES, "h", 0x40), INVALID_RECORD, NONE)
    yield Case("count 2 of 3", lambda: changed(RECORD_COUNT, "i", 2), INVALID_RECORD)
    yield Case("count 0", lambda: changed(RECORD_COUNT, "i", 0), INVALID_RECORD)
    yield Case("count -1", lambda: changed(RECORD_COUNT, "i", -1), INVALID_RECORD)
    yield Case("last offset delta -1", lambda: changed(LAST_OFFSET_DELTA, "i", -1), INVALID_RECORD)
    yield Case("last offset delta 9", lambda: changed(LAST_OFFSET_DELTA, "i", 9), INVALID_RECORD)
    yield Case(
        "a producer id without sequence", lambda: changed(PRODUCER_ID, "q", 9), INVALID_RECORD
    )
    yield Case(
        "larger than max.message.bytes",
        lambda: encode_batch([(b"k", bytes(2_000_000), NOW_MS)]),
        TOO_LARGE,
    )


def _cases_of_records() -> Iterator[Case]:
    for codec in range(5):
        for what, count in (("fewer", 2), ("more", 4)):
            yield Case(
                f"{what} records than the count, codec {codec}",
                partial(with_records, plain_records(count), codec),
                INVALID_RECORD,
            )
        yield Case(
            f"offset deltas with a gap, codec {codec}",
            partial(offset_gap, codec),
            INVALID_RECORD,
            SERVER_ERROR if codec else NONE,
        )
        ahead = batch(codec=codec, timestamp_ms=NOW_MS + 2 * HOUR_MS)
        yield Case(
            f"a timestamp two hours ahead, codec {codec}",
            partial(bytes, ahead),
            INVALID_TIMESTAMP,
            indices=(0, 1, 2),
        )
        records = [(b"k", b"v", NOW_MS), (None, b"v", NOW_MS), (None, None, NOW_MS)]
        yield Case(
            f"records without key in a compacted topic, codec {codec}",
            partial(encode_batch, records, codec=codec),
            INVALID_RECORD,
            indices=(1, 2),
        )
    for codec in range(1, 5):
        yield Case(
            f"a stream that is not of its codec, {codec}",
            partial(with_bad_stream, codec),
            INVALID_RECORD,
            SERVER_ERROR,
        )


CASES = [*_cases_of_headers(), *_cases_of_records()]


@dataclass
class Target:
    server: Server
    client: ProduceClient
    topics: dict[str, str]  # kind -> name

    def topic_for(self, case: Case) -> str:
        return self.topics["compact" if "compacted" in case.name else "delete"]


@pytest.fixture(scope="module")
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    kind = {"barnabas": BarnabasServer, "kafka": KafkaServer}[request.config.getoption("--peer")]
    directory: Path = tmp_path_factory.mktemp("bad-batches")
    with kind(directory, {}) as server, ProduceClient(server.port) as client:
        topics = {
            policy: create_topic(server.bootstrap, config={"cleanup.policy": policy})
            for policy in ("delete", "compact")
        }
        yield Target(server, client, topics)


def produce(target: Target, topic: str, data: bytes) -> ProduceResult:
    return target.client.produce(topic, data)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_bad_batch_gets_kafkas_error_and_is_not_appended(case: Case, target: Target) -> None:
    topic = target.topic_for(case)
    before = produce(target, topic, bytes(batch()))
    assert before.error_code == NONE
    result = produce(target, topic, case.make())
    is_kafka = target.server.name == "kafka"
    expected = case.kafka if is_kafka and case.kafka is not None else case.code
    assert result.error_code == expected, result.error_message
    if expected == NONE:
        return
    assert tuple(index for index, _ in result.record_errors) == case.indices
    assert all(message for _, message in result.record_errors)
    assert produce(target, topic, bytes(batch())).base_offset == before.base_offset + 3


def test_the_message_names_what_is_wrong(target: Target) -> None:
    topic = target.topics["compact"]
    result = produce(target, topic, encode_batch([(None, b"v", NOW_MS)]))
    ((_, message),) = result.record_errors
    assert (
        message == f"Compacted topic cannot accept message without key in topic partition {topic}-0"
    )
    result = produce(target, topic, bytes(batch(timestamp_ms=NOW_MS + 2 * HOUR_MS)))
    assert result.error_message == "One or more records have been rejected due to invalid timestamp"
    message = result.record_errors[0][1]
    assert message is not None
    assert message.startswith(
        f"Timestamp {NOW_MS + 2 * HOUR_MS} of message with offset 0 is out of range."
    )


@pytest.mark.parametrize("codec", range(5))
def test_a_header_that_misstates_the_largest_timestamp_is_corrected(
    codec: int, target: Target
) -> None:
    topic = target.topics["delete"]
    data = batch(codec=codec)
    struct.pack_into(">q", data, MAX_TIMESTAMP, NOW_MS + 12 * HOUR_MS)
    assert produce(target, topic, sealed(data)).error_code == NONE
    segment = max(target.server.partition_dir(topic, 0).glob("*.log"))
    written = segment.read_bytes()[-len(data) :]
    assert struct.unpack_from(">q", written, MAX_TIMESTAMP) == (NOW_MS,)
    assert struct.unpack_from(">I", written, CRC) == (crc32c(written[ATTRIBUTES:]),)


@pytest.mark.parametrize("codec", range(5))
def test_append_time_that_a_producer_claims_is_its_own_time(codec: int, target: Target) -> None:
    """The time in the header counts, and is stored as CreateTime."""
    topic = target.topics["delete"]
    data = batch(codec=codec)
    struct.pack_into(">h", data, ATTRIBUTES, codec | APPEND_TIME_BIT)
    struct.pack_into(">q", data, MAX_TIMESTAMP, NOW_MS - HOUR_MS)
    assert produce(target, topic, sealed(data)).error_code == NONE
    segment = max(target.server.partition_dir(topic, 0).glob("*.log"))
    written = segment.read_bytes()[-len(data) :]
    assert struct.unpack_from(">h", written, ATTRIBUTES) == (codec,)
    assert struct.unpack_from(">q", written, MAX_TIMESTAMP) == (NOW_MS - HOUR_MS,)
    assert struct.unpack_from(">I", written, CRC) == (crc32c(written[ATTRIBUTES:]),)
    for refused_ms in (-1, NOW_MS + 2 * HOUR_MS):
        struct.pack_into(">q", data, MAX_TIMESTAMP, refused_ms)
        assert produce(target, topic, sealed(data)).error_code == INVALID_TIMESTAMP


@pytest.mark.parametrize("codec", [1, 3, 4])
def test_a_bomb_is_refused_without_being_held(codec: int, target: Target) -> None:
    if target.server.name == "kafka":
        pytest.skip("Apache Kafka has no limit for what a batch expands to")
    topic = target.topics["delete"]
    bomb = encode_batch([(b"k", bytes(EXPANSION_LIMIT_BYTES + 1), NOW_MS)], codec=codec)
    assert len(bomb) < 1_000_000
    rss_bytes = target.server.rss_bytes()
    for _ in range(3):
        assert produce(target, topic, bomb).error_code == TOO_LARGE
    assert target.server.rss_bytes() < rss_bytes + EXPANSION_LIMIT_BYTES // 4
