"""TransactionCoordinator: finds the partition of a transactional id, looks after all partitions.

Requests come as the state machine's values with a `reply` callback, which is called exactly once,
perhaps before the method returns. A partition that is being loaded says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Protocol

from kio.schema.errors import ErrorCode

from barnabas.coordinator.marker_writer import MarkerWriter, OffsetsOwner
from barnabas.coordinator.partitions import CoordinatorPartitions, CoordinatorTopic
from barnabas.metadata.store import StoreError
from barnabas.state.effects import NO_PRODUCER_ID
from barnabas.state.internal_topics import TRANSACTION_STATE
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.config import TransactionConfig
from barnabas.state.txn.records import EPOCH_BUMP
from barnabas.state.txn.requests import (
    AddRequest,
    DescribedTransaction,
    EndRequest,
    InitRequest,
    ListedTransaction,
    ListFilter,
    ProducerResponse,
)
from barnabas.state.units import MS_PER_S

if TYPE_CHECKING:  # a broker without transactions does not wait for these
    from barnabas.coordinator.hand_over import HandOver
    from barnabas.coordinator.txn_partition import TransactionLog, TransactionPartition
    from barnabas.state.group.commit import CommitRequest, OffsetToCommit
    from barnabas.state.group.responses import CommitResponse
    from barnabas.state.txn.shard import Verified

logger = logging.getLogger(__name__)


class OffsetsMembership(Enum):
    """How a group's partition of `__consumer_offsets` comes to be part of a transaction."""

    ADDED = auto()  # with the offsets (KIP-890)
    VERIFIED = auto()  # by AddOffsetsToTxn before, which is looked up
    TAKEN_FOR_GRANTED = auto()


class Groups(OffsetsOwner, Protocol):
    """The part of `GroupCoordinator` that is needed here."""

    @property
    def is_open(self) -> bool:
        """Whether `__consumer_offsets` exists."""

    def partition_of(self, group_id: str) -> TopicPartition:
        """The partition of it that a group lives in."""

    def has_any(self, offsets: Collection[OffsetToCommit]) -> bool:
        """Whether one of the partitions, at least, exists."""

    def commit(
        self,
        request: CommitRequest,
        reply: Callable[[CommitResponse], None],
        error: ErrorCode = ErrorCode.none,
    ) -> None:
        """Stores offsets, or refuses them with `error`."""


class StateTopic(CoordinatorTopic, Protocol):
    """`__transaction_state`."""

    def leader_epoch(self, partition: int) -> int:
        """The leader epoch of a partition: the epoch of its coordinator."""

    def is_kafkas_alone(self, partition: TopicPartition) -> bool:
        """Whether any partition is in a log directory that Kafka has, and will have beside ours."""


class ProducerIdSource(Protocol):
    """The part of `metadata.producer_ids.ProducerIds` that is needed here."""

    def take(self) -> int | None:
        """The next id at hand, if there is one."""

    async def next(self) -> int:
        """The next id. Raises StoreError."""


class TransactionCoordinator:
    """All transactional ids of this broker. To be used on the broker loop's thread only."""

    def __init__(
        self,
        core: TransactionLog,
        hand_over: HandOver,
        config: TransactionConfig,
        topic: StateTopic,
        *,
        producer_ids: ProducerIdSource,
        groups: Groups,
    ) -> None:
        self._core = core
        self._hand_over = hand_over
        self._config = config
        self._topic = topic
        self._producer_ids = producer_ids
        self._groups = groups
        self._loop: asyncio.AbstractEventLoop  # from start() on
        self._partitions: CoordinatorPartitions[TransactionPartition] = CoordinatorPartitions(
            topic, self._make_partition
        )
        self._left_to_kafka: set[str] = set()  # of which it has been said
        self._ticks: set[asyncio.TimerHandle] = set()
        self._waiting: set[asyncio.Task[None]] = set()  # for producer ids
        self.writer = MarkerWriter(hand_over, groups, topic.is_kafkas_alone)

    # -- life

    async def start(self) -> None:
        """Starts reading `__transaction_state` back, in the background. Markers that an earlier
        broker still owed are written.
        """
        self._loop = asyncio.get_running_loop()
        self._every(self._config.abort_timed_out_interval_ms, self._abort_timed_out)
        self._every(self._config.remove_expired_interval_ms, self._expire)
        self._partitions.start(lambda partition: None)

    async def ensure_topic(self) -> None:
        """Creates `__transaction_state` if it does not exist, and takes requests from then on."""
        await self._partitions.ensure_topic()

    @property
    def is_open(self) -> bool:
        """Whether `__transaction_state` exists."""
        return bool(self._partitions)

    async def stop(self) -> None:
        """Stops timers and loading; what is prepared is finished by the next broker."""
        for handle in self._ticks:
            handle.cancel()
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        self.writer.stop()
        await self._partitions.stop()

    # -- requests

    def init(self, request: InitRequest, reply: Callable[[ProducerResponse], None]) -> None:
        """InitProducerId."""

        def act(partition: TransactionPartition, new_id: int) -> None:
            now_ms = self._core.steady_ms()
            partition.perform(partition.machine.init(request, reply, now_ms, new_id))

        self._with_producer_id(
            request.transactional_id,
            act,
            lambda error: reply(ProducerResponse(error)),
            is_init=True,
        )

    def add_partitions(self, request: AddRequest, reply: Callable[[ErrorCode], None]) -> None:
        """AddPartitionsToTxn, for one transaction, and AddOffsetsToTxn."""
        partition, error = self._partitions.find(request.transactional_id)
        if partition is None:
            reply(error)
            return
        partition.perform(partition.machine.add_partitions(request, reply, self._core.steady_ms()))

    def verify_partitions(self, request: AddRequest) -> Verified:
        """AddPartitionsToTxn that only asks."""
        partition, error = self._partitions.find(request.transactional_id)
        if partition is None:
            return dict.fromkeys(request.partitions, error)
        return partition.machine.verify_partitions(request)

    def commit_offsets(
        self,
        transactional_id: str,
        request: CommitRequest,
        reply: Callable[[CommitResponse], None],
        membership: OffsetsMembership,
    ) -> None:
        """TxnOffsetCommit: offsets of the transaction of `request.producer`. Between the word that
        the group's partition is in the transaction and the queue of appends nothing waits: no
        marker comes between, and no deletion of a topic.
        """
        assert request.producer is not None
        commit = partial(self._groups.commit, request, reply)
        if not self._groups.has_any(request.offsets):  # they may be fewer once it is added
            commit()
        elif not request.group_id:
            commit(ErrorCode.invalid_group_id)
        elif not self._groups.is_open:
            commit(ErrorCode.not_coordinator)
        elif membership is OffsetsMembership.TAKEN_FOR_GRANTED:
            commit()
        else:
            partition = self._groups.partition_of(request.group_id)
            add = AddRequest(
                transactional_id=transactional_id,
                producer=request.producer,
                partitions=frozenset({partition}),
                client_transaction_version=EPOCH_BUMP,
            )
            if membership is OffsetsMembership.ADDED:
                self.add_partitions(add, commit)
            else:
                commit(self.verify_partitions(add)[partition])

    def end(self, request: EndRequest, reply: Callable[[ProducerResponse], None]) -> None:
        """EndTxn."""

        def act(partition: TransactionPartition, new_id: int) -> None:
            now_ms = self._core.steady_ms()
            partition.perform(partition.machine.end(request, reply, now_ms, new_id))

        self._with_producer_id(
            request.transactional_id, act, lambda error: reply(ProducerResponse(error))
        )

    def describe(self, transactional_id: str) -> tuple[DescribedTransaction | None, ErrorCode]:
        """DescribeTransactions: None without an error if there is no such transactional id."""
        partition, error = self._partitions.find(transactional_id)
        return (None if partition is None else partition.machine.describe(transactional_id)), error

    def listed(self, wanted: ListFilter) -> tuple[list[ListedTransaction], ErrorCode]:
        """ListTransactions: those of this broker, or an error while some are not known."""
        found: list[ListedTransaction] = []
        for partition in self._partitions:
            if partition.error is not ErrorCode.none:
                return [], partition.error
            found.extend(partition.machine.listed(wanted, self._core.steady_ms()))
        return found, ErrorCode.none

    def on_topics_deleted(self, topics: Iterable[str]) -> None:
        """Forgets everything if `__transaction_state` is among the topics that are no more."""
        if TRANSACTION_STATE in topics:
            self._partitions.forget()

    # -- parts

    def _make_partition(self, partition: int) -> TransactionPartition:
        from barnabas.coordinator.txn_partition import TransactionPartition

        return TransactionPartition(
            self._loop,
            self._core,
            self._hand_over,
            partition,
            self._config,
            writer=self.writer,
            coordinator_epoch=self._topic.leader_epoch(partition),
        )

    def _with_producer_id(
        self,
        transactional_id: str,
        act: Callable[[TransactionPartition, int], None],
        refuse: Callable[[ErrorCode], None],
        *,
        is_init: bool = False,
    ) -> None:
        """Acts on a transactional id, with a new producer id if one is needed: at once if there is
        one at hand. Or tells why the transactional id cannot be acted on.
        """
        partition, error = self._partitions.find(transactional_id)
        if partition is None:
            refuse(error)
        elif self._is_left_to_kafka(partition, transactional_id):
            refuse(
                ErrorCode.concurrent_transactions
                if is_init
                else ErrorCode.coordinator_not_available
            )
        elif not partition.machine.needs_producer_id(transactional_id, is_init=is_init):
            act(partition, NO_PRODUCER_ID)
        elif (producer_id := self._producer_ids.take()) is not None:
            act(partition, producer_id)
        else:
            waiting = self._wait_for_producer_id(transactional_id, act, refuse)
            task = self._loop.create_task(waiting)
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _wait_for_producer_id(
        self,
        transactional_id: str,
        act: Callable[[TransactionPartition, int], None],
        refuse: Callable[[ErrorCode], None],
    ) -> None:
        try:
            producer_id = await self._producer_ids.next()
        except StoreError as failure:
            logger.error("cannot reserve producer ids: %s", failure)
            producer_id = NO_PRODUCER_ID  # the client is told to wait
        except Exception:  # it must be answered anyway
            logger.exception("cannot reserve producer ids")
            producer_id = NO_PRODUCER_ID
        # Its topic may be gone meanwhile.
        partition, error = self._partitions.find(transactional_id)
        if partition is None:
            refuse(error)
        else:
            act(partition, producer_id)

    def _every(self, interval_ms: int, act: Callable[[], None]) -> None:
        def tick() -> None:
            self._ticks.discard(handle)
            act()
            self._every(interval_ms, act)

        handle = self._loop.call_later(interval_ms / MS_PER_S, tick)
        self._ticks.add(handle)

    def run_due(self) -> None:
        """Makes the periodic checks: aborts what takes too long, forgets ids long unused."""
        self._abort_timed_out()
        self._expire()

    def _abort_timed_out(self) -> None:
        for partition in self._partitions:
            if partition.is_active:
                for transactional_id in partition.machine.timed_out(self._core.steady_ms()):
                    if self._is_left_to_kafka(partition, transactional_id):
                        continue
                    logger.info("transaction %s takes too long: aborted", transactional_id)
                    self._abort(transactional_id)

    def _is_left_to_kafka(self, partition: TransactionPartition, transactional_id: str) -> bool:
        """Of a transaction with records in a log directory that Kafka alone has: nothing of it is
        decided here, and Kafka aborts it when it has all of them again. One that it found decided
        would get no markers there, as at its start it takes partitions without a leader yet for
        deleted.
        """
        transaction = partition.machine.transactions.get(transactional_id)
        if transaction is None or not any(
            map(self._topic.is_kafkas_alone, transaction.value.partitions)
        ):
            return False
        if transactional_id not in self._left_to_kafka:
            self._left_to_kafka.add(transactional_id)
            logger.warning(
                "transaction %s has records in a log directory that Kafka alone has: "
                "it is left to Kafka",
                transactional_id,
            )
        return True

    def _abort(self, transactional_id: str) -> None:
        def act(partition: TransactionPartition, new_id: int) -> None:
            now_ms = self._core.steady_ms()
            partition.perform(partition.machine.abort_timed_out(transactional_id, now_ms, new_id))

        self._with_producer_id(transactional_id, act, lambda _error: None)

    def _expire(self) -> None:
        for partition in self._partitions:
            if partition.is_active:
                partition.perform(partition.machine.expire(self._core.steady_ms()))
