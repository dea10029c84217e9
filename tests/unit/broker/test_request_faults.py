"""Requests that a test wants to fail are answered in the form of their API, in every version."""

import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.protocol.apis import APIS
from unit.wire import API_BY_NAME, WireClient

VERSIONS = [
    (api.name, version)
    for api in APIS
    for version in range(3 if api.name == "Produce" else api.min_version, api.max_version + 1)
]
ERROR = ErrorCode.cluster_authorization_failed
TOPIC_ID = uuid.UUID(int=7)


@pytest.fixture(scope="module")
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        yield broker


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_every_api_can_fail(broker: barnabas.Broker, name: str, version: int) -> None:
    with (
        broker.faults.fail(name, error=ERROR) as fault,
        WireClient(broker.bootstrap_servers) as client,
    ):
        response = client.ask(name, version, **({"acks": -1} if name == "Produce" else {}))
        assert getattr(response, "error_code", ERROR) is ERROR
        assert fault.struck == 1


@pytest.mark.parametrize("name", ["Metadata", "Fetch"])
def test_a_request_that_is_to_fail_and_cannot_be_read_ends_its_connection_alone(
    broker: barnabas.Broker, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    api = API_BY_NAME[name]
    caplog.set_level(logging.INFO)
    with broker.faults.fail(name, error=ERROR), WireClient(broker.bootstrap_servers) as client:
        client.send(api, api.max_version, b"\xff\xff\xff\xff\xff\xff\xff")
        assert client.is_closed_by_peer()
    assert any("closing the connection" in record.getMessage() for record in caplog.records)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    with WireClient(broker.bootstrap_servers) as client:
        assert client.ask("Metadata", 12, topics=None).brokers


def partition_errors(response: Any, partitions: str) -> list[ErrorCode]:
    return [
        partition.error_code
        for topic in response.responses
        for partition in getattr(topic, partitions)
    ]


@pytest.mark.parametrize("version", range(3, 14))
def test_a_failed_produce_names_each_partition(broker: barnabas.Broker, version: int) -> None:
    partitions = [{"index": 0, "records": None}, {"index": 3, "records": None}]
    topic = {"name": "t", "topic_id": TOPIC_ID, "partition_data": partitions}
    with (
        broker.faults.fail("Produce", error=ERROR),
        WireClient(broker.bootstrap_servers) as client,
    ):
        response = client.ask("Produce", version, acks=-1, topic_data=[topic])
    assert partition_errors(response, "partition_responses") == [ERROR, ERROR]
    (answered,) = response.responses
    assert [partition.index for partition in answered.partition_responses] == [0, 3]
    assert answered.topic_id == TOPIC_ID if version >= 13 else answered.name == "t"


@pytest.mark.parametrize("version", range(4, 19))
def test_a_failed_fetch_names_each_partition(broker: barnabas.Broker, version: int) -> None:
    topic = {"topic": "t", "topic_id": TOPIC_ID, "partitions": [{"partition": 2}]}
    with broker.faults.fail("Fetch", error=ERROR), WireClient(broker.bootstrap_servers) as client:
        response = client.ask("Fetch", version, topics=[topic])
    assert partition_errors(response, "partitions") == [ERROR]
    (answered,) = response.responses
    assert answered.topic_id == TOPIC_ID if version >= 13 else answered.topic == "t"


def test_a_produce_that_wants_no_answer_gets_a_closed_connection(broker: barnabas.Broker) -> None:
    with (
        broker.faults.fail("Produce", error=ERROR),
        WireClient(broker.bootstrap_servers) as client,
        pytest.raises(ConnectionError),
    ):
        client.ask("Produce", 9, acks=0)
