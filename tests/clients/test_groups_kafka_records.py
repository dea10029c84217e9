"""Groups that Apache Kafka stored, read back by our state machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from barnabas._records import iter_batches
from barnabas.coordinator.group_records import decode
from barnabas.coordinator.routing import partition_for
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.group import GroupState
from barnabas.state.group.shard import GroupShard
from clients.contract import create_topic
from peers.servers import KafkaServer

pytestmark = pytest.mark.java

OFFSETS_PARTITIONS = 3
CONFIG = {
    "group.min.session.timeout.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.topic.num.partitions": str(OFFSETS_PARTITIONS),
}


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[KafkaServer]:
    with KafkaServer(tmp_path, CONFIG) as server:
        yield server


def shard_of(kafka: KafkaServer, group: str) -> GroupShard:
    """The state machine of the group's partition, replayed from Kafka's log."""
    partition = partition_for(group, OFFSETS_PARTITIONS)
    shard = GroupShard(GroupConfig())
    directory = kafka.partition_dir("__consumer_offsets", partition)
    data = (directory / f"{0:020}.log").read_bytes()
    for batch in iter_batches(data):
        for record in batch.records():
            if value := decode(record.key, record.value):
                shard.replay(value)
    return shard


def test_members_offsets_and_deletions_are_understood(kafka: KafkaServer) -> None:
    topic = create_topic(kafka.bootstrap, 2)
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": "with-member",
            "group.instance.id": "i",
            "client.id": "reader",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    while len(consumer.assignment()) < 2:
        consumer.poll(0.05)
    consumer.commit(offsets=[TopicPartition(topic, 1, 7, "note")], asynchronous=False)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for group in ("simple", "deleted"):
        offsets = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3)])
        admin.alter_consumer_group_offsets([offsets])[group].result(30)
    admin.delete_consumer_groups(["deleted"])["deleted"].result(30)
    consumer.close()  # a static member does not leave
    kafka.kill()

    shard = shard_of(kafka, "with-member")
    group_found = shard.groups["with-member"]
    assert group_found.state is GroupState.STABLE
    assert group_found.generation_id == 1
    assert group_found.protocol_name == "range"
    assert group_found.subscribed_topics == frozenset({topic})
    (member,) = group_found.members.values()
    assert (member.group_instance_id, member.client_id) == ("i", "reader")
    assert member.assignment
    value = shard.committed("with-member")[topic][1]
    assert (value.offset, value.metadata.rstrip("\0")) == (7, "note")  # librdkafka's zero byte
    assert shard_of(kafka, "simple").committed("simple")[topic][0].offset == 3
    assert "deleted" not in shard_of(kafka, "deleted").groups
