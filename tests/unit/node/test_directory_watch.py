"""What clients are told of a topic that is made while its log directory fails."""

import errno
import threading
from pathlib import Path

import pytest
from confluent_kafka import Producer

import barnabas
from barnabas.testing import faults
from unit.handlers.test_log_dirs import TIMEOUT_S, UNKNOWN_TOPIC, await_true, place
from unit.handlers.test_topics_api import create, new_topic
from unit.wire import WireClient


def leader(broker: barnabas.Broker, topic: str, partition: int) -> int:
    with WireClient(broker.bootstrap_servers) as client:
        asked = {"topics": [{"name": topic}], "allow_auto_topic_creation": False}
        (found,) = client.ask("Metadata", 12, **asked).topics
    by_number = {item.partition_index: item.leader_id for item in found.partitions}
    return int(by_number[partition])


def prefer(broker: barnabas.Broker, topic: str, partition: int, path: Path) -> None:
    with WireClient(broker.bootstrap_servers) as client:
        asked = [{"path": str(path), "topics": [{"name": topic, "partitions": [partition]}]}]
        (result,) = client.ask("AlterReplicaLogDirs", 2, dirs=asked).results
    assert result.partitions[0].error_code == UNKNOWN_TOPIC


def fail_directory(broker: barnabas.Broker, path: Path) -> None:
    """By a partition in it that cannot be synced."""
    place(broker, "there", path, flush_messages="1")
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "retries": 0})
    with faults.fail("sync", f"{path}/there-0/*.log", error=errno.EIO):
        producer.produce("there", b"lost")
        assert producer.flush(TIMEOUT_S) == 0


def test_a_partition_made_in_a_directory_that_fails_meanwhile_has_no_leader(tmp_path: Path) -> None:
    dirs = [tmp_path / name for name in "ab"]
    broker = barnabas.Broker(config={"log.dirs": ",".join(map(str, dirs))})
    prefer(broker, "new", 0, dirs[1])
    prefer(broker, "new", 1, dirs[0])
    creator = threading.Thread(target=create, args=(broker, new_topic("new", 2)))
    with faults.hold("make_directory", f"{dirs[0]}/new-1") as held:
        creator.start()
        await_true(lambda: held.struck > 0)
        assert (dirs[1] / "new-0").exists()
        fail_directory(broker, dirs[1])
        await_true(lambda: leader(broker, "there", 0) == -1)
    creator.join()
    await_true(lambda: leader(broker, "new", 0) == -1)
    assert leader(broker, "new", 1) == 1
    with pytest.raises(barnabas.BarnabasError, match="offline"):
        broker.close()
