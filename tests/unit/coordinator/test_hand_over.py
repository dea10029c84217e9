"""What coordinators append in one pass of the loop: in one call to the log, each told its own."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from barnabas.coordinator.append_queue import AppendQueue
from barnabas.coordinator.hand_over import HandOver, LogAppend
from barnabas.coordinator.marker_writer import MarkerWriter
from barnabas.coordinator.routing import partition_for
from barnabas.state.effects import Append, Marker, Producer
from barnabas.state.topic_partition import TopicPartition
from unit.coordinator.fake_log import FakeLog
from unit.coordinator.test_group_coordinator import (
    PARTITIONS,
    commit_request,
    new_coordinator,
    run,
    until,
)

GROUPS = [f"group-{number}" for number in range(40)]
STORAGE_ERROR, FENCED, UNHEARD_OF = 56, 52, 9999


class Commits:
    """A commit of each group, all in one pass of the loop; the answers by group."""

    def __init__(self, log: FakeLog) -> None:
        self.log = log
        self.answers: dict[str, ErrorCode] = {}

    async def __aenter__(self) -> "Commits":
        self.coordinator = await new_coordinator(self.log)
        for group in GROUPS:
            self.coordinator.commit(commit_request(group, 7), partial(self._take, group))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.coordinator.stop()

    def _take(self, group: str, response: Any) -> None:
        assert group not in self.answers
        self.answers[group] = response.error

    def is_stored(self, group: str) -> bool:
        return bool(self.coordinator.committed(group)[0])


def groups_in(partition: int) -> set[str]:
    return {group for group in GROUPS if partition_for(group, PARTITIONS) == partition}


def test_appends_to_many_partitions_go_out_in_one_call() -> None:
    async def scenario() -> None:
        async with Commits(FakeLog()) as commits:
            await until(lambda: len(commits.answers) == len(GROUPS))
            assert set(commits.answers.values()) == {ErrorCode.none}
            partitions = {partition_for(group, PARTITIONS) for group in GROUPS}
            assert commits.log.hand_overs == [len(partitions)]
            assert set(commits.log.batches) == partitions

    run(scenario)


def test_a_refused_append_refuses_only_its_own() -> None:
    async def scenario() -> None:
        log = FakeLog()
        refused = partition_for(GROUPS[0], PARTITIONS)
        log.refused[refused] = STORAGE_ERROR
        async with Commits(log) as commits:
            await until(lambda: len(commits.answers) == len(GROUPS))
            told = {
                group for group, error in commits.answers.items() if error is not ErrorCode.none
            }
            assert told == groups_in(refused)
            assert commits.answers[GROUPS[0]] is ErrorCode.not_coordinator
            assert {group for group in GROUPS if not commits.is_stored(group)} == told

    run(scenario)


def test_a_late_append_holds_up_only_its_own() -> None:
    async def scenario() -> None:
        log = FakeLog()
        late = partition_for(GROUPS[0], PARTITIONS)
        log.stalled.add(late)
        async with Commits(log) as commits:
            others = set(GROUPS) - groups_in(late)
            await until(lambda: others <= commits.answers.keys())
            assert commits.answers.keys() == others
            commits.coordinator.commit(commit_request(GROUPS[0], 8), lambda _: None)
            await until(lambda: len(log.held) == 2)
            assert not commits.is_stored(GROUPS[0])
            log.release_from_another_thread()
            await until(lambda: len(commits.answers) == len(GROUPS))
            assert set(commits.answers.values()) == {ErrorCode.none}

    run(scenario)


class RecordingLog:
    """Notes what it is handed, and tells outcomes later, in another order."""

    def __init__(self, codes: list[int]) -> None:
        self.calls: list[tuple[LogAppend, ...]] = []
        self._codes = codes

    def append_all(
        self, appends: Sequence[LogAppend], on_late: Callable[[int, int], None]
    ) -> list[int | None]:
        self.calls.append(tuple(appends))

        def tell() -> None:
            for index in reversed(range(len(appends))):
                on_late(index, self._codes[index])

        threading.Thread(target=tell).start()
        return [None] * len(appends)


def test_markers_go_with_the_rest_and_are_told_what_came_of_each() -> None:
    async def scenario() -> None:
        log = RecordingLog([0, FENCED, 0, UNHEARD_OF])
        hand_over = HandOver(log, asyncio.get_running_loop())
        groups: Any = None  # of no partition of __consumer_offsets
        writer = MarkerWriter(hand_over, groups, lambda partition: False)
        told: dict[str, int] = {}
        producer = Producer(7, 3)
        for topic in "ab":
            marker = Marker(producer, topic == "a", 5, 2)
            writer.write(marker, TopicPartition(topic, 1), partial(told.__setitem__, topic))
        records = LogAppend("c", 2, ((b"k", None),), producer, None)
        hand_over.add(records, partial(told.__setitem__, "c"))
        last = Marker(producer, False, 5, 2)
        writer.write(last, TopicPartition("d", 1), partial(told.__setitem__, "d"))
        assert log.calls == []
        await until(lambda: len(told) == 4)
        markers = [
            LogAppend(topic, 1, (), None, Marker(producer, topic == "a", 5, 2)) for topic in "ab"
        ]
        assert log.calls == [(*markers, records, LogAppend("d", 1, (), None, last))]
        assert told == {"a": 0, "b": FENCED, "c": 0, "d": ErrorCode.unknown_server_error}

    run(scenario)


def test_an_outcome_that_raises_disturbs_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        hand_over = HandOver(FakeLog(), asyncio.get_running_loop())
        told: list[int] = []

        def fail(_code: int) -> None:
            raise RuntimeError("of a coordinator")

        for reply in (fail, told.append):
            hand_over.add(LogAppend("__consumer_offsets", 0, ((b"k", b"v"),), None, None), reply)
        await until(lambda: bool(told))
        assert told == [0]

    run(scenario)
    assert "of a coordinator" in caplog.text


def test_what_an_append_leads_to_disturbs_no_other_of_its_batch() -> None:
    async def scenario() -> None:
        settled: list[object] = []

        def settle(append: Append[bytes], _error: ErrorCode) -> None:
            settled.append(append.outcome)
            if append.outcome == "first":
                raise RuntimeError("of a coordinator")

        queue: AppendQueue[bytes] = AppendQueue(
            HandOver(FakeLog(), asyncio.get_running_loop()),
            "__consumer_offsets",
            0,
            encode=lambda record: (record, b""),
            settle=settle,
        )
        queue.put([Append((b"k",), outcome) for outcome in ("first", "second", "third")])
        await until(lambda: len(settled) == 3)

    run(scenario)


def test_everybody_is_answered_when_the_core_cannot_be_asked() -> None:
    class BrokenLog(FakeLog):
        def append_all(
            self, appends: Sequence[LogAppend], on_late: Callable[[int, int], None]
        ) -> list[int | None]:
            raise MemoryError

    async def scenario() -> None:
        async with Commits(BrokenLog()) as commits:
            await until(lambda: len(commits.answers) == len(GROUPS))
            assert set(commits.answers.values()) == {ErrorCode.unknown_server_error}

    run(scenario)


def test_what_comes_of_a_pass_goes_out_with_the_next() -> None:
    async def scenario() -> None:
        log = FakeLog()
        hand_over = HandOver(log, asyncio.get_running_loop())
        append = LogAppend("__consumer_offsets", 0, ((b"k", b"v"),), None, None)
        done = asyncio.Event()
        hand_over.add(append, lambda _: hand_over.add(append, lambda _: done.set()))
        await done.wait()
        assert log.hand_overs == [1, 1]

    run(scenario)
