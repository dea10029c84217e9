"""Changes of topics while a log directory stalls: those that touch it wait, the others go on."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

import barnabas
from barnabas.testing import faults
from faults.test_write_stall import await_struck, new_producer
from unit.handlers.test_log_dirs import UNKNOWN_TOPIC, await_true, describe, place
from unit.wire import WireClient

TIMEOUT_S = 60
THREADS = 4  # of a directory, for changes of topics
UNTIL_AVOIDED_S = 1.2
"""After so long a directory in which nothing gets on is no place for new partitions."""
CALLS: Final[tuple[faults.Call, ...]] = (
    "open",
    "write",
    "sync",
    "rename",
    "truncate",
    "unlink",
    "make_directory",
)

Change = Callable[[WireClient], int]
"""Asks for it; the error code of the answer."""


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in "ab"]


@pytest.fixture
def broker(dirs: list[Path]) -> Iterator[barnabas.Broker]:
    """With `grows-a`, `set-a` and `gone-a` in the first directory, and so on; what is to be made
    has its place already.
    """
    with barnabas.Broker(config={"log.dirs": ",".join(map(str, dirs))}) as running:
        for directory in dirs:
            for kind in ("grows", "set", "gone"):
                place(running, f"{kind}-{directory.name}", directory)
            prefer(running, f"grows-{directory.name}", 1, directory)
            prefer(running, f"new-{directory.name}", 0, directory)
            for number in range(THREADS + 2):
                prefer(running, f"more-{directory.name}{number}", 0, directory)
        expect_written(running, {"set-a": 1, "set-b": 1})  # their files are open
        yield running


def prefer(broker: barnabas.Broker, topic: str, partition: int, directory: Path) -> None:
    """Where a partition that does not exist is to be made."""
    with WireClient(broker.bootstrap_servers) as client:
        asked = [{"path": str(directory), "topics": [{"name": topic, "partitions": [partition]}]}]
        (result,) = client.ask("AlterReplicaLogDirs", 1, dirs=asked).results
    assert [p.error_code for p in result.partitions] == [UNKNOWN_TOPIC]


def create(name: str) -> Change:
    topic = {
        "name": name,
        "num_partitions": 1,
        "replication_factor": 1,
        "assignments": [],
        "configs": [{"name": "file.delete.delay.ms", "value": "0"}],
    }

    def ask(client: WireClient) -> int:
        (answer,) = client.ask("CreateTopics", 7, topics=[topic], timeout=60_000).topics
        return int(answer.error_code)

    return ask


def grow(name: str) -> Change:
    def ask(client: WireClient) -> int:
        asked = [{"name": name, "count": 2, "assignments": None}]
        (answer,) = client.ask("CreatePartitions", 3, topics=asked, timeout=60_000).results
        return int(answer.error_code)

    return ask


def configure(name: str) -> Change:
    change = {"name": "retention.ms", "config_operation": 0, "value": "12345678"}
    resource = {"resource_type": 2, "resource_name": name, "configs": [change]}

    def ask(client: WireClient) -> int:
        (answer,) = client.ask("IncrementalAlterConfigs", 1, resources=[resource]).responses
        return int(answer.error_code)

    return ask


def delete(name: str) -> Change:
    def ask(client: WireClient) -> int:
        (answer,) = client.ask("DeleteTopics", 6, topics=[{"name": name}]).responses
        return int(answer.error_code)

    return ask


class Changes:
    """Asked for at the same time, each on a connection of its own."""

    def __init__(self, broker: barnabas.Broker, changes: dict[str, Change]) -> None:
        self.answers: dict[str, int] = {}
        self._servers = broker.bootstrap_servers
        self._threads = [
            threading.Thread(target=self._run, args=item, daemon=True) for item in changes.items()
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, name: str, change: Change) -> None:
        with WireClient(self._servers, timeout_s=2 * TIMEOUT_S) as client:
            self.answers[name] = change(client)

    def join(self) -> dict[str, int]:
        for thread in self._threads:
            thread.join(TIMEOUT_S)
        return self.answers


def changes_in(name: str) -> dict[str, Change]:
    """Of topics in one directory; all of them wait for it."""
    changes = {
        "grow": grow(f"grows-{name}"),
        "create anew": create(f"gone-{name}"),
        "create": create(f"new-{name}"),
    }
    return changes | {f"more {i}": create(f"more-{name}{i}") for i in range(THREADS + 2)}


def hold(directory: Path, stack: ExitStack) -> dict[str, faults.Fault]:
    """Every call in the directory waits until the end of the stack."""
    patterns = [str(directory), f"{directory}/*"]
    return {call: stack.enter_context(faults.hold(call, patterns)) for call in CALLS}


def partitions(broker: barnabas.Broker) -> dict[str, int]:
    """How many partitions with a leader each topic has."""
    with WireClient(broker.bootstrap_servers) as client:
        found = client.ask("Metadata", 12, topics=None).topics
    assert {int(p.error_code) for topic in found for p in topic.partitions} == {0}
    return {topic.name: len(topic.partitions) for topic in found}


def expected(name: str) -> dict[str, int]:
    more = {f"more-{name}{i}": 1 for i in range(THREADS + 2)}
    return {f"grows-{name}": 2, f"set-{name}": 1, f"gone-{name}": 1, f"new-{name}": 1, **more}


def expect_written(broker: barnabas.Broker, topics: dict[str, int]) -> None:
    producer = new_producer(broker)
    errors: list[Any] = []
    for topic, count in topics.items():
        for number in range(count):
            producer.produce(
                topic, b"v", partition=number, on_delivery=lambda error, _: errors.append(error)
            )
    assert producer.flush(TIMEOUT_S) == 0
    assert errors == [None] * sum(topics.values())


@pytest.mark.parametrize("stalled", [0, 1])
def test_changes_in_a_directory_do_not_wait_for_another(
    stalled: int, broker: barnabas.Broker, dirs: list[Path]
) -> None:
    there, here = dirs[stalled], dirs[1 - stalled]
    with ExitStack() as stack:
        producer = new_producer(broker)
        stack.callback(producer.flush, TIMEOUT_S)
        append = stack.enter_context(faults.hold("write", f"{there}/set-{there.name}-0/*.log"))
        producer.produce(f"set-{there.name}", b"v")
        producer.poll(0)
        await_struck(append)
        held = hold(there, stack)
        with WireClient(broker.bootstrap_servers) as client:
            assert delete(f"gone-{there.name}")(client) == 0
            waiting = Changes(broker, changes_in(there.name))
            await_struck(held["rename"])
            await_struck(held["make_directory"], THREADS - 1)  # one waits for that deletion
            # In the one that gets on; its first change is not the only one.
            assert delete(f"gone-{here.name}")(client) == 0
            assert configure(f"set-{here.name}")(client) == 0
            assert configure(f"set-{there.name}")(client) == 0  # no file is needed for that
        done = Changes(broker, changes_in(here.name))
        assert done.join() == dict.fromkeys(changes_in(here.name), 0)
        assert not waiting.answers
        expect_written(broker, expected(here.name))
        assert partitions(broker) == {
            **expected(here.name),
            f"grows-{there.name}": 1,
            f"set-{there.name}": 1,
        }
    assert waiting.join() == dict.fromkeys(changes_in(there.name), 0)
    assert partitions(broker) == {**expected("a"), **expected("b")}
    expect_written(broker, expected("a") | expected("b"))
    for directory in dirs:
        assert describe(broker, f"new-{directory.name}").keys() == {directory.name}
    await_true(lambda: not list(there.glob("*-delete")))


def test_new_topics_avoid_a_directory_in_which_nothing_gets_on(
    broker: barnabas.Broker, dirs: list[Path]
) -> None:
    with ExitStack() as stack:
        held = hold(dirs[1], stack)
        waiting = Changes(broker, {"create": create("new-b")})
        await_struck(held["make_directory"])
        time.sleep(UNTIL_AVOIDED_S)
        names = [f"anywhere{number}" for number in range(6)]
        with WireClient(broker.bootstrap_servers, timeout_s=TIMEOUT_S) as client:
            assert [create(name)(client) for name in names] == [0] * len(names)
        assert not waiting.answers
    assert waiting.join() == {"create": 0}
    assert {path.name for path in dirs[0].glob("anywhere*")} == {f"{name}-0" for name in names}
    with WireClient(broker.bootstrap_servers) as client:
        assert create("later0")(client) == create("later1")(client) == 0
    assert {path.name for path in dirs[1].glob("later*")}, "it gets on again"
