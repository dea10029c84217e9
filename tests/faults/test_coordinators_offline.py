"""A part of the coordinators' topics is in a log directory that is not there."""

from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

import barnabas
from barnabas.coordinator.routing import partition_for
from faults.test_missing_directories import unmounted
from unit.handlers.test_log_dirs import TIMEOUT_S, homes
from unit.wire import WireClient

GROUPS = [f"group-{number}" for number in range(6)]
HOMES = {group: partition_for(group, 2) for group in GROUPS}


def start(dirs: list[Path]) -> barnabas.Broker:
    config: dict[str, str | int | float | bool] = {
        "log.dirs": ",".join(map(str, dirs)),
        "offsets.topic.num.partitions": 2,
    }
    return barnabas.Broker(config=config)


def consumer_of(broker: barnabas.Broker, group: str) -> Consumer:
    return Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": group})


def committed(broker: barnabas.Broker, group: str) -> int:
    consumer = consumer_of(broker, group)
    (found,) = consumer.committed([TopicPartition("t", 0)], timeout=TIMEOUT_S)
    consumer.close()
    return int(found.offset)


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    """`t` in the first directory, of the groups' offsets a partition in each."""
    dirs = [tmp_path / name for name in "ab"]
    assert set(HOMES.values()) == {0, 1}
    with start(dirs) as broker:
        wanted = [(dirs[0], "t", 0), *((dirs[n], "__consumer_offsets", n) for n in (0, 1))]
        with WireClient(broker.bootstrap_servers) as client:
            asked = [
                {"path": str(path), "topics": [{"name": topic, "partitions": [number]}]}
                for path, topic, number in wanted
            ]
            client.ask("AlterReplicaLogDirs", 2, dirs=asked)
        broker.create_topic("t")
        broker.producer().send_many("t", [b"old"] * 10).result(TIMEOUT_S)
        for group in GROUPS:
            consumer = consumer_of(broker, group)
            consumer.commit(offsets=[TopicPartition("t", 0, 7)], asynchronous=False)
            consumer.close()
        assert sorted(homes(dirs, "__consumer_offsets").values()) == ["a", "b"]
    return dirs


def test_groups_that_are_there_are_listed(dirs: list[Path]) -> None:
    with unmounted(dirs) as left, start(left) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        listed = admin.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S)
        assert listed.errors == []
        found = {group.group_id for group in listed.valid}
        assert found == {group for group in GROUPS if HOMES[group] == 0}


def test_what_was_committed_for_a_deleted_topic_is_not_the_next_ones(dirs: list[Path]) -> None:
    """Of the same name, made while nobody could tell the groups."""
    with unmounted(dirs) as left, start(left) as broker:
        broker.delete_topic("t")
        broker.create_topic("t")
        broker.producer().send_many("t", [b"new"] * 10).result(TIMEOUT_S)
    with start(dirs) as broker:
        assert {group: committed(broker, group) for group in GROUPS} == dict.fromkeys(GROUPS, -1001)
        group = next(group for group in GROUPS if HOMES[group] == 1)
        with broker.consumer(["t"], group=group, auto_offset_reset="earliest") as consumer:
            batch = consumer.poll(TIMEOUT_S)
            assert batch is not None
            assert int(batch.offsets[0]) == 0
            consumer.commit()
        assert committed(broker, group) == 10
