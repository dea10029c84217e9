"""SIGKILL while topics are created, grown, altered and deleted: each done or not done."""

import random
import threading
import time
from pathlib import Path

import pytest

from peers.servers import BarnabasServer
from unit.wire import WireClient

ROUNDS = 12


class Changes:
    """Changes topics until the broker is gone, and remembers what was answered."""

    def __init__(self, bootstrap: str, round_number: int) -> None:
        self.client = WireClient(bootstrap)
        self.prefix = f"r{round_number}"
        self.partition_counts: dict[str, int] = {}  # of topics that are there for certain
        self.retention_ms: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.in_doubt: str | None = None
        self.refusal: AssertionError | None = None

    def run(self) -> None:
        number = 0
        try:
            while True:
                self._change(f"{self.prefix}-{number}", number)
                number += 1
        except OSError:  # killed
            pass
        except AssertionError as error:
            self.refusal = error
        finally:
            self.client.close()

    def _change(self, name: str, number: int) -> None:
        topic = {
            "name": name,
            "num_partitions": 1 + number % 3,
            "replication_factor": 1,
            "assignments": [],
            "configs": [{"name": "retention.ms", "value": "111"}],
        }
        self.in_doubt = name
        (answer,) = self.client.ask("CreateTopics", 7, topics=[topic], timeout=1000).topics
        assert answer.error_code == 0
        self.partition_counts[name] = 1 + number % 3
        self.retention_ms[name] = "111"
        growing = [{"name": name, "count": 4, "assignments": None}]
        assert self.client.ask("CreatePartitions", 3, topics=growing).results[0].error_code == 0
        self.partition_counts[name] = 4
        change = {"name": "retention.ms", "config_operation": 0, "value": "222"}
        resource = {"resource_type": 2, "resource_name": name, "configs": [change]}
        (altered,) = self.client.ask("IncrementalAlterConfigs", 1, resources=[resource]).responses
        assert altered.error_code == 0
        self.retention_ms[name] = "222"
        if number % 2:
            (answer,) = self.client.ask("DeleteTopics", 6, topics=[{"name": name}]).responses
            assert answer.error_code == 0
            del self.partition_counts[name]
            self.deleted.add(name)
        self.in_doubt = None


def check(server: BarnabasServer, changes: Changes) -> None:
    assert changes.refusal is None
    with WireClient(server.bootstrap) as client:
        topics = {t.name: t for t in client.ask("Metadata", 12, topics=None).topics}
        for name, count in changes.partition_counts.items():
            if name == changes.in_doubt:
                continue  # it may have been deleted, or have grown
            assert len(topics[name].partitions) == count
            key = {
                "resource_type": 2,
                "resource_name": name,
                "configuration_keys": ["retention.ms"],
            }
            (found,) = client.ask("DescribeConfigs", 4, resources=[key]).results
            assert found.configs[0].value == changes.retention_ms[name]
        assert not changes.deleted & topics.keys()
        if changes.in_doubt in topics:
            assert len(topics[changes.in_doubt].partitions) in (1, 2, 3, 4)
        # No topic without a log that can be written and read, and no directory without a topic.
        for topic in topics.values():
            asked = [
                {
                    "name": topic.name,
                    "partitions": [
                        {"partition_index": p.partition_index, "timestamp": -1}
                        for p in topic.partitions
                    ],
                }
            ]
            answer = client.ask("ListOffsets", 7, replica_id=-1, topics=asked)
            assert {p.error_code.name for p in answer.topics[0].partitions} == {"none"}
    known = {f"{t.name}-{p.partition_index}" for t in topics.values() for p in t.partitions}
    present = {path.name for path in server.data_dir.iterdir() if path.is_dir()}
    assert {name for name in present if not name.endswith("-delete")} == known


@pytest.mark.timeout(300)
def test_a_kill_leaves_each_change_of_topics_done_or_not_done(tmp_path: Path) -> None:
    chance = random.Random(5)
    server = BarnabasServer(tmp_path)
    server.start()
    try:
        for round_number in range(ROUNDS):
            changes = Changes(server.bootstrap, round_number)
            thread = threading.Thread(target=changes.run)
            thread.start()
            # Not a wait for something: the moment of the kill is what is random here.
            time.sleep(chance.uniform(0.02, 0.4))
            server.kill()
            thread.join()
            server.start()
            check(server, changes)
        server.stop()
    finally:
        if server.child is not None:
            server.kill()
