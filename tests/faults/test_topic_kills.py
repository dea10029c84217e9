"""SIGKILL at each step of making, growing and deleting a topic: each is done or not done.

The broker of a child process gets the change from a client and is killed at the nth call of one
kind, before it or once it is done. `commit` is that of the metadata store.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

import barnabas
from faults.test_compaction import await_true
from peers.forks import Ended
from unit.wire import WireClient

TIMEOUT_S = 30
RECORDS = 5  # of each partition
CONFIG = {"offsets.topic.num.partitions": 1}
TOPIC_CONFIG = {"file.delete.delay.ms": "0"}
UNKNOWN_TOPIC = 3
MADE = ("commit", "make_directory", "rename", "unlink", "write", "open")
CALLS = {"create": MADE, "grow": MADE, "delete": ("commit", "rename", "unlink")}
"""What each change is made of. Nothing is fsynced but by the store's commit."""
SHARES = {"commit": 1, "make_directory": 1, "rename": 1, "unlink": 4, "write": 2, "open": 6}
"""Of so many steps of a kind one is struck in a run."""

# -- in the child


def change_under_fault(root: str, change: str, call: str, is_done: str, nth: str) -> None:
    """Says "answered" when the client has been told that it is done, and how many calls matched."""
    with barnabas.Broker(root, config=CONFIG) as broker:
        matched = _kill_at(call, f"{root}/*", is_done == "done", int(nth))
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        if change == "create":
            future = admin.create_topics([NewTopic("t", 3, 1, config=TOPIC_CONFIG)])["t"]
        elif change == "grow":
            future = admin.create_partitions([NewPartitions("t", 6)])["t"]
        else:
            future = admin.delete_topics(["t"])["t"]
        future.result(TIMEOUT_S)
        print("answered", flush=True)
        if change == "delete":
            await_true(lambda: not list(Path(root).glob("t-*")))
        print(f"matched {matched()}", flush=True)
        os._exit(0)  # a stop has steps of its own


def _kill_at(call: Any, pattern: str, is_done: bool, nth: int) -> Callable[[], int]:
    """How many calls there were, from now on."""
    if call == "commit":
        return _kill_at_commit(is_done, nth)
    from barnabas.testing import faults

    fault = faults.kill(call, pattern, is_done=is_done, nth=nth)
    return lambda: fault.matched


def _kill_at_commit(is_done: bool, nth: int) -> Callable[[], int]:
    from barnabas.metadata.sqlite import SqliteStore
    from barnabas.metadata.store import Change

    commit = SqliteStore.commit
    count = 0

    def commit_or_die(self: SqliteStore, changes: Sequence[Change]) -> None:
        nonlocal count
        count += 1
        if count == nth and not is_done:
            os.kill(os.getpid(), 9)
        commit(self, changes)
        if count == nth:
            os.kill(os.getpid(), 9)

    # In the child, whose one store is to die at its commit.
    SqliteStore.commit = commit_or_die  # type: ignore[method-assign]
    return lambda: count


# -- what there is


@dataclass(frozen=True)
class Topic:
    """As metadata has it."""

    topic_id: str
    partitions: int


def find(broker: barnabas.Broker, name: str) -> Topic | None:
    """A topic, all of whose partitions have a leader; None when it is unknown."""
    with WireClient(broker.bootstrap_servers) as client:
        asked = [{"name": name, "topic_id": None}]
        (found,) = client.ask("Metadata", 12, topics=asked, allow_auto_topic_creation=False).topics
    if found.error_code == UNKNOWN_TOPIC:
        return None
    assert found.error_code == 0
    assert sorted(p.partition_index for p in found.partitions) == [*range(len(found.partitions))]
    assert {(int(p.error_code), int(p.leader_id)) for p in found.partitions} == {(0, 1)}
    return Topic(str(found.topic_id), len(found.partitions))


def produce(broker: barnabas.Broker, topic: str, partitions: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0})
    errors: list[object] = []
    for number in range(partitions * RECORDS):
        producer.produce(
            topic,
            b"%d" % number,
            partition=number % partitions,
            on_delivery=lambda error, _: errors.append(error),
        )
    assert producer.flush(TIMEOUT_S) == 0
    assert errors == [None] * (partitions * RECORDS)


def read(broker: barnabas.Broker, topic: str, partitions: int) -> list[tuple[int, int]]:
    """(partition, offset) of every record."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "g",
            "enable.auto.commit": False,
        }
    )
    where = [TopicPartition(topic, index, 0) for index in range(partitions)]
    ends = [consumer.get_watermark_offsets(at, timeout=TIMEOUT_S) for at in where]
    consumer.assign(where)
    found: list[tuple[int, int]] = []
    for _ in range(sum(end[1] - end[0] for end in ends if end is not None)):
        message = consumer.poll(TIMEOUT_S)
        assert message is not None
        assert message.error() is None
        found.append((message.partition() or 0, message.offset() or 0))
    consumer.close()
    return sorted(found)


def every_record(partitions: int) -> list[tuple[int, int]]:
    return [(index, offset) for index in range(partitions) for offset in range(RECORDS)]


def expect_directories(root: Path, topics: dict[str, int]) -> None:
    """Those of the topics, soon, and nothing that is left over."""
    expected = {f"{name}-{index}" for name, count in topics.items() for index in range(count)}

    def present() -> set[str]:
        names = {path.name for path in root.iterdir() if path.is_dir()}
        return {name for name in names if not name.startswith("__")}  # the reader's coordinator's

    deadline = time.monotonic() + TIMEOUT_S
    while present() != expected:
        assert time.monotonic() < deadline, f"{present()}, not {expected}"
        time.sleep(0.05)
    assert not list(root.rglob("*.tmp"))


# -- the tests


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Topic | None]]:
    """For each change the directory that it begins with, and topic `t` in it."""
    made = {}
    for change in ("create", "grow", "delete"):
        root = tmp_path_factory.mktemp(change)
        with barnabas.Broker(root, config=CONFIG) as broker:
            broker.create_topic("other")
            produce(broker, "other", 1)
            if change != "create":
                broker.create_topic("t", partitions=3, config=TOPIC_CONFIG)
                produce(broker, "t", 3)
            made[change] = (root, find(broker, "t"))
    return made


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_done", ["done", "not done"])
@pytest.mark.parametrize(
    ("change", "call"), [(change, call) for change, calls in CALLS.items() for call in calls]
)
def test_a_kill_at_any_step_leaves_a_change_of_topics_done_or_not_done(
    before: dict[str, tuple[Path, Topic | None]],
    kill_at_steps: Callable[..., int],
    measured: Callable[[str], None],
    *,
    change: str,
    call: str,
    is_done: str,
) -> None:
    start, old = before[change]
    outcomes = {"done": 0, "not done": 0}

    def check(root: Path, run: Ended) -> None:
        has_changed = _expect_done_or_not_done(root, change, old, "answered" in run.output)
        if run.returncode != 0:
            outcomes["done" if has_changed else "not done"] += 1

    child, share = change_under_fault, SHARES[call]
    total = kill_at_steps(
        start, share, child, change, call, is_done, check=check, timeout_s=TIMEOUT_S
    )
    measured(f"{sum(outcomes.values())} kills, there are {total} steps: {outcomes}")


def _expect_done_or_not_done(root: Path, change: str, old: Topic | None, is_sure: bool) -> bool:
    """Whether it is done, which it must be when it was answered."""
    with barnabas.Broker(root, config=CONFIG) as broker:
        topic = find(broker, "t")
        has_changed = topic is None if change == "delete" else topic is not None and topic != old
        assert has_changed or not is_sure
        count = 0 if topic is None else topic.partitions
        assert count == {
            ("create", True): 3,
            ("grow", False): 3,
            ("grow", True): 6,
            ("delete", False): 3,
        }.get((change, has_changed), 0)
        if topic is not None and old is not None:
            assert topic.topic_id == old.topic_id
            assert read(broker, "t", count) == every_record(3)
        elif topic is not None:
            produce(broker, "t", count)
            assert read(broker, "t", count) == every_record(3)
        assert read(broker, "other", 1) == every_record(1)
        expect_directories(root, {"other": 1, "t": count})
    with barnabas.Broker(root, config=CONFIG) as broker:
        assert find(broker, "t") == topic, "another start sees something else"
        if topic is not None:
            broker.delete_topic("t")
        broker.create_topic("t", partitions=2, config=TOPIC_CONFIG)
        anew = find(broker, "t")
        assert anew is not None
        assert old is None or anew.topic_id != old.topic_id
        produce(broker, "t", 2)
        assert read(broker, "t", 2) == every_record(2)
    with barnabas.Broker(root, config=CONFIG) as broker:
        assert find(broker, "t") == anew
        assert read(broker, "t", 2) == every_record(2)
        expect_directories(root, {"other": 1, "t": 2})
    return has_changed
