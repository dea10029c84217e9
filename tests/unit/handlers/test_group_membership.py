"""JoinGroup, SyncGroup, Heartbeat, LeaveGroup and FindCoordinator, in every version."""

from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from barnabas.errors import KafkaError
from unit.handlers.group_broker import GroupBroker, join, join_fields, run, sync, versions


async def find_coordinator(broker: GroupBroker, version: int, key_type: int = 0) -> list[Any]:
    response = await broker.ask(
        "FindCoordinator", version, key="g", key_type=key_type, coordinator_keys=["g", "h"]
    )
    return list(response.coordinators) if version >= 4 else [response]


@pytest.mark.parametrize("version", versions("FindCoordinator"))
def test_this_broker_coordinates_and_makes_the_topic(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        for answer in await find_coordinator(broker, version):
            assert (answer.node_id, answer.host, answer.port) == (1, "broker.test", 9092)
            assert answer.error_code is ErrorCode.none
        assert broker.offsets_topic.exists

    run(scenario)


@pytest.mark.parametrize("key_type", [2, 9])
@pytest.mark.parametrize("version", range(1, 7))
def test_coordinators_that_do_not_exist_are_refused_at_once(version: int, key_type: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        for answer in await find_coordinator(broker, version, key_type):
            assert answer.error_code is ErrorCode.invalid_request
            assert answer.error_message
            assert (answer.node_id, answer.port) == (-1, -1)

    run(scenario)


def test_coordinator_is_unavailable_while_its_topic_cannot_be_made() -> None:
    async def scenario(broker: GroupBroker) -> None:
        async def fail() -> int:
            raise KafkaError(ErrorCode.kafka_storage_error, "disk full")

        broker.offsets_topic.ensure = fail  # type: ignore[method-assign]
        (answer,) = await find_coordinator(broker, 3)
        assert answer.error_code is ErrorCode.coordinator_not_available

    run(scenario)


@pytest.mark.parametrize("version", versions("JoinGroup"))
def test_member_joins_and_leads(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        first = await broker.ask("JoinGroup", version, **join_fields())
        is_told_its_id = first.error_code is ErrorCode.member_id_required
        assert is_told_its_id == (version >= 4)
        assert first.member_id.startswith("client-")
        joined = await join(broker, version, member_id=first.member_id)
        assert joined.error_code is ErrorCode.none
        assert joined.generation_id == 1
        assert joined.leader == joined.member_id
        assert joined.protocol_name == "range"
        assert [(m.member_id, m.metadata) for m in joined.members] == [(joined.member_id, b"meta")]

    run(scenario)


@pytest.mark.parametrize("version", versions("JoinGroup"))
def test_refused_join_names_no_protocol(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        refused = await broker.ask("JoinGroup", version, **join_fields(session_timeout=1))
        assert refused.error_code is ErrorCode.invalid_session_timeout
        assert refused.protocol_name == ("" if version < 7 else None)
        assert refused.generation_id == -1

    run(scenario)


@pytest.mark.parametrize("version", versions("JoinGroup"))
def test_without_the_offsets_topic_clients_look_for_the_coordinator_again(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        refused = await broker.ask("JoinGroup", version, **join_fields())
        assert refused.error_code is ErrorCode.not_coordinator

    run(scenario)


@pytest.mark.parametrize("version", versions("SyncGroup"))
def test_leader_gets_the_share_it_gave_itself(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        joined = await join(broker)
        synced = await sync(broker, joined, version)
        assert synced.error_code is ErrorCode.none
        assert synced.assignment == b"share"
        if version >= 5:
            assert (synced.protocol_type, synced.protocol_name) == ("consumer", "range")

    run(scenario)


def test_newest_sync_must_name_the_protocol() -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        joined = await join(broker)
        refused = await sync(broker, joined, protocol_name=None)
        assert refused.error_code is ErrorCode.inconsistent_group_protocol

    run(scenario)


@pytest.mark.parametrize("version", versions("Heartbeat"))
def test_heartbeat_tells_members_from_strangers(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        joined = await join(broker)
        beat = {"group_id": "g", "generation_id": 1, "group_instance_id": None}
        response = await broker.ask("Heartbeat", version, member_id=joined.member_id, **beat)
        assert response.error_code is ErrorCode.none
        response = await broker.ask("Heartbeat", version, member_id="stranger", **beat)
        assert response.error_code is ErrorCode.unknown_member_id

    run(scenario)


@pytest.mark.parametrize("version", versions("LeaveGroup"))
def test_member_leaves_and_a_stranger_cannot(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        joined = await join(broker)
        for member_id, error in [
            ("stranger", ErrorCode.unknown_member_id),
            (joined.member_id, ErrorCode.none),
            (joined.member_id, ErrorCode.unknown_member_id),
        ]:
            member = {"member_id": member_id, "group_instance_id": None, "reason": "bye"}
            response = await broker.ask(
                "LeaveGroup", version, group_id="g", member_id=member_id, members=[member]
            )
            if version >= 3:
                assert response.error_code is ErrorCode.none
                assert [m.error_code for m in response.members] == [error]
            else:
                assert response.error_code is error

    run(scenario)


@pytest.mark.parametrize("version", [3, 4, 5])
def test_several_members_leave_at_once_each_with_its_own_result(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        await join(broker, group_instance_id="i")
        members = [
            {"member_id": "", "group_instance_id": "i", "reason": None},
            {"member_id": "x", "group_instance_id": None, "reason": None},
        ]
        response = await broker.ask("LeaveGroup", version, group_id="g", members=members)
        assert [(m.group_instance_id, m.error_code) for m in response.members] == [
            ("i", ErrorCode.none),
            (None, ErrorCode.unknown_member_id),
        ]

    run(scenario)


def test_static_leader_that_is_back_skips_the_assignment_in_the_newest_version() -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        joined = await join(broker, group_instance_id="i")
        await sync(broker, joined, group_instance_id="i")
        back = await join(broker, group_instance_id="i")
        assert back.skip_assignment
        assert back.generation_id == 1
        assert back.member_id != joined.member_id
        assert [m.group_instance_id for m in back.members] == ["i"]
        again = await join(broker, 8, group_instance_id="i")
        assert again.leader == back.member_id
        assert again.members == ()

    run(scenario)
