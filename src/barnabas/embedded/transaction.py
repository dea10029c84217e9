"""Transactions of a producer in this process (KIP-98, with KIP-890's epochs).

with producer.transaction() as transaction:
    producer.send("out", value)
    transaction.commit_offsets(consumer)
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from kio.schema.errors import ErrorCode

from barnabas._sender import is_telling
from barnabas.arguments import wrong_type
from barnabas.coordinator.txn_coordinator import OffsetsMembership
from barnabas.embedded.host import (
    API_TIMEOUT_S,
    RETRIED,
    RETRY_S,
    Host,
    answer,
    answer_when_ready,
    check,
)
from barnabas.embedded.offsets import Member, check_committed, commit_request
from barnabas.errors import BrokerClosed, KafkaError
from barnabas.state.effects import Producer as ProducerIdentity
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.records import EPOCH_BUMP
from barnabas.state.txn.requests import AddRequest, EndRequest, InitRequest, ProducerResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from barnabas.embedded.consumer import Consumer
    from barnabas.embedded.positions import ReadOffset
    from barnabas.embedded.producer import Producer
    from barnabas.state.group.responses import CommitResponse


class TransactionalId:
    """A producer as the transaction coordinator knows it."""

    def __init__(self, host: Host, transactional_id: str, timeout_ms: int) -> None:
        self._host = host
        self._id = transactional_id
        self._has_begun = False  # the coordinator knows of a transaction that is not ended
        self._is_fenced = False  # as far as is known: another producer has it by now
        self.identity = host.call(partial(self._init, timeout_ms))

    def __str__(self) -> str:
        return f"transactional id {self._id}"

    async def _init(self, timeout_ms: int) -> ProducerIdentity:
        """Fences all earlier producers of this transactional id."""
        transactions = self._host.services.transactions
        await transactions.ensure_topic()
        request = InitRequest(transactional_id=self._id, timeout_ms=timeout_ms)
        response: ProducerResponse = await answer_when_ready(
            partial(transactions.init, request), API_TIMEOUT_S
        )
        self._check(response.error)
        return response.producer

    def _note(self, error: ErrorCode) -> None:
        self._is_fenced = self._is_fenced or error is ErrorCode.producer_fenced

    def _check(self, error: ErrorCode) -> None:
        self._note(error)
        check(error, str(self))

    def check_not_fenced(self) -> None:
        """Raises KafkaError PRODUCER_FENCED, once the coordinator has said so."""
        if self._is_fenced:
            self._check(ErrorCode.producer_fenced)

    def add(self, partition: TopicPartition) -> bool:
        """Adds a partition to the transaction. False: the coordinator was not ready. Then a guard
        is taken anew, as the marker of the transaction before takes guards away.
        """

        async def add() -> bool:
            error = await self._ask_for(partition)
            if error in RETRIED:
                await asyncio.sleep(RETRY_S)
                return False
            self._check(error)
            return True

        is_added = self._host.call(add)
        self._has_begun = self._has_begun or is_added
        return is_added

    async def _ask_for(self, partition: TopicPartition) -> ErrorCode:
        request = AddRequest(
            transactional_id=self._id,
            producer=self.identity,
            partitions=frozenset({partition}),
            client_transaction_version=EPOCH_BUMP,
        )
        error: ErrorCode = await answer(
            partial(self._host.services.transactions.add_partitions, request)
        )
        return error

    def end(self, *, is_commit: bool) -> None:
        """Commits or aborts, and goes on with the next epoch. Raises KafkaError: PRODUCER_FENCED
        when the id is another producer's by now, INVALID_TXN_STATE for a commit of what the
        coordinator has aborted; to abort that, too, gives the epoch to go on with.
        """
        if not self._has_begun:
            return

        async def end() -> None:
            request = EndRequest(
                transactional_id=self._id,
                producer=self.identity,
                is_commit=is_commit,
                client_transaction_version=EPOCH_BUMP,
            )
            response = await answer_when_ready(
                partial(self._host.services.transactions.end, request)
            )
            self._check(response.error)
            self.identity, self._is_fenced = response.producer, False

        self._host.call(end)
        self._has_begun = False

    def commit_offsets(
        self,
        group: str,
        member: Member,
        offsets: Collection[ReadOffset],
    ) -> None:
        """Makes a group's offsets part of the transaction (TxnOffsetCommit)."""

        async def commit() -> None:
            services = self._host.services
            await services.groups.ensure_topic()
            request = commit_request(group, member, offsets, self.identity)

            def ask(reply: Callable[[CommitResponse], None]) -> None:
                services.transactions.commit_offsets(
                    self._id, request, reply, OffsetsMembership.ADDED
                )

            response = await answer_when_ready(ask)
            self._note(response.error)
            check_committed(group, response, is_gone_fine=True)

        self._has_begun = True  # perhaps, even if it fails: then it is to be aborted
        self._host.call(commit)


class Transaction:
    """One transaction, as a context: committed at its end, aborted when an exception leaves it.

    At commit all records are waited for; if one was refused the transaction is aborted, and the
    error raised. From the moment when its end begins, nothing is sent before the next transaction,
    whatever the thread: KafkaError INVALID_TXN_STATE.

    Safe to use from several threads.
    """

    def __init__(self, producer: Producer, transactional_id: TransactionalId) -> None:
        self._producer = producer
        self._transactional_id = transactional_id
        # Held by who asks the coordinator for more, so that nothing is added behind the end.
        self._adding = threading.RLock()
        self._is_open = True
        self._ending = threading.RLock()

    def commit_offsets(self, consumer: Consumer) -> None:
        """What the consumer has handed out counts as read if, and only if, the transaction is
        committed. The consumer has a group, and does not commit by itself
        (`enable_auto_commit=False`).
        """
        if not hasattr(consumer, "read_offsets"):
            raise wrong_type("consumer", consumer, "a consumer, as Broker.consumer() makes it")
        group = consumer.group
        if group is None:
            raise ValueError("the consumer has no group, and so no offsets to commit")
        if consumer.commits_by_itself:
            raise ValueError("the consumer commits by itself: it needs enable_auto_commit=False")
        offsets = consumer.read_offsets()
        if offsets:
            with self._adding:
                self._check_open()
                self._transactional_id.commit_offsets(group, consumer.membership(), offsets)

    def _join(self, topic: str, partition: int) -> None:
        """Adds a partition, if it is still to be added."""
        with self._adding:
            producer, transactional_id = self._producer, self._transactional_id
            is_added = False
            while not is_added:
                self._check_open()
                if producer._has_joined(topic, partition):
                    return
                producer_id, epoch = transactional_id.identity
                to_add = TopicPartition(topic, partition)
                try:
                    guard = producer._begin(topic, partition, producer_id, epoch)
                except KafkaError as error:
                    # The log knows that the epoch is over, the coordinator whose the id is.
                    if error.code is ErrorCode.invalid_producer_epoch:
                        transactional_id.add(to_add)
                    raise
                is_added = transactional_id.add(to_add)
            self._check_open()
            producer._joined(topic, partition, producer_id, epoch, guard)

    def _check_open(self) -> None:
        if not self._is_open:
            raise KafkaError(ErrorCode.invalid_txn_state, "the transaction is at its end")

    # -- its end

    def commit(self) -> None:
        """Commits. Raises KafkaError, after which the transaction is aborted: for a record that was
        refused; INVALID_PRODUCER_EPOCH when it took too long, PRODUCER_FENCED when another producer
        has the transactional id; INVALID_TXN_STATE when it was over before.
        """
        with self._end_begun(discards=False) as is_there:
            if not is_there:
                raise KafkaError(ErrorCode.invalid_txn_state, "the transaction is over")
            try:
                self._producer.flush()
                refused = self._producer._transaction_error()
                if refused is not None:
                    raise refused
                self._transactional_id.end(is_commit=True)
            except KafkaError as error:
                self._transactional_id.end(is_commit=False)
                if error.code is ErrorCode.invalid_txn_state:
                    raise KafkaError(
                        ErrorCode.invalid_producer_epoch,
                        "the coordinator has aborted the transaction, as it does with what takes "
                        "longer than transaction_timeout_ms",
                    ) from error
                raise

    def abort(self) -> None:
        """Aborts: no read_committed consumer sees its records. What is not on its way to the log
        yet is not written: its Delivery has KafkaError INVALID_TXN_STATE. Does nothing when the
        transaction is over.
        """
        with self._end_begun(discards=True) as is_there:
            if not is_there:
                return
            with suppress(KafkaError):  # what was refused is aborted with the rest
                self._producer.flush()
            self._transactional_id.end(is_commit=False)

    @contextmanager
    def _end_begun(self, *, discards: bool) -> Iterator[bool]:
        """One thread at a time; whether there is anything to be ended. Nothing is sent from here
        on, and it is over then, unless it was interrupted.

        A callback does not wait for its turn: whoever has it may wait for callbacks.
        """
        if not self._producer._is_ours():
            raise BrokerClosed("the transaction is of the process that this one was forked from")
        if not self._ending.acquire(blocking=not is_telling()):
            raise KafkaError(ErrorCode.invalid_txn_state, "another thread ends the transaction")
        try:
            is_there = self._producer._is_in(self)
            if is_there:
                with self._adding:
                    self._is_open = False
                    self._producer._shut(discards=discards)
            yield is_there
        except Exception:
            self._producer._end_transaction(self)
            raise
        else:
            self._producer._end_transaction(self)
        finally:
            self._ending.release()

    def __repr__(self) -> str:
        state = "open" if self._is_open else "over"
        return f"<barnabas.Transaction of {self._transactional_id}, {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._producer._is_in(self):
            return  # ended by hand
        if exc is None:
            self.commit()
            return
        try:
            self.abort()
        except KafkaError as error:
            exc.add_note(f"the transaction could not be aborted either: {error}")
