"""barnabas.Log on partitions of a broker's data directory."""

import os
import threading
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from barnabas.embed import Broker
from barnabas.errors import BarnabasError, StartError
from barnabas.log import Log


def make_partition(data_dir: Path, count: int = 3) -> Path:
    with Broker(data_dir) as broker:
        broker.create_topic("t")
        broker.producer().send_many("t", [b"%d" % i for i in range(count)]).result(20)
    return data_dir / "t-0"


def offsets_of(path: Path) -> list[int]:
    with Log(path, read_only=True) as log:
        return [record.offset for record in log]


def test_no_broker_starts_where_a_log_is_written_to(tmp_path: Path) -> None:
    path = make_partition(tmp_path)
    with Log(path) as log:
        with pytest.raises(StartError, match="in use"):
            Broker(tmp_path)
        assert log.append([(None, b"3")]) == 3
    with Broker(tmp_path) as broker:
        assert broker.producer().send("t", b"4").result(20).offset == 4
    assert offsets_of(path) == list(range(5))


def test_logs_of_one_data_directory_are_written_to_at_the_same_time(tmp_path: Path) -> None:
    make_partition(tmp_path)
    with Broker(tmp_path) as broker:
        broker.create_topic("u")
    with Log(tmp_path / "t-0") as one, Log(tmp_path / "u-0") as other:
        assert one.append([(None, b"3")]) == 3
        assert other.append([(None, b"0")]) == 0


def test_a_log_that_was_closed_lets_brokers_in_though_a_child_lives_on(tmp_path: Path) -> None:
    log = Log(make_partition(tmp_path))
    wait, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(end)
        os.read(wait, 1)
        os._exit(0)
    log.close()
    try:
        Broker(tmp_path).close()
    finally:
        os.close(end)
        os.waitpid(child, 0)


def trim(broker: Broker, topic: str, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    for deleted in admin.delete_records([TopicPartition(topic, 0, offset)]).values():
        assert deleted.result(20).low_watermark == offset


def test_a_wrong_bit_in_what_the_broker_says_of_the_beginning_is_no_beginning(
    tmp_path: Path,
) -> None:
    with Broker(tmp_path) as broker:
        broker.create_topic("t")
        broker.producer().send_many("t", [b"%d" % i for i in range(20)]).result(20)
        trim(broker, "t", 7)
    checkpoint = tmp_path / "log-start-offset-checkpoint"
    right = checkpoint.read_text()
    assert "t 0 7\n" in right
    checkpoint.write_text(right.replace("t 0 7\n", "t 0 3\n"))
    with pytest.raises(BarnabasError, match=r"checkpoint: is not what was written there, by .*crc"):
        offsets_of(tmp_path / "t-0")
    (tmp_path / "__cluster_metadata-0").mkdir()  # Apache Kafka may have written it, without a sum
    assert offsets_of(tmp_path / "t-0") == list(range(3, 20))
    (tmp_path / "__cluster_metadata-0").rmdir()
    checkpoint.write_text(right)
    assert offsets_of(tmp_path / "t-0") == list(range(7, 20))


def test_a_reader_beside_a_broker_that_moves_the_beginning_is_never_refused(
    tmp_path: Path,
) -> None:
    with Broker(tmp_path) as broker:
        broker.create_topic("t")
        broker.producer().send_many("t", [b"%d" % i for i in range(200)]).result(20)
        ended = threading.Event()
        found: list[int] = []

        def read() -> None:
            while not ended.is_set():
                with Log(tmp_path / "t-0", read_only=True) as log:
                    found.append(log.stat().start_offset)

        reader = threading.Thread(target=read)
        reader.start()
        for offset in range(1, 60):
            trim(broker, "t", offset)
        ended.set()
        reader.join()
    assert found == sorted(found)
    assert found[-1] > found[0]


def test_a_reader_begins_where_the_broker_says(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        broker.create_topic("t")
        broker.producer().send_many("t", [b"%d" % i for i in range(20)]).result(20)
        trim(broker, "t", 7)
    assert offsets_of(tmp_path / "t-0") == list(range(7, 20))
