"""What every Kafka client must be able to do with the broker, as tests that each client inherits.

A file per client implements `Client` and subclasses `ClientContract`. The same tests run against
Apache Kafka (`pytest tests/clients --peer kafka`), which shows that the tests are right.
"""

import abc
import itertools
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from peers.processes import Child, wait_until
from peers.servers import Server

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
FIRST_TIMESTAMP_MS = 1_700_000_000_000
SESSION_TIMEOUT_MS = 3000
GROUP_PARTITIONS = 6
GROUP_TIMEOUT_S = 45.0

Header = tuple[str, bytes | None]


@dataclass(frozen=True)
class Record:
    """One record as a client sends or sees it; timestamp None means that the client chose it."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    timestamp_ms: int | None = None


def text_records(headers: tuple[Header, ...]) -> list[Record]:
    """Records that line-based tools can carry: no binary, the same headers on each."""
    plain = [Record(f"line {i} {'x' * (i * 7)}".encode(), b"k%d" % (i % 5)) for i in range(40)]
    records = [*plain, Record(None, b"tombstone"), Record("größer".encode(), "schlüssel".encode())]
    return [Record(r.value, r.key, headers) for r in records]


def any_records() -> list[Record]:
    """Records of every shape the format allows."""
    shapes = [
        Record(b"value", b"key", (("trace", b"abc"),)),
        Record(b"no key"),
        Record(None, b"tombstone"),
        Record(b"", b""),
        Record(bytes(range(256)), bytes(reversed(range(256)))),
        Record(b"empty key", b""),
        Record(b"headers", b"h", (("twice", b"1"), ("twice", b"2"), ("empty", b""))),
        Record(b"headers", b"h", (("null", None), ("größe", bytes(range(256))))),
        Record(b"a long and repetitive value " * 400, b"long"),
    ]
    return [
        Record(r.value, r.key, r.headers, FIRST_TIMESTAMP_MS + i * 1000)
        for i, r in enumerate(shapes * 8)
    ]


class Member:
    """A running member of a consumer group: a process whose output tells what it owns and reads."""

    def __init__(self, child: Child) -> None:
        self.child = child

    def assignment(self) -> frozenset[int]:
        """The partitions it owns now."""
        raise NotImplementedError

    def values(self) -> set[str]:
        """The values of all records it has read."""
        raise NotImplementedError


class Client(abc.ABC):
    """One client library or tool."""

    sets_timestamps = True

    def records(self) -> list[Record]:
        return any_records()

    @abc.abstractmethod
    def produce(self, bootstrap: str, topic: str, records: Sequence[Record], codec: str) -> None:
        """Sends the records to partition 0 and returns when all are acknowledged."""

    @abc.abstractmethod
    def consume(self, bootstrap: str, topic: str, count: int) -> list[Record]:
        """The first `count` records of partition 0."""

    @abc.abstractmethod
    def consume_since(
        self, bootstrap: str, topic: str, timestamp_ms: int, count: int
    ) -> list[Record]:
        """`count` records of partition 0 from the first at or after the timestamp."""

    @abc.abstractmethod
    def consume_in_group(self, bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
        """`count` records as the only member of a group, from the earliest when nothing is
        committed; commits what it has read and leaves."""

    @abc.abstractmethod
    def start_member(self, bootstrap: str, topic: str, group: str, directory: Path) -> Member:
        """A member that reads until SIGTERM, at which it commits and leaves."""


def create_topic(
    bootstrap: str, partitions: int = 1, config: Mapping[str, str] | None = None
) -> str:
    name = f"t-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})
    admin.create_topics([NewTopic(name, partitions, 1, config=dict(config or {}))])[name].result(30)
    return name


def produce_values(bootstrap: str, topic: str, values: Sequence[str], partitions: int = 1) -> None:
    """Sends the values round robin to the partitions; each one's timestamp is a second later."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0, "log_level": 3})
    for i, value in enumerate(values):
        producer.produce(
            topic, value.encode(), partition=i % partitions, timestamp=FIRST_TIMESTAMP_MS + i * 1000
        )
    assert producer.flush(30) == 0


def codecs_on_disk(partition_dir: Path) -> set[str]:
    """The codecs of the batches in the partition's segments."""
    found = set()
    for segment in partition_dir.glob("*.log"):
        data = segment.read_bytes()
        position = 0
        while position + 23 <= len(data):
            (length,) = struct.unpack_from(">i", data, position + 8)
            if length <= 0:  # what a segment preallocates ends in zeros
                break
            (attributes,) = struct.unpack_from(">h", data, position + 21)
            found.add(CODECS[attributes & 7])
            position += 12 + length
    return found


class ClientContract:
    """The tests. Subclasses set `client`."""

    client: ClassVar[Client]

    @pytest.mark.parametrize("codec", CODECS)
    def test_what_was_produced_is_consumed_equal(self, server: Server, codec: str) -> None:
        topic = create_topic(server.bootstrap)
        sent = self.client.records()
        self.client.produce(server.bootstrap, topic, sent, codec)
        received = self.client.consume(server.bootstrap, topic, len(sent))
        if not self.client.sets_timestamps:
            stamps = [r.timestamp_ms for r in received if r.timestamp_ms is not None]
            assert stamps == sorted(stamps)
            received = [Record(r.value, r.key, r.headers) for r in received]
        assert received == sent
        assert codecs_on_disk(server.partition_dir(topic, 0)) == {codec}

    def test_seek_by_time_starts_at_the_first_record_not_older(self, server: Server) -> None:
        topic = create_topic(server.bootstrap)
        produce_values(server.bootstrap, topic, [f"v{i}" for i in range(30)])
        between = FIRST_TIMESTAMP_MS + 20_000 - 1
        received = self.client.consume_since(server.bootstrap, topic, between, 3)
        assert [r.value for r in received] == [b"v20", b"v21", b"v22"]

    @pytest.mark.parametrize("ending", ["stop", "kill"])
    def test_a_group_goes_on_where_it_committed_after_a_restart(
        self, server: Server, ending: str
    ) -> None:
        topic = create_topic(server.bootstrap)
        produce_values(server.bootstrap, topic, [f"v{i}" for i in range(20)])
        group = f"g-{topic}"
        first = self.client.consume_in_group(server.bootstrap, topic, group, 12)
        assert [r.value for r in first] == [b"v%d" % i for i in range(12)]
        if ending == "stop":
            server.stop()
        else:
            server.kill()
        server.start()
        rest = self.client.consume_in_group(server.bootstrap, topic, group, 8)
        assert [r.value for r in rest] == [b"v%d" % i for i in range(12, 20)]

    def test_a_group_of_three_survives_one_leaving_and_one_killed(
        self, server: Server, tmp_path: Path
    ) -> None:
        topic = create_topic(server.bootstrap, GROUP_PARTITIONS)
        members = [
            self.client.start_member(server.bootstrap, topic, f"g-{topic}", tmp_path / str(i))
            for i in range(3)
        ]
        numbers = itertools.count()
        try:
            _wait_for_balance(members)
            _all_is_read(server.bootstrap, topic, members, members, numbers)
            members[0].child.terminate()
            _wait_for_balance(members[1:])
            _all_is_read(server.bootstrap, topic, members, members[1:], numbers)
            members[1].child.kill()
            _wait_for_balance(members[2:])
            _all_is_read(server.bootstrap, topic, members, members[2:], numbers)
        finally:
            for member in members:
                if member.child.is_running():
                    member.child.kill()


def _wait_for_balance(members: Sequence[Member]) -> None:
    """Every partition has exactly one owner among the members, and each member owns its share."""

    def balanced() -> bool:
        owned = [member.assignment() for member in members]
        share = GROUP_PARTITIONS // len(members)
        return frozenset().union(*owned) == frozenset(range(GROUP_PARTITIONS)) and all(
            len(partitions) == share for partitions in owned
        )

    try:
        wait_until(balanced, GROUP_TIMEOUT_S, "a balanced assignment", poll_s=0.1)
    except TimeoutError as error:
        state = "\n\n".join(f"{sorted(m.assignment())} {m.child.describe()}" for m in members)
        raise AssertionError(f"{error}\n{state}") from error


def _all_is_read(
    bootstrap: str,
    topic: str,
    ever: Sequence[Member],
    alive: Sequence[Member],
    numbers: Iterator[int],
) -> None:
    """Records produced now are read by the living members, each by exactly one."""
    values = [f"v{next(numbers)}" for _ in range(GROUP_PARTITIONS * 5)]
    produce_values(bootstrap, topic, values, GROUP_PARTITIONS)

    def read() -> bool:
        return set(values) <= set().union(*(member.values() for member in alive))

    wait_until(read, GROUP_TIMEOUT_S, "all records to be read", poll_s=0.1)
    for value in values:
        assert sum(value in member.values() for member in ever) == 1, value
