"""Changes of topics that go wrong half way: what was stored of them is in nobody's way."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import barnabas
from barnabas.metadata.sqlite import FILE_NAME
from barnabas.testing import faults
from unit.handlers.test_topics_api import create, new_topic, partition_count
from unit.wire import WireClient


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[barnabas.Broker]:
    """Its store refuses to delete: nothing can be taken back."""
    data_dir = tmp_path / "data"
    barnabas.Broker(data_dir).close()
    with closing(sqlite3.connect(data_dir / FILE_NAME, isolation_level=None)) as store:
        store.execute(
            "CREATE TRIGGER refuse BEFORE DELETE ON document BEGIN SELECT RAISE(FAIL, 'no'); END"
        )
    with barnabas.Broker(data_dir) as running:
        yield running


def fail_to_make(broker: barnabas.Broker, name: str) -> str:
    with faults.fail("make_directory", f"*/{name}-0", error=errno.ENOSPC):
        (answer,) = create(broker, new_topic(name))
    return str(answer.error_code.name)


def test_a_topic_that_stayed_stored_without_logs_can_be_created(broker: barnabas.Broker) -> None:
    assert fail_to_make(broker, "t") == "kafka_storage_error"
    assert partition_count(broker, "t") is None
    made, other = create(broker, new_topic("t", 2), new_topic("other"))
    assert (made.error_code.name, other.error_code.name) == ("none", "none")
    broker.close()
    with (
        barnabas.Broker(broker.data_dir) as successor,
        WireClient(successor.bootstrap_servers) as client,
    ):
        (found,) = client.ask("Metadata", 12, topics=[{"name": "t"}]).topics
    assert (found.topic_id, len(found.partitions)) == (made.topic_id, 2)


def test_a_broker_whose_offsets_topic_stayed_stored_coordinates_groups(
    broker: barnabas.Broker,
) -> None:
    with WireClient(broker.bootstrap_servers) as client:
        with faults.fail("make_directory", "*/__consumer_offsets-0", error=errno.ENOSPC):
            answer = client.ask("FindCoordinator", 0, key="g")
        assert answer.error_code.name == "coordinator_not_available"
        assert client.ask("FindCoordinator", 0, key="g").error_code.name == "none"
