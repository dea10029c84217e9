"""Commits of many groups at once while a log directory stalls: only its own groups wait."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import barnabas
from barnabas.coordinator.routing import partition_for
from barnabas.testing import faults
from unit.handlers.test_log_dirs import await_true
from unit.wire import API_BY_NAME, WireClient, request_message

GROUPS = [f"group-{number}" for number in range(24)]
PARTITIONS = 8
COMMIT, VERSION = API_BY_NAME["OffsetCommit"], 8


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in "ab"]


@pytest.fixture
def broker(dirs: list[Path]) -> Iterator[barnabas.Broker]:
    config = {"log.dirs": ",".join(map(str, dirs)), "offsets.topic.num.partitions": str(PARTITIONS)}
    with barnabas.Broker(config=config) as running:
        running.create_topic("t")
        yield running


def send_commit(client: WireClient, group: str, offset: int) -> None:
    partition = {"partition_index": 0, "committed_offset": offset, "committed_metadata": ""}
    values = {
        "group_id": group,
        "generation_id_or_member_epoch": -1,
        "member_id": "",
        "topics": [{"name": "t", "partitions": [partition]}],
    }
    client.send(COMMIT, VERSION, request_message(COMMIT, VERSION, values))


def error_of(client: WireClient) -> int:
    (topic,) = client.receive(COMMIT, VERSION).topics
    return int(topic.partitions[0].error_code)


def test_groups_in_another_directory_do_not_wait(broker: barnabas.Broker, dirs: list[Path]) -> None:
    core = broker.services.core
    with ExitStack() as stack:
        clients = {
            group: stack.enter_context(WireClient(broker.bootstrap_servers)) for group in GROUPS
        }
        first = clients[GROUPS[0]]
        await_true(lambda: first.ask("FindCoordinator", 0, key="g").error_code == 0)

        def is_in(group: str, directory: Path) -> bool:
            partition = partition_for(group, PARTITIONS)
            return core.partition_info("__consumer_offsets", partition).directory == str(directory)

        stuck = [group for group in GROUPS if is_in(group, dirs[0])]
        others = [group for group in GROUPS if group not in stuck]
        assert stuck
        assert others
        with faults.hold("write", f"{dirs[0]}/__consumer_offsets-*/*.log"):
            for offset in (1, 2):
                for group in GROUPS if offset == 1 else others:
                    send_commit(clients[group], group, offset)
                assert {error_of(clients[group]) for group in others} == {0}
            groups = broker.services.groups
            await_true(lambda: [g for g in GROUPS if groups.is_unstable(g, "t", 0)] == stuck)
        assert {error_of(clients[group]) for group in stuck} == {0}
        assert not [g for g in GROUPS if groups.is_unstable(g, "t", 0)]
