"""Topics deleted and made again, and names at their limits: nothing of the old one counts."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

import barnabas
from barnabas.testing import faults
from faults.conftest import KILLED, ServerFactory
from faults.rows import Row
from faults.test_compaction import await_true
from peers.forks import ForkServer
from peers.servers import Server

TIMEOUT_S = 30
LONGEST_NAME = "n" * 249


def produce(server: Server, topic: str, count: int) -> list[int]:
    """The offsets of acknowledged records of 200 KB."""
    offsets: list[int] = []
    producer = Producer({"bootstrap.servers": server.bootstrap, "log_level": 0})

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        offset = message.offset()
        assert offset is not None
        offsets.append(offset)

    for _ in range(count):
        producer.produce(topic, bytes(200_000), on_delivery=delivered)
        assert producer.flush(TIMEOUT_S) == 0
    return offsets


def start_and_end(server: Server, topic: str) -> tuple[int, int]:
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "g", "log_level": 0})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), TIMEOUT_S)
    finally:
        consumer.close()


def test_a_topic_made_again_keeps_its_records_through_a_crash(new_server: ServerFactory) -> None:
    server = new_server(
        {
            "internal.segment.bytes": "1000000",
            "log.retention.bytes": "1000000",
            "log.retention.check.interval.ms": "200",
            "log.flush.offset.checkpoint.interval.ms": "200",
        }
    )
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    admin.create_topics([NewTopic("t", 1, 1)])["t"].result(TIMEOUT_S)
    produce(server, "t", 40)
    deadline = time.monotonic() + TIMEOUT_S
    checkpoint = server.data_dir / "log-start-offset-checkpoint"
    while not (checkpoint.exists() and "t 0" in checkpoint.read_text()):
        assert time.monotonic() < deadline, "retention has removed nothing"
        time.sleep(0.05)
    server.stop()
    server.config["log.flush.offset.checkpoint.interval.ms"] = "600000"
    server.config["log.retention.check.interval.ms"] = "600000"
    server.start()
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    admin.delete_topics(["t"])["t"].result(TIMEOUT_S)
    admin.create_topics([NewTopic("t", 1, 1)])["t"].result(TIMEOUT_S)
    assert produce(server, "t", 3) == [0, 1, 2]
    server.kill()
    server.start()
    assert start_and_end(server, "t") == (0, 3)


def make_again_and_die(root: str) -> None:
    """Records of the first topic have been deleted, up to offset 500; the second one is stored, and
    the checkpoints are about to forget the first.
    """
    with barnabas.Broker(root) as broker:
        broker.create_topic("t")
        with broker.producer() as producer:
            producer.send_many("t", [b"old"] * 1000)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        (deleted,) = admin.delete_records([TopicPartition("t", 0, 500)]).values()
        deleted.result(TIMEOUT_S)
        broker.delete_topic("t")
        faults.kill("rename", "*/log-start-offset-checkpoint*", is_done=False)
        broker.create_topic("t")


def test_a_topic_whose_creation_was_killed_begins_at_0_whatever_was_deleted_of_its_namesake(
    tmp_path: Path, forks: ForkServer, core_log: list[str], count: Callable[..., None]
) -> None:
    run = forks.run(make_again_and_die, str(tmp_path / "d"), timeout_s=TIMEOUT_S)
    assert run.returncode == KILLED, run.output
    checkpoint = tmp_path / "d" / "log-start-offset-checkpoint"
    assert "t 0 500" in checkpoint.read_text()
    with barnabas.Broker(tmp_path / "d") as broker, broker.producer() as producer:
        assert producer.send("t", b"new").result(TIMEOUT_S).offset == 0
        (line,) = [line for line in core_log if "t-0: its directory is gone" in line]
        assert "unless they were of a deleted topic" in line
    with barnabas.Broker(tmp_path / "d") as broker, broker.producer() as producer:
        assert producer.send("t", b"newer").result(TIMEOUT_S).offset == 1
    count(Row.KILL)


def test_the_longest_legal_name_is_deleted_and_made_again(tmp_path: Path) -> None:
    with barnabas.Broker(tmp_path / "d") as broker:
        for _ in range(2):
            broker.create_topic(LONGEST_NAME, partitions=2)
            broker.delete_topic(LONGEST_NAME)
        broker.create_topic(LONGEST_NAME)
    with barnabas.Broker(tmp_path / "d") as broker:
        broker.delete_topic(LONGEST_NAME)


def test_strays_of_one_name_are_all_kept(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    with barnabas.Broker(directory) as broker:
        broker.create_topic("t")
    for _ in range(3):
        (directory / "foo-0").mkdir()
        with barnabas.Broker(directory):
            pass
    assert len(list(directory.glob("foo-0.*-stray"))) == 3


def test_damaged_recovery_points_do_not_stop_the_start(new_server: ServerFactory) -> None:
    name = "recovery-point-offset-checkpoint"
    server = new_server({"log.flush.offset.checkpoint.interval.ms": "100"})
    assert produce(server, "t", 2) == [0, 1]
    deadline = time.monotonic() + TIMEOUT_S
    while not (server.data_dir / name).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    server.kill()
    (server.data_dir / name).write_bytes(bytes(64))
    server.start()
    await_true(lambda: name in server.output())
    assert start_and_end(server, "t") == (0, 2)


def test_partitions_without_a_metadata_store_are_not_taken_over(tmp_path: Path) -> None:
    directory = tmp_path / "d"
    with barnabas.Broker(directory) as broker:
        broker.create_topic("orders")
    (directory / "metadata.sqlite").unlink()
    before = sorted(path.name for path in directory.iterdir())
    with pytest.raises(barnabas.StartError, match=r"orders-0.*metadata\.sqlite"):
        barnabas.Broker(directory)
    assert sorted(path.name for path in directory.iterdir()) == before
