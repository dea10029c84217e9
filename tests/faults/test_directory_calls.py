"""Requests that wait in Python for a log directory that stalls: they hold up none for another."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import barnabas
from barnabas.testing import faults
from faults.test_write_stall import await_struck, new_producer
from unit.handlers.test_log_dirs import place
from unit.wire import WireClient

STALL_S = 4.0
QUICK_S = 1.0
DELETERS = 8  # more than there are threads of a directory
SEGMENTS = {"segment_bytes": "1048576", "internal_segment_bytes": "2000"}


def delete_records(broker: barnabas.Broker, topic: str) -> None:
    with WireClient(broker.bootstrap_servers) as client:
        partitions = [{"partition_index": 0, "offset": 10}]
        topics = [{"name": topic, "partitions": partitions}]
        answer = client.ask("DeleteRecords", 2, topics=topics, timeout=30_000)
        assert answer.topics[0].partitions[0].error_code == 0


def list_by_time(client: WireClient) -> None:
    partitions = [{"partition_index": 0, "current_leader_epoch": -1, "timestamp": 1}]
    topics = [{"name": "quick", "partitions": partitions}]
    answer = client.ask("ListOffsets", 5, replica_id=-1, isolation_level=0, topics=topics)
    assert answer.topics[0].partitions[0].error_code == 0
    assert answer.topics[0].partitions[0].offset == 0


def create_topic(client: WireClient) -> None:
    topic = {
        "name": f"new-{time.monotonic_ns()}",
        "num_partitions": 1,
        "replication_factor": 1,
        "assignments": [],
        "configs": [],
    }
    answer = client.ask("CreateTopics", 4, topics=[topic], timeout=30_000, validate_only=False)
    assert answer.topics[0].error_code == 0


def new_producer_id(client: WireClient) -> None:
    for _ in range(1500):  # more than a block of them, which the store hands out
        answer = client.ask(
            "InitProducerId",
            1,
            transactional_id=None,
            transaction_timeout=1000,
        )
        assert answer.error_code == 0


@pytest.mark.parametrize("ask", [list_by_time, create_topic, new_producer_id])
def test_deletions_in_a_stalled_directory_hold_up_nothing_elsewhere(
    tmp_path: Path, ask: Callable[[WireClient], None], measured: Callable[[str], None]
) -> None:
    dirs = [tmp_path / name for name in "ab"]
    with barnabas.Broker(config={"log.dirs": ",".join(map(str, dirs))}) as broker:
        place(broker, "slow", dirs[0], **SEGMENTS)
        place(broker, "quick", dirs[1])
        producer = new_producer(broker)
        for topic in ("slow", "quick"):
            for _ in range(20):
                producer.produce(topic, bytes(300), timestamp=5)
                assert producer.flush(20) == 0
        with (
            WireClient(broker.bootstrap_servers) as client,
            faults.delay("rename", "*/a/slow-0/*.log", seconds=STALL_S, times=1) as fault,
        ):
            ask(client)  # what it needs is imported
            deleters = [
                threading.Thread(target=delete_records, args=(broker, "slow"))
                for _ in range(DELETERS)
            ]
            for deleter in deleters:
                deleter.start()
            begin_s = await_struck(fault)
            time.sleep(0.3)  # all of them are waiting
            asked_s = time.monotonic()
            ask(client)
            took_s = time.monotonic() - asked_s
            assert time.monotonic() - begin_s < STALL_S
            assert all(deleter.is_alive() for deleter in deleters)
            for deleter in deleters:
                deleter.join(30)
    measured(f"{ask.__name__}: {took_s * 1e3:.1f} ms")
    assert took_s < QUICK_S
