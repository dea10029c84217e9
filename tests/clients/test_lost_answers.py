"""Broker.faults: requests of each kind that have their effect, and are cut off from the answer."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

import barnabas

SOON_S = 10


@pytest.fixture
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        broker.create_topic("t")
        broker.producer().send_many("t", [b"a", b"b", b"c"]).result(5)
        yield broker


def config(broker: barnabas.Broker) -> dict[str, str | int | float | bool]:
    return {"bootstrap.servers": broker.bootstrap_servers, "log_level": 0}


@pytest.fixture(autouse=True)
def _clients_stay() -> Iterator[None]:
    yield
    ADMINS.clear()


ADMINS: list[AdminClient] = []  # one that is dropped answers nothing


def admin(broker: barnabas.Broker) -> AdminClient:
    ADMINS.append(AdminClient(config(broker)))
    return ADMINS[-1]


def member(broker: barnabas.Broker) -> Consumer:
    return Consumer({**config(broker), "group.id": "g", "auto.offset.reset": "earliest"})


def committed(broker: barnabas.Broker) -> int:
    consumer = member(broker)
    (found,) = consumer.committed([TopicPartition("t", 0)], timeout=20)
    consumer.close()
    return int(found.offset)


def commit(broker: barnabas.Broker) -> None:
    consumer = member(broker)
    consumer.commit(offsets=[TopicPartition("t", 0, 2)], asynchronous=False)
    consumer.close()


def partitions(broker: barnabas.Broker, topic: str) -> int:
    topics = admin(broker).list_topics(timeout=20).topics
    return len(topics[topic].partitions) if topic in topics else 0


def create_topic(broker: barnabas.Broker) -> None:
    admin(broker).create_topics([NewTopic("new", 1)])["new"].result(20)


def delete_topic(broker: barnabas.Broker) -> None:
    admin(broker).delete_topics(["t"])["t"].result(20)


def create_partitions(broker: barnabas.Broker) -> None:
    admin(broker).create_partitions([NewPartitions("t", 3)])["t"].result(20)


def alter_config(broker: barnabas.Broker) -> None:
    entry = ConfigEntry("retention.ms", "7", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "t", incremental_configs=[entry])
    admin(broker).incremental_alter_configs([resource])[resource].result(20)


def retention(broker: barnabas.Broker) -> str:
    resource = ConfigResource(ResourceType.TOPIC, "t")
    entries = admin(broker).describe_configs([resource])[resource].result(20)
    return str(entries["retention.ms"].value)


def delete_records(broker: barnabas.Broker) -> None:
    cut = TopicPartition("t", 0, 2)
    admin(broker).delete_records([cut])[cut].result(20)


def delete_group(broker: barnabas.Broker) -> None:
    commit(broker)
    admin(broker).delete_consumer_groups(["g"])["g"].result(20)


def leave_group(broker: barnabas.Broker) -> None:
    consumer = member(broker)
    consumer.subscribe(["t"])
    while not consumer.assignment():
        consumer.poll(0.1)
    consumer.close()


def members(broker: barnabas.Broker) -> int:
    return len(admin(broker).describe_consumer_groups(["g"])["g"].result(20).members)


def commit_transaction(broker: barnabas.Broker) -> None:
    producer = Producer({**config(broker), "transactional.id": "x"})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("t", b"committed")
    producer.commit_transaction(20)


def values(broker: barnabas.Broker) -> list[bytes | None]:
    with broker.consumer(
        ["t"], auto_offset_reset="earliest", isolation_level="read_committed", timeout=1
    ) as consumer:
        return [value for batch in consumer for value in batch.values]


def log_start(broker: barnabas.Broker) -> int:
    return broker.services.core.partition_info("t", 0).log_start_offset


LOST: list[tuple[str, Callable[[barnabas.Broker], None], Callable[[barnabas.Broker], bool]]] = [
    ("CreateTopics", create_topic, lambda broker: partitions(broker, "new") == 1),
    ("DeleteTopics", delete_topic, lambda broker: partitions(broker, "t") == 0),
    ("CreatePartitions", create_partitions, lambda broker: partitions(broker, "t") == 3),
    ("IncrementalAlterConfigs", alter_config, lambda broker: retention(broker) == "7"),
    ("DeleteRecords", delete_records, lambda broker: log_start(broker) == 2),
    ("OffsetCommit", commit, lambda broker: committed(broker) == 2),
    ("DeleteGroups", delete_group, lambda broker: committed(broker) < 0),
    ("JoinGroup", leave_group, lambda broker: members(broker) == 0),
    ("LeaveGroup", leave_group, lambda broker: members(broker) == 0),
    ("InitProducerId", commit_transaction, lambda broker: values(broker)[3:] == [b"committed"]),
    ("AddPartitionsToTxn", commit_transaction, lambda broker: values(broker)[3:] == [b"committed"]),
    ("EndTxn", commit_transaction, lambda broker: values(broker)[3:] == [b"committed"]),
]


@pytest.mark.parametrize(("api", "do", "is_done"), LOST, ids=[api for api, _, _ in LOST])
def test_what_was_done_stays_done_when_the_answer_is_lost(
    broker: barnabas.Broker,
    api: str,
    do: Callable[[barnabas.Broker], None],
    is_done: Callable[[barnabas.Broker], bool],
) -> None:
    with broker.faults.disconnect(api, when="after", times=1) as fault, suppress(KafkaException):
        do(broker)
    assert fault.struck == 1
    deadline = (
        time.monotonic() + SOON_S
    )  # a client does not wait for the answer of its last request
    while not is_done(broker):
        assert time.monotonic() < deadline
