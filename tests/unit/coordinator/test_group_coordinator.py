"""The coordinator on a loop, over a log in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.coordinator.group_coordinator import GroupCoordinator
from barnabas.coordinator.hand_over import HandOver, LogAppend
from barnabas.coordinator.routing import partition_for
from barnabas.state.effects import Marker, Producer
from barnabas.state.group.commit import CommitRequest, OffsetToCommit
from barnabas.state.group.config import GroupConfig
from barnabas.state.group.join import JoinRequest
from barnabas.state.group.liveness import Leaver
from barnabas.state.group.member import Protocol
from barnabas.state.group.responses import JoinResponse, SyncResponse
from barnabas.state.group.sync import SyncRequest
from unit.coordinator.fake_log import FakeLog, FakeOffsetsTopic, is_loading

PARTITIONS = 50
QUICK = GroupConfig(initial_rebalance_delay_ms=0, min_session_timeout_ms=1)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(scenario(), 20)

    asyncio.run(bounded())


async def new_coordinator(log: FakeLog, config: GroupConfig = QUICK) -> GroupCoordinator:
    coordinator = GroupCoordinator(
        log, HandOver(log, asyncio.get_running_loop()), config, FakeOffsetsTopic(exists=False)
    )
    await coordinator.start()
    await coordinator.ensure_topic()
    return coordinator


async def reopened(log: FakeLog, topics: frozenset[str] = frozenset({"t"})) -> GroupCoordinator:
    coordinator = GroupCoordinator(
        log, HandOver(log, asyncio.get_running_loop()), QUICK, FakeOffsetsTopic(True, topics)
    )
    await coordinator.start()
    return coordinator


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def ask(call: Callable[[Callable[[Any], None]], None]) -> Any:
    future = asyncio.get_running_loop().create_future()
    call(future.set_result)
    return await future


def join_request(group: str, member_id: str = "", session_timeout_ms: int = 30_000) -> JoinRequest:
    return JoinRequest(
        group_id=group,
        member_id=member_id,
        group_instance_id=None,
        client_id="c",
        client_host="/127.0.0.1",
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=30_000,
        protocol_type="consumer",
        protocols=(Protocol("range", b""),),
        requires_known_member_id=False,
        supports_skip_assignment=True,
    )


def commit_request(group: str, offset: int, partition: int = 0) -> CommitRequest:
    return CommitRequest(
        group_id=group,
        generation_id=-1,
        member_id="",
        group_instance_id=None,
        retention_ms=-1,
        knows_group_id_not_found=True,
        offsets=[OffsetToCommit("t", partition, offset, -1, "")],
    )


async def form_group(coordinator: GroupCoordinator, group: str) -> JoinResponse:
    joined: JoinResponse = await ask(lambda reply: coordinator.join(join_request(group), reply))
    assert joined.error is ErrorCode.none
    request = SyncRequest(
        group_id=group,
        generation_id=joined.generation_id,
        member_id=joined.member_id,
        group_instance_id=None,
        protocol_type=None,
        protocol_name=None,
        assignments={joined.member_id: b"everything"},
    )
    synced: SyncResponse = await ask(lambda reply: coordinator.sync(request, reply))
    assert synced.assignment == b"everything"
    return joined


def test_group_and_its_offsets_survive_a_restart() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log)
        joined = await form_group(coordinator, "g")
        await ask(lambda reply: coordinator.commit(commit_request("other", 42), reply))
        await coordinator.stop()

        successor = await reopened(log)
        await until(lambda: not is_loading(successor))
        assert successor.heartbeat("g", joined.member_id, None, 1) is ErrorCode.none
        offsets, error = successor.committed("other")
        assert error is ErrorCode.none
        assert offsets["t"][0].offset == 42
        await successor.stop()

    run(scenario)


def test_group_is_stored_in_the_partition_kafka_would_choose() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log)
        await ask(lambda reply: coordinator.commit(commit_request("g", 1), reply))
        assert list(log.batches) == [partition_for("g", PARTITIONS)]
        await coordinator.stop()

    run(scenario)


def test_loading_coordinator_says_so_and_denies_no_group() -> None:
    async def scenario() -> None:
        log = FakeLog()
        log.reads_allowed.clear()
        coordinator = await reopened(log)
        await asyncio.sleep(0)
        loading = ErrorCode.coordinator_load_in_progress
        joined = await ask(lambda reply: coordinator.join(join_request("g"), reply))
        assert joined.error is loading
        committed = await ask(lambda reply: coordinator.commit(commit_request("g", 1), reply))
        assert committed.error is loading
        assert coordinator.committed("g") == ({}, loading)
        assert coordinator.describe("g") == (None, loading)
        assert coordinator.listed() == ([], loading)
        assert await ask(lambda reply: coordinator.delete_group("g", reply)) is loading
        left = await ask(lambda reply: coordinator.leave("g", (Leaver("m", None),), reply))
        assert left.error is loading
        # Thrown out, members would drop their partitions for nothing.
        assert coordinator.heartbeat("g", "m", None, 1) is ErrorCode.none
        log.reads_allowed.set()
        await until(lambda: not is_loading(coordinator))
        assert coordinator.heartbeat("g", "m", None, 1) is ErrorCode.unknown_member_id
        await coordinator.stop()

    run(scenario)


def test_without_the_topic_clients_are_sent_to_look_for_the_coordinator() -> None:
    async def scenario() -> None:
        log = FakeLog()
        topic = FakeOffsetsTopic(exists=False)
        coordinator = GroupCoordinator(log, HandOver(log, asyncio.get_running_loop()), QUICK, topic)
        await coordinator.start()
        assert coordinator.heartbeat("g", "m", None, 1) is ErrorCode.not_coordinator
        assert coordinator.listed() == ([], ErrorCode.none)
        await coordinator.stop()

    run(scenario)


def test_who_leaves_is_answered_when_that_is_stored() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log)
        joined = await ask(lambda reply: coordinator.join(join_request("g"), reply))
        log.is_held = True
        replies: list[object] = []
        coordinator.leave("g", (Leaver(joined.member_id, None),), replies.append)
        await until(lambda: bool(log.held))
        await asyncio.sleep(0.01)
        assert not replies
        log.release_from_another_thread()
        await until(lambda: bool(replies))
        await coordinator.stop()

    run(scenario)


def test_who_leaves_last_is_told_when_that_could_not_be_stored() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log)
        joined = await form_group(coordinator, "g")
        log.error_code = ErrorCode.kafka_storage_error.value
        leaver = (Leaver(joined.member_id, None),)
        left = await ask(lambda reply: coordinator.leave("g", leaver, reply))
        assert left.error is ErrorCode.not_coordinator
        await coordinator.stop()

    run(scenario)


def test_an_answer_that_fails_keeps_nobody_else_waiting() -> None:
    async def scenario() -> None:
        coordinator = await new_coordinator(FakeLog())

        def fail(_response: object) -> None:
            raise RuntimeError("of a client")

        coordinator.commit(commit_request("g", 1), fail)
        answer = await ask(lambda reply: coordinator.commit(commit_request("g", 2), reply))
        assert answer.error is ErrorCode.none
        await coordinator.stop()

    run(scenario)


def test_commits_of_one_loop_pass_share_an_append() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log)
        replies: list[object] = []
        for offset in range(100):
            coordinator.commit(commit_request("g", offset), replies.append)
        await until(lambda: len(replies) == 100)
        assert log.record_counts == [100]
        assert coordinator.committed("g")[0]["t"][0].offset == 99
        await coordinator.stop()

    run(scenario)


def test_commits_beyond_the_batch_limit_are_split() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log)
        replies: list[object] = []
        for partition in range(20_000):
            coordinator.commit(commit_request("g", 1, partition), replies.append)
        await until(lambda: len(replies) == 20_000)
        assert len(log.record_counts) > 1
        assert sum(log.record_counts) == 20_000
        assert max(len(batch) for batches in log.batches.values() for batch in batches) < 1_000_000
        await coordinator.stop()

    run(scenario)


def test_reply_waits_until_the_append_is_durable() -> None:
    async def scenario() -> None:
        log = FakeLog()
        log.is_held = True
        coordinator = await new_coordinator(log)
        replies: list[object] = []
        coordinator.commit(commit_request("g", 1), replies.append)
        await until(lambda: bool(log.held))
        await asyncio.sleep(0.01)
        assert not replies
        assert coordinator.committed("g")[0] == {}
        assert coordinator.is_unstable("g", "t", 0)
        log.release_from_another_thread()
        await until(lambda: bool(replies))
        assert coordinator.committed("g")[0]["t"][0].offset == 1
        assert not coordinator.is_unstable("g", "t", 0)
        await coordinator.stop()

    run(scenario)


def test_failed_append_is_reported_in_the_coordinators_terms() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log)
        for code, told in [
            (ErrorCode.kafka_storage_error, ErrorCode.not_coordinator),
            (ErrorCode.not_enough_replicas, ErrorCode.coordinator_not_available),
            (ErrorCode.message_too_large, ErrorCode.unknown_server_error),
        ]:
            log.error_code = code.value
            response = await ask(lambda reply: coordinator.commit(commit_request("g", 1), reply))
            assert response.error is told
        log.error_code = 0
        response = await ask(lambda reply: coordinator.commit(commit_request("g", 2), reply))
        assert response.error is ErrorCode.none
        await coordinator.stop()

    run(scenario)


def test_commit_that_no_record_can_hold_does_not_harm_the_others() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log)
        good: list[Any] = []
        bad: list[Any] = []
        # Both go to the same partition: the long id is a multiple of the other's hash.
        long_group = next(
            name
            for name in ("x" * 40_000 + str(n) for n in range(1000))
            if partition_for(name, PARTITIONS) == partition_for("g", PARTITIONS)
        )
        coordinator.commit(commit_request(long_group, 1), bad.append)
        coordinator.commit(commit_request("g", 1), good.append)
        await until(lambda: bool(good and bad))
        assert good[0].error is ErrorCode.none
        assert bad[0].error is ErrorCode.unknown_server_error
        await coordinator.stop()

    run(scenario)


def test_silent_member_is_removed_after_its_session_timeout() -> None:
    async def scenario() -> None:
        coordinator = await new_coordinator(FakeLog())
        joined: JoinResponse = await ask(
            lambda reply: coordinator.join(join_request("g", session_timeout_ms=50), reply)
        )
        await until(lambda: coordinator.listed(states=["empty"])[0] != [])
        error = coordinator.heartbeat("g", joined.member_id, None, joined.generation_id)
        assert error is ErrorCode.unknown_member_id
        await coordinator.stop()

    run(scenario)


def test_offsets_expire_while_the_broker_runs() -> None:
    config = GroupConfig(offsets_retention_ms=1, retention_check_interval_ms=20)

    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log, config)
        await ask(lambda reply: coordinator.commit(commit_request("g", 1), reply))
        await until(lambda: coordinator.listed()[0] == [])
        await coordinator.stop()
        successor = await reopened(log)
        await until(lambda: not is_loading(successor))
        assert successor.listed() == ([], ErrorCode.none)
        await successor.stop()

    run(scenario)


def test_offsets_of_topics_deleted_while_the_broker_was_down_are_dropped_at_load() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log)
        await ask(lambda reply: coordinator.commit(commit_request("g", 1), reply))
        await coordinator.stop()
        successor = await reopened(log, topics=frozenset())
        await until(lambda: not is_loading(successor) and successor.committed("g")[0] == {})
        await successor.stop()

    run(scenario)


def test_so_are_those_of_a_transaction_that_is_committed_afterwards() -> None:
    async def scenario() -> None:
        log = FakeLog()
        producer = Producer(7, 0)
        coordinator = await new_coordinator(log)
        pending = replace(commit_request("g", 1), producer=producer)
        await ask(lambda reply: coordinator.commit(pending, reply))
        await coordinator.stop()
        successor = await reopened(log, topics=frozenset())
        await until(lambda: not is_loading(successor))
        marker = Marker(producer, True, 0)
        partition = partition_for("g", PARTITIONS)
        await ask(lambda reply: successor.end_transaction(partition, marker, reply))
        assert successor.committed("g")[0] == {}
        await successor.stop()

    run(scenario)


def test_record_that_cannot_be_read_costs_no_other_group() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log)
        await ask(lambda reply: coordinator.commit(commit_request("g", 1), reply))
        partition = partition_for("g", PARTITIONS)
        junk = ((b"\0\1junk", b"\0\4"), (b"\0\x11", b"of a later protocol"))
        junk_append = LogAppend("__consumer_offsets", partition, junk, None, None)
        log.append_all([junk_append], lambda *_: None)
        await ask(lambda reply: coordinator.commit(commit_request("g", 2), reply))
        await coordinator.stop()
        successor = await reopened(log)
        await until(lambda: not is_loading(successor))
        assert successor.committed("g")[0]["t"][0].offset == 2
        await successor.stop()

    run(scenario)


def test_unreadable_partition_is_not_available_and_the_others_are() -> None:
    class BrokenLog(FakeLog):
        def read_batches(self, topic: str, partition: int, offset: int, max_bytes: int) -> bytes:
            if partition == partition_for("g", PARTITIONS):
                raise OSError("input/output error")
            return super().read_batches(topic, partition, offset, max_bytes)

    async def scenario() -> None:
        coordinator = await reopened(BrokenLog())
        await until(lambda: coordinator.describe("h") == (None, ErrorCode.none))
        assert coordinator.describe("g") == (None, ErrorCode.coordinator_not_available)
        await coordinator.stop()

    run(scenario)


def test_whoever_waits_is_answered_when_the_offsets_topic_is_deleted() -> None:
    async def scenario() -> None:
        log = FakeLog()
        coordinator = await new_coordinator(log, GroupConfig(initial_rebalance_delay_ms=60_000))
        joining = asyncio.create_task(ask(lambda reply: coordinator.join(join_request("g"), reply)))
        log.is_held = True
        committing = asyncio.create_task(
            ask(lambda reply: coordinator.commit(commit_request("h", 1), reply))
        )
        await until(lambda: bool(log.held))
        coordinator.on_topics_deleted(["__consumer_offsets"])
        assert (await joining).error is ErrorCode.not_coordinator
        assert not coordinator.is_open
        log.release_from_another_thread()
        assert (await committing).error is ErrorCode.none  # it had been taken before
        await coordinator.ensure_topic()
        assert coordinator.describe("h") == (None, ErrorCode.none)
        await coordinator.stop()

    run(scenario)


def test_a_long_client_id_makes_a_member_that_can_be_told_and_stored() -> None:
    async def scenario() -> None:
        coordinator = await new_coordinator(FakeLog())
        request = replace(join_request("g"), client_id="\N{GRINNING FACE}" * 8_191)
        joined: JoinResponse = await ask(lambda reply: coordinator.join(request, reply))
        assert joined.error is ErrorCode.none
        assert len(joined.member_id.encode()) <= 32_767
        await coordinator.stop()

    run(scenario)
