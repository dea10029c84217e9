"""DescribeGroups, ListGroups and DeleteGroups, in every version."""

import pytest
from kio.schema.errors import ErrorCode

from unit.handlers.group_broker import GroupBroker, commit, join, run, sync, versions


@pytest.mark.parametrize("version", versions("DescribeGroups"))
def test_stable_group_is_described_with_its_members(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        joined = await join(broker, group_instance_id="i")
        await sync(broker, joined, group_instance_id="i")
        response = await broker.ask(
            "DescribeGroups", version, groups=["g"], include_authorized_operations=True
        )
        (group,) = response.groups
        assert group.error_code is ErrorCode.none
        assert group.group_state == "Stable"
        assert (group.protocol_type, group.protocol_data) == ("consumer", "range")
        (member,) = group.members
        assert member.member_id == joined.member_id
        assert (member.client_id, member.client_host) == ("client", "/10.0.0.1")
        assert (member.member_metadata, member.member_assignment) == (b"meta", b"share")
        if version >= 3:
            assert group.authorized_operations == 0b1101_0100_1000
        if version >= 4:
            assert member.group_instance_id == "i"

    run(scenario)


@pytest.mark.parametrize("version", versions("DescribeGroups"))
def test_unknown_group_is_dead(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        response = await broker.ask(
            "DescribeGroups", version, groups=["x"], include_authorized_operations=False
        )
        (group,) = response.groups
        assert (group.group_id, group.group_state, group.members) == ("x", "Dead", ())
        newest = ErrorCode.group_id_not_found
        assert group.error_code is (newest if version >= 6 else ErrorCode.none)
        if version >= 3:
            assert group.authorized_operations == -(2**31)

    run(scenario)


@pytest.mark.parametrize("version", versions("ListGroups"))
def test_groups_are_listed_with_state_and_type(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        await join(broker)
        await commit(broker, 1, group_id="simple")
        response = await broker.ask("ListGroups", version)
        assert response.error_code is ErrorCode.none
        listed = {group.group_id: group for group in response.groups}
        assert {name: group.protocol_type for name, group in listed.items()} == {
            "g": "consumer",
            "simple": "",
        }
        if version >= 4:
            assert listed["g"].group_state == "CompletingRebalance"
            assert listed["simple"].group_state == "Empty"
        if version >= 5:
            assert {group.group_type for group in response.groups} == {"classic"}

    run(scenario)


@pytest.mark.parametrize(
    ("states", "types", "expected"),
    [
        ([], [], {"g", "simple"}),
        (["empty"], [], {"simple"}),
        (["EMPTY", "COMPLETINGREBALANCE"], [], {"g", "simple"}),
        (["Stable"], [], set()),
        ([], ["classic"], {"g", "simple"}),
        ([], ["consumer"], set()),
        (["Empty"], ["CLASSIC", "share"], {"simple"}),
    ],
)
def test_listing_is_filtered_without_regard_to_case(
    states: list[str], types: list[str], expected: set[str]
) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        await join(broker)
        await commit(broker, 1, group_id="simple")
        response = await broker.ask("ListGroups", 5, states_filter=states, types_filter=types)
        assert {group.group_id for group in response.groups} == expected

    run(scenario)


@pytest.mark.parametrize("version", versions("DeleteGroups"))
def test_each_group_to_delete_has_its_own_result(version: int) -> None:
    async def scenario(broker: GroupBroker) -> None:
        await broker.groups.ensure_topic()
        await join(broker)
        await commit(broker, 1, group_id="simple")
        names = ["g", "simple", "x", "simple"]
        response = await broker.ask("DeleteGroups", version, groups_names=names)
        assert [(result.group_id, result.error_code) for result in response.results] == [
            ("g", ErrorCode.non_empty_group),
            ("simple", ErrorCode.none),
            ("x", ErrorCode.group_id_not_found),
        ]
        assert [group.group_id for group in broker.groups.listed()[0]] == ["g"]

    run(scenario)
