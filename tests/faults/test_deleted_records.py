"""Records that were deleted stay deleted, whatever becomes of the broker; files go when due."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from clients.test_topic_settings import alter
from faults.conftest import ServerFactory
from peers.servers import Server

TOPIC = "events"
RECORDS = 40
TIMEOUT_S = 30
BROKER = {
    "log.retention.check.interval.ms": "300",
    "log.initial.task.delay.ms": "0",
}
SEGMENTS = {"internal.segment.bytes": "4000", "file.delete.delay.ms": "1500"}


def admin_of(server: Server) -> AdminClient:
    return AdminClient({"bootstrap.servers": server.bootstrap})


def fill(server: Server, **config: str) -> None:
    settings = {**SEGMENTS, **{key.replace("_", "."): value for key, value in config.items()}}
    topic = NewTopic(TOPIC, num_partitions=1, replication_factor=1, config=settings)
    admin = admin_of(server)
    admin.create_topics([topic])[TOPIC].result(TIMEOUT_S)
    producer = Producer({"bootstrap.servers": server.bootstrap, "linger.ms": 0})
    for number in range(RECORDS):
        producer.produce(TOPIC, f"{number:05}".encode() + bytes(900), partition=0)
        assert producer.flush(TIMEOUT_S) == 0


def delete_before(server: Server, offset: int) -> int:
    admin = admin_of(server)
    (future,) = admin.delete_records([TopicPartition(TOPIC, 0, offset)]).values()
    return int(future.result(TIMEOUT_S).low_watermark)


def start_offset(server: Server) -> int:
    at = TopicPartition(TOPIC, 0)
    admin = admin_of(server)
    future = admin.list_offsets({at: OffsetSpec.earliest()})[at]
    return int(future.result(TIMEOUT_S).offset)


def values_from(server: Server, offset: int) -> list[int]:
    """The records' numbers from the offset to the end; a negative one is an error code."""
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": "none",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end is told by an answer without records
        }
    )
    consumer.assign([TopicPartition(TOPIC, 0, offset)])
    found: list[int] = []
    try:
        while True:
            message = consumer.poll(TIMEOUT_S)
            assert message is not None
            error = message.error()
            if error is None:
                value = message.value()
                assert value is not None
                found.append(int(value[:5]))
            elif error.code() == KafkaError._PARTITION_EOF:
                return found
            else:
                return [*found, -1]
    finally:
        consumer.close()


def segment_bases(server: Server) -> list[int]:
    return sorted(int(p.stem) for p in server.partition_dir(TOPIC, 0).glob("*.log"))


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("stop", [Server.stop, Server.kill])
def test_deleted_records_stay_deleted(
    new_server: ServerFactory, stop: Callable[[Server], None]
) -> None:
    server = new_server(BROKER)
    fill(server)
    assert delete_before(server, 17) == 17
    stop(server)
    server.start()
    assert start_offset(server) == 17
    assert values_from(server, 17) == list(range(17, RECORDS))
    assert values_from(server, 16) == [-1]
    assert delete_before(server, -1) == RECORDS
    stop(server)
    server.start()
    assert start_offset(server) == RECORDS
    assert values_from(server, RECORDS) == []


def test_whole_segments_go_when_the_delay_is_over(new_server: ServerFactory) -> None:
    server = new_server(BROKER)
    fill(server)
    directory: Path = server.partition_dir(TOPIC, 0)
    bases = segment_bases(server)
    assert len(bases) > 5
    delete_before(server, bases[3] + 1)
    await_true(lambda: segment_bases(server) == bases[3:])  # Kafka's next look takes them out
    assert len(list(directory.glob("*.log.deleted"))) == 3
    await_true(lambda: not list(directory.glob("*.deleted")))
    assert values_from(server, bases[3] + 1) == list(range(bases[3] + 1, RECORDS))


def test_a_reader_is_not_disturbed(new_server: ServerFactory) -> None:
    server = new_server(BROKER)
    fill(server)
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": "none",
            "auto.offset.reset": "error",
            "fetch.message.max.bytes": 1000,
            "queued.min.messages": 1,
        }
    )
    consumer.assign([TopicPartition(TOPIC, 0, 10)])
    found = []
    for number in range(10, RECORDS):
        delete_before(server, number)
        message = consumer.poll(TIMEOUT_S)
        assert message is not None
        assert message.error() is None
        found.append(message.offset())
    consumer.close()
    assert found == list(range(10, RECORDS))


def test_retention_follows_a_change_of_the_configuration(new_server: ServerFactory) -> None:
    server = new_server(BROKER)
    fill(server, file_delete_delay_ms="0")
    time.sleep(1)
    assert start_offset(server) == 0
    alter(server, TOPIC, {"retention.bytes": "12000"})
    await_true(lambda: start_offset(server) > 0)
    kept = sum(p.stat().st_size for p in server.partition_dir(TOPIC, 0).glob("*.log"))
    assert 12000 <= kept < 12000 + 4000
    alter(server, TOPIC, {"retention.bytes": "-1", "retention.ms": "1"})
    await_true(lambda: start_offset(server) == RECORDS)
    assert values_from(server, RECORDS) == []
