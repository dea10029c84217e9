"""Groups in the real log: read back by us, and by Apache Kafka's own tool."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from barnabas._core import Core
from barnabas.coordinator.group_coordinator import GroupCoordinator
from barnabas.coordinator.hand_over import HandOver
from barnabas.coordinator.routing import partition_for
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.responses import JoinResponse
from peers.java import ToolShell, have_java
from unit.coordinator.fake_log import is_loading
from unit.coordinator.test_group_coordinator import (
    ask,
    commit_request,
    form_group,
    run,
    until,
)
from unit.core_appends import create_partitions

TOPIC = "__consumer_offsets"
TOPIC_ID = bytes(range(16))
PARTITIONS = 5
CONFIG = GroupConfig(initial_rebalance_delay_ms=0)


class OffsetsTopic:
    def __init__(self, core: Core, settings: dict[str, int | str | bool], exists: bool) -> None:
        self.core = core
        self.settings = settings
        self.exists = exists

    def partition_count(self) -> int | None:
        return PARTITIONS if self.exists else None

    async def ensure(self) -> int:
        epochs = [(partition, 0) for partition in range(PARTITIONS)]
        create_partitions(self.core, TOPIC, TOPIC_ID, epochs, self.settings)
        return PARTITIONS

    def has_topic(self, topic: str) -> bool:
        return topic == "t"

    def topic_id(self, topic: str) -> bytes | None:
        return None

    def partition_error(self, topic: str, partition: int, topic_id: bytes) -> ErrorCode:
        exists = self.has_topic(topic)
        return ErrorCode.none if exists else ErrorCode.unknown_topic_or_partition


class StoredGroups:
    """A coordinator over a data directory, new or not."""

    def __init__(self, directory: Path, **settings: int | str | bool) -> None:
        exists = directory.exists()
        self.core = Core({})
        self.core.open_directories([str(directory)], "cluster", 1)
        if exists:
            partitions = [(TOPIC, TOPIC_ID, partition, 0) for partition in range(PARTITIONS)]
            self.core.load_partitions(partitions, {TOPIC: settings})
        else:
            directory.mkdir(exist_ok=True)
        self.groups = GroupCoordinator(
            self.core,
            HandOver(self.core, asyncio.get_running_loop()),
            CONFIG,
            OffsetsTopic(self.core, settings, exists),
        )

    async def __aenter__(self) -> GroupCoordinator:
        self.core.start()
        await self.groups.start()
        if not self.groups.is_open:
            await self.groups.ensure_topic()
        await until(lambda: not is_loading(self.groups))
        return self.groups

    async def __aexit__(self, *_: object) -> None:
        await self.groups.stop()
        self.core.stop(1000)


async def make_groups(groups: GroupCoordinator) -> JoinResponse:
    joined = await form_group(groups, "g")
    for request in (commit_request("h", 41), commit_request("h", 42)):
        response: Any = await ask(partial(groups.commit, request))
        assert response.error is ErrorCode.none
    await ask(lambda reply: groups.commit(commit_request("gone", 1), reply))
    assert await ask(lambda reply: groups.delete_group("gone", reply)) is ErrorCode.none
    return joined


def session(
    directory: Path,
    scenario: Callable[[GroupCoordinator], Awaitable[None]],
    **settings: int | str | bool,
) -> None:
    """Runs a scenario on the directory and lets go of it."""

    async def hold() -> None:
        async with StoredGroups(directory, **settings) as groups:
            await scenario(groups)

    run(hold)
    gc.collect()  # the directory stays locked as long as the core lives


@pytest.mark.parametrize("flush_messages", [1, 2**63 - 1])
def test_groups_are_read_back_from_the_log(tmp_path: Path, flush_messages: int) -> None:
    settings = {"flush.messages": flush_messages}
    members: list[str] = []

    async def before(groups: GroupCoordinator) -> None:
        members.append((await make_groups(groups)).member_id)

    async def after(groups: GroupCoordinator) -> None:
        assert {group.group_id for group in groups.listed()[0]} == {"g", "h"}
        assert groups.heartbeat("g", members[0], None, 1) is ErrorCode.none
        assert groups.committed("h")[0]["t"][0].offset == 42

    session(tmp_path / "data", before, **settings)
    session(tmp_path / "data", after, **settings)


def test_thousands_of_groups_are_read_back(tmp_path: Path) -> None:
    async def before(groups: GroupCoordinator) -> None:
        replies: list[object] = []
        for number in range(5000):
            groups.commit(commit_request(f"group-{number}", number), replies.append)
        await until(lambda: len(replies) == 5000)

    async def after(groups: GroupCoordinator) -> None:
        assert len(groups.listed()[0]) == 5000
        assert groups.committed("group-4999")[0]["t"][0].offset == 4999

    session(tmp_path / "data", before)
    session(tmp_path / "data", after)


@pytest.mark.java
@pytest.mark.skipif(not have_java(), reason="needs a JDK and Maven")
def test_kafkas_dump_tool_reads_what_we_store(tmp_path: Path) -> None:
    async def scenario(groups: GroupCoordinator) -> None:
        await make_groups(groups)
        retention = commit_request("r", 7)
        retention.retention_ms = 1000
        await ask(lambda reply: groups.commit(retention, reply))
        by_id = commit_request("i", 8)
        by_id.offsets = [by_id.offsets[0]._replace(topic_id=bytes(range(16)))]
        await ask(lambda reply: groups.commit(by_id, reply))

    session(tmp_path / "data", scenario)

    def dump(group: str) -> str:
        directory = tmp_path / "data" / f"{TOPIC}-{partition_for(group, PARTITIONS)}"
        return shell.dump_log_segments([directory / f"{0:020}.log"], "--offsets-decoder")

    with ToolShell() as shell:
        commits = dump("h")
        assert '"group":"h","topic":"t","partition":0' in commits
        assert '"version":"4"' in commits
        assert '"offset":42' in commits
        metadata = dump("g")
        assert '"protocolType":"consumer"' in metadata
        assert '"generation":1' in metadata
        assert '"protocol":"range"' in metadata
        assert '"clientHost":"/127.0.0.1"' in metadata
        assert '"expireTimestamp"' in dump("r")
        assert '"topicId":"AAECAwQFBgcICQoLDA0ODw"' in dump("i")
        assert "payload: <DELETE>" in dump("gone")
