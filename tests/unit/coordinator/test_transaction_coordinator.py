"""The coordinator of transactions while it waits for a producer id."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from kio.schema.errors import ErrorCode

from barnabas.coordinator.hand_over import HandOver
from barnabas.coordinator.txn_coordinator import TransactionCoordinator
from barnabas.metadata.store import StoreError
from barnabas.state.internal_topics import TRANSACTION_STATE
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.config import TransactionConfig
from barnabas.state.txn.requests import InitRequest, ProducerResponse
from unit.coordinator.fake_log import FakeLog, FakeOffsetsTopic
from unit.coordinator.test_group_coordinator import ask, run, until


class StateLog(FakeLog):
    def __init__(self) -> None:
        super().__init__(TRANSACTION_STATE)

    def mark_verified(
        self,
        producer_id: int,
        producer_epoch: int,
        transactional_id: str,
        partitions: Sequence[tuple[str, int]],
    ) -> None:
        """Nobody asks for it."""


class StateTopic(FakeOffsetsTopic):
    def leader_epoch(self, partition: int) -> int:
        return 0

    def is_kafkas_alone(self, partition: TopicPartition) -> bool:
        return False


class SlowIds:
    """As when the store has to be waited for."""

    def __init__(self) -> None:
        self.coming: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.is_awaited = False

    def take(self) -> int | None:
        return None

    async def next(self) -> int:
        self.is_awaited = True
        return await self.coming


class Init:
    """A coordinator, and an InitProducerId that waits for its id."""

    def __init__(self) -> None:
        self.log = StateLog()
        self.ids = SlowIds()
        groups: Any = None  # of no transaction here
        self.coordinator = TransactionCoordinator(
            self.log,
            HandOver(self.log, asyncio.get_running_loop()),
            TransactionConfig(),
            StateTopic(exists=False),
            producer_ids=self.ids,
            groups=groups,
        )
        self.answer: asyncio.Task[ProducerResponse]

    async def __aenter__(self) -> "Init":
        await self.coordinator.start()
        await self.coordinator.ensure_topic()
        request = InitRequest(transactional_id="t", timeout_ms=60_000)
        self.answer = asyncio.create_task(ask(partial(self.coordinator.init, request)))
        await until(lambda: self.ids.is_awaited)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.coordinator.stop()


def test_a_producer_gets_the_id_that_comes_late() -> None:
    async def scenario() -> None:
        async with Init() as init:
            init.ids.coming.set_result(7)
            response = await init.answer
            assert (response.error, response.producer) == (ErrorCode.none, (7, 0))

    run(scenario)


@pytest.mark.parametrize("failure", [StoreError("disk full"), RuntimeError("of the store")])
def test_a_producer_is_told_to_wait_whatever_keeps_ids_from_coming(failure: Exception) -> None:
    async def scenario() -> None:
        async with Init() as init:
            init.ids.coming.set_exception(failure)
            response = await init.answer
            assert response.error is ErrorCode.coordinator_load_in_progress

    run(scenario)


def test_an_id_that_comes_when_the_topic_is_gone_goes_into_no_other_topic_of_that_name() -> None:
    async def scenario() -> None:
        async with Init() as init:
            init.coordinator.on_topics_deleted([TRANSACTION_STATE])
            init.ids.coming.set_result(7)
            assert (await init.answer).error is ErrorCode.not_coordinator
            await asyncio.sleep(0)
            assert init.log.hand_overs == []

    run(scenario)
