"""DeleteRecords over the wire, in every version."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

import barnabas
from unit.wire import WireClient

RECORDS = 5
EARLIEST = -2


@pytest.fixture
def client(broker: barnabas.Broker) -> Iterator[WireClient]:
    with WireClient(broker.bootstrap_servers) as connection:
        yield connection


def filled_topic(broker: barnabas.Broker, partitions: int = 1, **config: str) -> str:
    topic = f"deleted-{uuid.uuid4().hex[:8]}"
    broker.create_topic(
        topic, partitions=partitions, config={k.replace("_", "."): v for k, v in config.items()}
    )
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0})
    for partition in range(partitions):
        for number in range(RECORDS):
            producer.produce(topic, f"v{number}", f"k{number}", partition=partition)
            assert producer.flush(20) == 0
    return topic


def delete(client: WireClient, topic: str, *offsets: int, version: int = 2) -> Any:
    partitions = [{"partition_index": n, "offset": offset} for n, offset in enumerate(offsets)]
    asked = [{"name": topic, "partitions": partitions}]
    return client.ask("DeleteRecords", version, topics=asked).topics[0].partitions


def start_of(client: WireClient, topic: str, partition: int = 0) -> int:
    asked = [
        {
            "name": topic,
            "partitions": [
                {"partition_index": partition, "timestamp": EARLIEST, "current_leader_epoch": -1}
            ],
        }
    ]
    answer = client.ask("ListOffsets", 11, replica_id=-1, topics=asked)
    return int(answer.topics[0].partitions[0].offset)


@pytest.mark.parametrize("version", range(3))
def test_the_log_starts_at_the_offset(
    broker: barnabas.Broker, client: WireClient, version: int
) -> None:
    topic = filled_topic(broker)
    (answer,) = delete(client, topic, 3, version=version)
    assert (answer.error_code, answer.low_watermark) == (0, 3)
    assert start_of(client, topic) == 3


def test_minus_one_is_the_high_watermark(broker: barnabas.Broker, client: WireClient) -> None:
    topic = filled_topic(broker, 2)
    first, second = delete(client, topic, -1, 2)
    assert (first.low_watermark, second.low_watermark) == (RECORDS, 2)
    assert (start_of(client, topic, 0), start_of(client, topic, 1)) == (RECORDS, 2)


def test_the_start_never_goes_back(broker: barnabas.Broker, client: WireClient) -> None:
    topic = filled_topic(broker)
    delete(client, topic, 4)
    (answer,) = delete(client, topic, 1)
    assert (answer.error_code, answer.low_watermark) == (0, 4)


@pytest.mark.parametrize("offset", [RECORDS + 1, -2])
def test_an_offset_that_is_not_there_is_refused(
    broker: barnabas.Broker, client: WireClient, offset: int
) -> None:
    topic = filled_topic(broker)
    (answer,) = delete(client, topic, offset)
    assert (answer.error_code.name, answer.low_watermark) == ("offset_out_of_range", -1)
    assert start_of(client, topic) == 0


def test_a_topic_that_is_compacted_only_has_its_own_policy(
    broker: barnabas.Broker, client: WireClient
) -> None:
    (answer,) = delete(client, filled_topic(broker, cleanup_policy="compact"), 1)
    assert (answer.error_code.name, answer.low_watermark) == ("policy_violation", -1)
    (answer,) = delete(client, filled_topic(broker, cleanup_policy="compact,delete"), 1)
    assert (answer.error_code, answer.low_watermark) == (0, 1)


def test_what_does_not_exist_is_unknown(broker: barnabas.Broker, client: WireClient) -> None:
    (answer,) = delete(client, "nowhere", 1)
    assert answer.error_code.name == "unknown_topic_or_partition"
    topic = filled_topic(broker)
    _, answer = delete(client, topic, 1, 1)
    assert answer.error_code.name == "unknown_topic_or_partition"
    assert start_of(client, topic) == 1


def test_records_of_internal_topics_stay(broker: barnabas.Broker, client: WireClient) -> None:
    client.ask("FindCoordinator", 6, key_type=0, coordinator_keys=["some-group"])
    (answer,) = delete(client, "__consumer_offsets", -1)
    assert answer.error_code.name == "invalid_topic_exception"


def test_fetching_below_the_start_is_out_of_range(
    broker: barnabas.Broker, client: WireClient
) -> None:
    topic = filled_topic(broker)
    delete(client, topic, 3)
    for offset, error in ((2, "offset_out_of_range"), (3, "none")):
        answer = client.ask(
            "Fetch",
            12,
            replica_id=-1,
            max_wait_ms=0,
            min_bytes=0,
            max_bytes=1 << 20,
            isolation_level=0,
            session_id=0,
            session_epoch=-1,
            topics=[
                {
                    "topic": topic,
                    "partitions": [
                        {
                            "partition": 0,
                            "current_leader_epoch": -1,
                            "fetch_offset": offset,
                            "last_fetched_epoch": -1,
                            "log_start_offset": -1,
                            "partition_max_bytes": 1 << 20,
                        }
                    ],
                }
            ],
            forgotten_topics_data=[],
            rack_id="",
        )
        found = answer.responses[0].partitions[0]
        assert found.error_code.name == error
        assert found.log_start_offset == (-1 if offset < 3 else 3)
