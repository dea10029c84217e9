"""OffsetCommit, OffsetFetch and OffsetDelete, in every version."""

import asyncio
import uuid
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from barnabas.state.group.config import GroupConfig
from unit.coordinator.fake_log import is_loading
from unit.handlers.group_broker import (
    CONFIG,
    TOPIC_ID,
    GroupBroker,
    commit,
    fetch,
    join,
    run,
    sync,
    versions,
)

NOTHING = (-1, "")


def offsets(topic: Any) -> list[tuple[int, str]]:
    return [(item.committed_offset, item.metadata) for item in topic.partitions]


@pytest.mark.parametrize("version", versions("OffsetCommit"))
def test_commit_of_any_version_is_fetched_back(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        assert await commit(broker, 42, version) is ErrorCode.none
        fetched = await fetch(broker)
        assert offsets(fetched.topics[0]) == [(42, "note"), NOTHING]
        epoch = fetched.topics[0].partitions[0].committed_leader_epoch
        assert epoch == (3 if version >= 6 else -1)

    run(scenario)


@pytest.mark.parametrize("version", versions("OffsetFetch"))
def test_fetch_of_any_version_finds_the_offset(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        assert await commit(broker, 42, metadata=None) is ErrorCode.none
        fetched = await fetch(broker, version)
        assert offsets(fetched.topics[0]) == [(42, ""), NOTHING]
        if version >= 2:
            assert fetched.error_code is ErrorCode.none
        if version >= 10:
            assert fetched.topics[0].topic_id == TOPIC_ID

    run(scenario)


@pytest.mark.parametrize("version", versions("OffsetFetch"))
def test_unknown_group_has_no_offsets(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        fetched = await fetch(broker, version)
        assert offsets(fetched.topics[0]) == [NOTHING, NOTHING]

    run(scenario)


@pytest.mark.parametrize("version", range(2, 11))
def test_null_topics_mean_all(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        broker.add_topic("u", uuid.UUID(int=8))
        await commit(broker, 1)
        await commit(broker, 2, topic="u", partition=1)
        group = {"group_id": "g", "member_id": None, "topics": None}
        response = await broker.ask("OffsetFetch", version, **group, groups=[group])
        topics = response.groups[0].topics if version >= 8 else response.topics
        assert [offsets(topic) for topic in topics] == [[(1, "note")], [(2, "note")]]

    run(scenario)


@pytest.mark.parametrize("version", versions("OffsetFetch"))
def test_loading_group_is_not_reported_as_without_offsets(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        await commit(broker, 42)
        await broker.groups.stop()
        broker.log.reads_allowed.clear()
        successor = GroupBroker()
        successor.offsets_topic.exists = True
        successor.groups._core = broker.log
        await successor.groups.start()
        loading = ErrorCode.coordinator_load_in_progress
        fetched = await fetch(successor, version)
        if version >= 2:
            assert fetched.error_code is loading
        else:
            assert [item.error_code for item in fetched.topics[0].partitions] == [loading] * 2
        assert await commit(successor, 43) is loading
        broker.log.reads_allowed.set()
        while is_loading(successor.groups):
            await asyncio.sleep(0.001)
        assert offsets((await fetch(successor, version)).topics[0]) == [(42, "note"), NOTHING]
        await successor.groups.stop()

    run(scenario)


def test_several_groups_are_fetched_at_once() -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        await commit(broker, 1)
        await commit(broker, 2, group_id="h")
        groups = [{"group_id": name, "member_id": None, "topics": None} for name in "ghi"]
        response = await broker.ask("OffsetFetch", 8, groups=groups)
        found = [[offsets(topic) for topic in group.topics] for group in response.groups]
        assert found == [[[(1, "note")]], [[(2, "note")]], []]

    run(scenario)


@pytest.mark.parametrize("version", versions("OffsetCommit"))
def test_commit_for_an_unknown_topic_or_partition_is_refused(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        unknown_partition = await commit(broker, 1, version, partition=2)
        assert unknown_partition is ErrorCode.unknown_topic_or_partition
        nowhere = {"topic": "nowhere", "topic_id": uuid.UUID(int=99)}
        error = await commit(broker, 1, version, **nowhere)
        by_id = ErrorCode.unknown_topic_id
        assert error is (by_id if version >= 10 else ErrorCode.unknown_topic_or_partition)
        assert broker.groups.listed()[0] == []

    run(scenario)


def test_unknown_topic_id_is_an_error_of_the_fetch() -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        fetched = await fetch(broker, 10, topic_id=uuid.UUID(int=99))
        codes = [item.error_code for item in fetched.topics[0].partitions]
        assert codes == [ErrorCode.unknown_topic_id] * 2

    run(scenario)


def test_offset_of_an_earlier_topic_of_the_same_name_is_not_used() -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        await commit(broker, 42, version=10)
        broker.catalog.remove("t")
        broker.add_topic("t", uuid.UUID(int=9))
        fetched = await fetch(broker, 10, topic_id=uuid.UUID(int=9))
        assert offsets(fetched.topics[0]) == [NOTHING, NOTHING]

    run(scenario)


@pytest.mark.parametrize("version", versions("OffsetCommit"))
def test_commit_of_a_stranger_is_refused(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        joined = await join(broker)
        await sync(broker, joined)
        assert await commit(broker, 1, version) is ErrorCode.unknown_member_id
        member = {"member_id": joined.member_id}
        old = {**member, "generation_id_or_member_epoch": 0}
        assert await commit(broker, 1, version, **old) is ErrorCode.illegal_generation
        current = {**member, "generation_id_or_member_epoch": 1}
        assert await commit(broker, 1, version, **current) is ErrorCode.none

    run(scenario)


@pytest.mark.parametrize("version", versions("OffsetCommit"))
def test_commit_with_a_generation_to_no_group(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        error = await commit(broker, 1, version, generation_id_or_member_epoch=1)
        newer = ErrorCode.group_id_not_found
        assert error is (newer if version >= 9 else ErrorCode.illegal_generation)

    run(scenario)


def test_one_bad_partition_does_not_spoil_the_others() -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        partitions = [
            {
                "partition_index": index,
                "committed_offset": 5,
                "committed_leader_epoch": -1,
                "committed_metadata": metadata,
            }
            for index, metadata in [(0, "x" * 10), (1, "ok"), (2, "ok")]
        ]
        response = await broker.ask(
            "OffsetCommit",
            8,
            group_id="g",
            generation_id_or_member_epoch=-1,
            member_id="",
            topics=[{"name": "t", "partitions": partitions}],
        )
        assert [item.error_code for item in response.topics[0].partitions] == [
            ErrorCode.offset_metadata_too_large,
            ErrorCode.none,
            ErrorCode.unknown_topic_or_partition,
        ]
        assert offsets((await fetch(broker)).topics[0]) == [NOTHING, (5, "ok")]

    run(scenario, GroupConfig(offset_metadata_max_bytes=4))


def test_offset_on_its_way_is_unstable_for_those_who_ask() -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        broker.log.is_held = True
        pending = asyncio.ensure_future(commit(broker, 5))
        while not broker.log.held:
            await asyncio.sleep(0.001)
        topic = {"name": "t", "partition_indexes": [0]}
        for require_stable, error in [
            (True, ErrorCode.unstable_offset_commit),
            (False, ErrorCode.none),
        ]:
            response = await broker.ask(
                "OffsetFetch", 7, group_id="g", topics=[topic], require_stable=require_stable
            )
            (partition,) = response.topics[0].partitions
            assert (partition.committed_offset, partition.error_code) == (-1, error)
        broker.log.release_from_another_thread()
        assert await pending is ErrorCode.none

    run(scenario)


async def delete_offset(broker: GroupBroker, topic: str, partition: int) -> Any:
    return await broker.ask(
        "OffsetDelete",
        0,
        group_id="g",
        topics=[{"name": topic, "partitions": [{"partition_index": partition}]}],
    )


def test_offset_is_deleted() -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        missing = await delete_offset(broker, "t", 0)
        assert missing.error_code is ErrorCode.group_id_not_found
        await commit(broker, 5)
        for topic, partition, error in [
            ("t", 0, ErrorCode.none),
            ("t", 9, ErrorCode.unknown_topic_or_partition),
            ("nowhere", 0, ErrorCode.unknown_topic_or_partition),
        ]:
            response = await delete_offset(broker, topic, partition)
            assert response.error_code is ErrorCode.none
            assert response.topics[0].partitions[0].error_code is error
        assert offsets((await fetch(broker)).topics[0]) == [NOTHING, NOTHING]

    run(scenario)


def test_offset_of_a_topic_that_members_may_read_is_not_deleted() -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        joined = await join(broker)
        await sync(broker, joined)
        response = await delete_offset(broker, "t", 0)
        (partition,) = response.topics[0].partitions
        assert partition.error_code is ErrorCode.group_subscribed_to_topic

    run(scenario, CONFIG)
