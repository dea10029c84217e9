"""ListOffsets, OffsetForLeaderEpoch, InitProducerId and DescribeLogDirs over the wire."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

import barnabas
from barnabas._core import Core
from barnabas.metadata.producer_ids import ProducerIds
from barnabas.metadata.store import StoreError
from unit.core_appends import append_records
from unit.wire import WireClient

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, PENDING_UPLOAD = range(-1, -7, -1)


@pytest.fixture(scope="module")
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as running:
        running.create_topic("empty")
        running.create_topic("t")
        producer = Producer({"bootstrap.servers": running.bootstrap_servers, "linger.ms": 0})
        for timestamp in (1000, 3000, 2000):
            producer.produce("t", b"v", timestamp=timestamp)
            assert producer.flush(20) == 0
        yield running


@pytest.fixture
def client(broker: barnabas.Broker) -> Iterator[WireClient]:
    with WireClient(broker.bootstrap_servers) as connection:
        yield connection


def list_offset(
    client: WireClient, timestamp: int, topic: str = "t", version: int = 11, **more: Any
) -> Any:
    partition = {
        "partition_index": 0,
        "timestamp": timestamp,
        "current_leader_epoch": -1,
        **more,
    }
    asked = [{"name": topic, "partitions": [partition]}]
    answer = client.ask("ListOffsets", version, replica_id=-1, topics=asked)
    return answer.topics[0].partitions[0]


@pytest.mark.parametrize("version", range(1, 12))
@pytest.mark.parametrize(
    ("timestamp", "offset"),
    [(LATEST, 3), (EARLIEST, 0), (0, 0), (1000, 0), (1001, 1), (3000, 1), (3001, -1)],
)
def test_offsets_are_found_in_every_version(
    client: WireClient, version: int, timestamp: int, offset: int
) -> None:
    found = list_offset(client, timestamp, version=version)
    assert (found.error_code, found.offset) == (0, offset)


@pytest.mark.parametrize(
    ("sentinel", "since", "offset", "time"),
    [
        (MAX_TIMESTAMP, 7, 1, 3000),
        (EARLIEST_LOCAL, 8, 0, -1),
        (LATEST_TIERED, 9, -1, -1),
        (PENDING_UPLOAD, 11, -1, -1),
    ],
)
def test_newer_sentinels_are_known_since_their_version(
    client: WireClient, sentinel: int, since: int, offset: int, time: int
) -> None:
    found = list_offset(client, sentinel, version=11)
    assert (found.error_code, found.offset, found.timestamp) == (0, offset, time)
    assert list_offset(client, sentinel, version=since).error_code == 0
    assert list_offset(client, sentinel, version=since - 1).error_code.name == "unsupported_version"


def open_a_transaction(data_dir: Path, topic: str) -> None:
    """Appends a record of a transaction that nobody ends."""
    metadata = (data_dir / f"{topic}-0" / "partition.metadata").read_text()
    topic_id = base64.urlsafe_b64decode(metadata.split()[-1] + "==")
    core = Core({})
    core.open_directories([str(data_dir)], "", 1)
    core.load_partitions([(topic, topic_id, 0, 0)], {topic: {"segment.ms": 1 << 62}})
    append_records(core, topic, 0, [(None, b"v")], producer_id=1, producer_epoch=0)
    core.stop(0)


def test_read_committed_ends_at_the_last_stable_offset(tmp_path: Path) -> None:
    with barnabas.Broker(tmp_path) as running:
        running.create_topic("tx")
        producer = Producer({"bootstrap.servers": running.bootstrap_servers})
        producer.produce("tx", b"v", timestamp=1000)
        assert producer.flush(20) == 0
    open_a_transaction(tmp_path, "tx")
    with barnabas.Broker(tmp_path) as running, WireClient(running.bootstrap_servers) as client:

        def ask(timestamp: int, isolation_level: int) -> int:
            partition = {"partition_index": 0, "timestamp": timestamp, "current_leader_epoch": -1}
            answer = client.ask(
                "ListOffsets",
                11,
                replica_id=-1,
                isolation_level=isolation_level,
                topics=[{"name": "tx", "partitions": [partition]}],
            )
            offset: int = answer.topics[0].partitions[0].offset
            return offset

        assert [ask(time, 0) for time in (LATEST, 9000, MAX_TIMESTAMP, 1000)] == [2, 1, 1, 0]
        assert [ask(time, 1) for time in (LATEST, 9000, MAX_TIMESTAMP, 1000)] == [1, -1, -1, 0]


@pytest.mark.parametrize(
    ("timestamp", "offset"), [(LATEST, 0), (EARLIEST, 0), (MAX_TIMESTAMP, -1), (5, -1)]
)
def test_an_empty_topic_has_no_offsets_by_time(
    client: WireClient, timestamp: int, offset: int
) -> None:
    found = list_offset(client, timestamp, "empty")
    assert (found.error_code, found.offset) == (0, offset)


def test_an_unknown_partition_is_told(client: WireClient) -> None:
    assert list_offset(client, LATEST, "nope").error_code.name == "unknown_topic_or_partition"
    found = list_offset(client, LATEST, partition_index=7)
    assert found.error_code.name == "unknown_topic_or_partition"


def test_the_leader_epoch_is_checked(client: WireClient) -> None:
    assert list_offset(client, LATEST, current_leader_epoch=0).error_code == 0
    newer = list_offset(client, LATEST, current_leader_epoch=5)
    assert newer.error_code.name == "unknown_leader_epoch"


@pytest.mark.parametrize("version", range(2, 5))
def test_the_end_of_an_epoch_is_told(
    broker: barnabas.Broker, client: WireClient, version: int
) -> None:
    def ask(topic: str, leader_epoch: int, current: int = -1) -> Any:
        partition = {
            "partition": 0,
            "current_leader_epoch": current,
            "leader_epoch": leader_epoch,
        }
        asked = [{"topic": topic, "partitions": [partition]}]
        answer = client.ask("OffsetForLeaderEpoch", version, replica_id=-1, topics=asked)
        return answer.topics[0].partitions[0]

    found = ask("t", 0)
    assert (found.error_code, found.leader_epoch, found.end_offset) == (0, 0, 3)
    broker.create_topic(f"empty-{version}")
    empty = ask(f"empty-{version}", 0)
    assert (empty.error_code, empty.leader_epoch, empty.end_offset) == (0, 0, 0)
    later = ask("t", 7)
    assert (later.error_code, later.leader_epoch, later.end_offset) == (0, -1, -1)
    assert ask("nope", 0).error_code.name == "unknown_topic_or_partition"
    assert ask("t", 0, current=9).error_code.name == "unknown_leader_epoch"


@pytest.mark.parametrize("version", range(6))
def test_idempotent_producers_get_ids_of_their_own(client: WireClient, version: int) -> None:
    asked = {"transactional_id": None, "producer_id": -1, "producer_epoch": -1}
    ids = [client.ask("InitProducerId", version, **asked) for _ in range(3)]
    assert {answer.error_code for answer in ids} == {0}
    assert {answer.producer_epoch for answer in ids} == {0}
    assert len({answer.producer_id for answer in ids}) == 3


def test_a_transactional_producer_is_told_that_there_are_no_transactions(
    client: WireClient,
) -> None:
    answer = client.ask("InitProducerId", 4, transactional_id="x", transaction_timeout=1000)
    assert answer.error_code != 0
    assert answer.producer_id == -1


def test_producer_ids_are_not_given_out_again_after_a_restart(tmp_path: Path) -> None:
    seen: set[int] = set()
    for _ in range(3):
        with barnabas.Broker(tmp_path) as broker, WireClient(broker.bootstrap_servers) as client:
            asked = {"transactional_id": None, "producer_id": -1, "producer_epoch": -1}
            answer = client.ask("InitProducerId", 4, **asked)
            assert answer.producer_id not in seen
            seen.add(answer.producer_id)


@pytest.mark.parametrize("version", range(1, 6))
def test_sizes_of_partitions_are_described(
    broker: barnabas.Broker, client: WireClient, version: int
) -> None:
    (everything,) = client.ask("DescribeLogDirs", version, topics=None).results
    assert everything.error_code == 0
    assert everything.log_dir == str(broker.data_dir)
    sizes = {t.name: t.partitions[0].partition_size for t in everything.topics}
    assert sizes["empty"] == 0
    assert sizes["t"] > 0
    asked = [{"topic": "t", "partitions": [0]}, {"topic": "nope", "partitions": [0]}]
    (some,) = client.ask("DescribeLogDirs", version, topics=asked).results
    assert [topic.name for topic in some.topics] == ["t"]
    if version >= 4:
        assert some.total_bytes >= some.usable_bytes > 0


@pytest.mark.parametrize("version", range(3, 6))
@pytest.mark.parametrize(("producer_id", "epoch"), [(5, -1), (-1, 5)])
def test_a_producer_has_both_an_id_and_an_epoch_or_neither(
    client: WireClient, version: int, producer_id: int, epoch: int
) -> None:
    answer = client.ask(
        "InitProducerId",
        version,
        transactional_id=None,
        producer_id=producer_id,
        producer_epoch=epoch,
    )
    assert answer.error_code.name == "invalid_request"


def test_a_producer_is_to_ask_again_while_no_ids_can_be_reserved(
    broker: barnabas.Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: ProducerIds) -> int:
        raise StoreError("disk full")

    with barnabas.Broker() as other, WireClient(other.bootstrap_servers) as client:
        ask = {"transactional_id": None, "producer_id": -1, "producer_epoch": -1}
        with monkeypatch.context() as patched:
            patched.setattr(ProducerIds, "_reserve", fail)
            answer = client.ask("InitProducerId", 5, **ask)
        assert answer.error_code.name == "coordinator_load_in_progress"
        assert client.ask("InitProducerId", 5, **ask).error_code == 0


def test_a_partition_asked_for_twice_is_answered_once(client: WireClient) -> None:
    partition = {"partition_index": 0, "timestamp": LATEST, "current_leader_epoch": -1}
    unknown = {**partition, "partition_index": 7}
    topics = [
        {"name": "t", "partitions": [partition, unknown]},
        {"name": "t", "partitions": [partition]},
    ]
    (topic,) = client.ask("ListOffsets", 11, replica_id=-1, topics=topics).topics
    assert [(p.partition_index, p.error_code.name) for p in topic.partitions] == [
        (0, "invalid_request"),
        (7, "unknown_topic_or_partition"),
    ]
