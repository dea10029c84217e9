"""`Broker.consumer()`: a consumer in the broker's own process."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import select
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from types import EllipsisType
from typing import TYPE_CHECKING, Final

from barnabas._reader import NativeReader
from barnabas.arguments import (
    INT32_MAX,
    check_choice,
    check_flags,
    check_optional_calls,
    check_optional_names,
    check_range,
    check_timeout,
    check_topics,
    deadline_after,
    time_in_ms,
)
from barnabas.closing import AsyncClosing
from barnabas.embedded.auto_commit import MS_PER_S, AutoCommit
from barnabas.embedded.host import ISOLATION_LEVELS, RETRY_S
from barnabas.embedded.offsets import GONE_ON, GroupOffsets, Member, check_offsets
from barnabas.embedded.positions import RESETS, Positions, ReadOffset
from barnabas.errors import BrokerClosed, ConfigError, KafkaError
from barnabas.wording import counted, listed

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Self

    from barnabas.embedded.batch import ConsumedBatch
    from barnabas.embedded.consumer_protocol import Partition
    from barnabas.embedded.host import Host
    from barnabas.embedded.membership import Membership

logger = logging.getLogger(__name__)

FETCH_BYTES: Final = 1 << 20
AUTO_COMMIT_INTERVAL_MS: Final = 5_000
SESSION_TIMEOUT_MS: Final = 45_000
MAX_POLL_INTERVAL_MS: Final = 300_000
# A heartbeat is a function call here; the sooner a rebalance is seen, the sooner it is over.
HEARTBEAT_INTERVAL_MS: Final = 100
TOPIC_CHECK_S: Final = 1.0  # how often a consumer without a group looks for new partitions

Listener = Callable[["list[Partition]"], object]


class Consumer(NativeReader, AsyncClosing):
    """Reads topics of its broker, as a member of a group or, without one, all their partitions.

    Iterating gives `ConsumedBatch`es as they come; it ends when there was none for `timeout`
    seconds, by default never. The same holds for `async for`. `poll` waits as long, by default not.

    `auto_offset_reset`: where reading begins without a committed offset, or when the offset is
    gone: latest (as with Kafka's clients), earliest, or none, which raises. `isolation_level`:
    read_uncommitted or read_committed. `fetch_bytes`: of one partition's batches in the log at a
    time; a larger batch comes whole. `on_assigned` and `on_revoked` get lists of (topic,
    partition).

    A topic that is deleted and made again is another one: what was committed for the old one does
    not count, and the new one is read from its beginning; by a group that has noticed a time
    without it, from where `auto_offset_reset` says.

    For one thread, or one event loop, at a time; `wake_up` and `close` may come from others.
    """

    def __init__(
        self,
        host: Host,
        topics: Iterable[str],
        *,
        group: str | None = None,
        group_instance_id: str | None = None,
        auto_offset_reset: str = "latest",
        enable_auto_commit: bool = True,
        auto_commit_interval_ms: int = AUTO_COMMIT_INTERVAL_MS,
        isolation_level: str = "read_uncommitted",
        fetch_bytes: int = FETCH_BYTES,
        check_crcs: bool = True,
        session_timeout_ms: int = SESSION_TIMEOUT_MS,
        heartbeat_interval_ms: int = HEARTBEAT_INTERVAL_MS,
        max_poll_interval_ms: int = MAX_POLL_INTERVAL_MS,
        timeout: float | None = None,
        on_assigned: Listener | None = None,
        on_revoked: Listener | None = None,
    ) -> None:
        self._topics = check_topics("topics", topics)
        check_choice("auto_offset_reset", auto_offset_reset, RESETS)
        check_choice("isolation_level", isolation_level, ISOLATION_LEVELS)
        check_optional_names(group=group, group_instance_id=group_instance_id)
        if group is None and group_instance_id is not None:
            raise ConfigError(f"group_instance_id {group_instance_id!r} needs a group")
        check_optional_calls(on_assigned=on_assigned, on_revoked=on_revoked)
        check_flags(enable_auto_commit=enable_auto_commit, check_crcs=check_crcs)
        self._poll_timeout = 0 if timeout is None else timeout
        self._timeout = check_timeout(timeout)
        check_range("fetch_bytes", fetch_bytes, 1, INT32_MAX, error=ConfigError)
        is_committed_only = isolation_level == "read_committed"
        super().__init__(
            host.services.core,
            max_bytes=fetch_bytes,
            read_committed=is_committed_only,
            check_crcs=check_crcs,
        )
        self._host = host
        self._reads = Positions(self, host, auto_offset_reset, is_committed_only=is_committed_only)
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        self._topics_checked_at = float("-inf")
        self._is_closed = False
        self._is_over = False  # and what a listener is told of, or may ask for, at the close
        self._closing = threading.Lock()
        self._polls = 0  # that are under way
        self._woken = False
        self._membership: Membership | None = None
        self._joining: Future[list[Partition]] | None = None
        self._assign_at = 0.0  # of the monotonic clock: what was joined for, not before
        self._offsets: GroupOffsets | None = None
        commits_by_itself = group is not None and enable_auto_commit
        self._auto_commit = AutoCommit(auto_commit_interval_ms if commits_by_itself else None)
        if group is not None:
            from barnabas.embedded.membership import MemberConfig, Membership

            config = MemberConfig(
                group_id=group,
                topics=self._topics,
                group_instance_id=group_instance_id,
                session_timeout_ms=session_timeout_ms,
                heartbeat_interval_ms=heartbeat_interval_ms,
                max_poll_interval_ms=max_poll_interval_ms,
            )
            self._membership = Membership(host.services, config, self.notify)
            self._offsets = GroupOffsets(host, group, self._membership, is_committed_only)

    # -- reading

    def poll(self, timeout: float | EllipsisType | None = ...) -> ConsumedBatch | None:
        """The next records of one partition, None when there are none within `timeout` seconds
        (None: for ever; by default the consumer's, or 0). Joins and commits. Raises KafkaError.
        """
        deadline = deadline_after(self._poll_timeout if timeout is ... else timeout)
        poller = None
        self._polls += 1
        try:
            while True:
                is_over, batch = self._step(deadline)
                if is_over:
                    return batch
                if poller is None:
                    poller = select.poll()
                    poller.register(self.fileno(), select.POLLIN)
                poller.poll(self._wait_s(deadline) * MS_PER_S)
        finally:
            self._end_poll()

    async def poll_async(self, timeout: float | EllipsisType | None = ...) -> ConsumedBatch | None:
        """As `poll`, without keeping the event loop from anything else: records are read on a
        thread of the loop's executor. When it is cancelled it waits for that, and what was read is
        handed out the next time.
        """
        loop = asyncio.get_running_loop()
        deadline = deadline_after(self._poll_timeout if timeout is ... else timeout)
        ready = asyncio.Event()
        self._polls += 1
        try:
            while True:
                is_over, batch = await self._step_in_thread(deadline)
                if is_over:
                    return batch
                ready.clear()
                loop.add_reader(self.fileno(), ready.set)
                try:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(ready.wait(), self._wait_s(deadline))
                finally:
                    loop.remove_reader(self.fileno())
        finally:
            self._end_poll()

    def _end_poll(self) -> None:
        self._polls -= 1
        if self._is_closed and self._polls == 0:
            self._let_go()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ConsumedBatch:
        batch = self.poll(self._timeout)
        if batch is None:
            raise StopIteration
        return batch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ConsumedBatch:
        batch = await self.poll_async(self._timeout)
        if batch is None:
            raise StopAsyncIteration
        return batch

    def wake_up(self) -> None:
        """Has a `poll` that waits, or the next one, return without records. Any thread."""
        self._woken = True
        self.notify()

    # -- positions

    @property
    def group(self) -> str | None:
        """The group it is a member of."""
        return None if self._offsets is None else self._offsets.group

    @property
    def commits_by_itself(self) -> bool:
        """Whether what was handed out is committed without being asked."""
        return self._auto_commit.is_on

    def assignment(self) -> list[Partition]:
        """The (topic, partition)s that it reads; with a group, none before that has decided, which
        takes a `poll` or more. Raises BrokerClosed once it is closed, as does all that asks or says
        where it reads.
        """
        self._need_open()
        if self._membership is None and self._topics_checked_at == float("-inf"):
            self._do_upkeep()
        return self._reads.assignment()

    def position(self, topic: str, partition: int) -> int:
        """The offset that is read next. Raises KeyError for a partition that it does not read,
        ValueError before the group has assigned any, KafkaError for one whose topic has gone or
        whose disk has failed.
        """
        self._need_assignment()
        return self._reads.position((topic, partition))

    def positions(self) -> dict[Partition, int]:
        """The offsets that are read next of the partitions from which something was read."""
        return {(read.topic, read.partition): read.offset for read in self.read_offsets()}

    def read_offsets(self) -> list[ReadOffset]:
        """As `positions`, with the ids of the topics."""
        self._need_open()
        return self._reads.read_offsets()

    @property
    def missed(self) -> int:
        """How many offsets it has passed over, because the one to be read next was gone: removed by
        retention, for instance. Each time is logged.
        """
        return self._reads.missed

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Goes on at an offset. Raises KeyError for a partition that it does not read."""
        check_range("offset", offset, 0)
        self._need_assignment()
        self._reads.seek((topic, partition), offset)

    def seek_to_beginning(self) -> None:
        """Goes on with the first record of each partition."""
        for partition in self._need_assignment():
            self._reads.move(partition, self._reads.start_of(partition))

    def seek_to_end(self) -> None:
        """Goes on behind the last record of each partition."""
        for partition in self._need_assignment():
            self._reads.move(partition, self._reads.end_of(partition))

    def seek_to_time(self, timestamp_ms: int | datetime) -> None:
        """Goes on with the first record at or after a time (ms since the epoch, a datetime with a
        zone, or numpy's) of each partition; behind the last one where there is none.
        """
        time_ms = time_in_ms("timestamp_ms", timestamp_ms, rounds_up=True)
        for partition in self._need_assignment():
            self._reads.move(partition, self._reads.at_time(partition, time_ms))

    def pause(self, topic: str, partition: int) -> None:
        """Hands out nothing of a partition until `resume`."""
        self._need_assignment()
        self._reads.pause((topic, partition), True)

    def resume(self, topic: str, partition: int) -> None:
        """Goes on with a partition."""
        self._need_assignment()
        self._reads.pause((topic, partition), False)

    def lag(self) -> dict[Partition, int]:
        """How many offsets each partition has that were not handed out yet; empty before the group
        has assigned any.
        """
        return {partition: self._reads.lag(partition) for partition in self.assignment()}

    # -- offsets of the group

    def commit(self, offsets: Mapping[Partition, int] | None = None) -> None:
        """Stores that everything handed out so far, or what `offsets` say, was read: the group goes
        on from there. Raises KafkaError, ValueError without a group or for an offset below zero.
        What was handed out of a topic that was deleted meanwhile is left out; `offsets` of one are
        an error.
        """
        group = self._need_group()
        if offsets is None:
            group.commit(self.read_offsets(), is_gone_fine=True)
            return
        check_offsets(offsets)
        group.commit(self._reads.with_topic_ids(offsets))

    def committed(self, timeout: float | None = None) -> dict[Partition, int]:
        """What the group has committed of the partitions that this consumer reads. With
        read_committed it waits for transactions that are about to commit more (KIP-447), `timeout`
        seconds at most: then it raises TimeoutError.
        """
        return self._need_group().committed(self.assignment(), timeout)

    def membership(self) -> Member:
        """Who commits, for a transaction's offsets."""
        return self._need_group().membership()

    # -- life

    def close(self) -> None:
        """Commits what was handed out, if it commits by itself, and leaves the group. May be
        repeated.
        """
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        self._reads.close()
        self.notify()
        try:
            if self._membership is not None:
                try:
                    self._revoke()
                finally:
                    self._host.call(self._membership.leave)
        finally:
            self._is_over = True
            if self._polls == 0:  # else the last of them does it
                self._let_go()

    def __repr__(self) -> str:
        group = "" if self.group is None else f", group {self.group!r}"
        count = counted(len(self._reads.assignment()), "partition")
        of = f"{listed(self._topics, 'topic')}{group}"
        return f"<barnabas.Consumer of {of}, {'closed' if self._is_closed else count}>"

    # -- one step of reading

    def _step(self, deadline: float | None) -> tuple[bool, ConsumedBatch | None]:
        """Whether a poll is over, and with what. If it is not, news wakes it from here on."""
        self.clear()
        if self._is_upkeep_due():
            self._do_upkeep()
        batch = self._reads.take()
        if batch is not None or self._take_wake_up():
            return True, batch
        if deadline is not None and time.monotonic() >= deadline:
            return True, None
        self.watch(self._reads.watched())
        return False, None

    async def _step_in_thread(self, deadline: float | None) -> tuple[bool, ConsumedBatch | None]:
        context = contextvars.copy_context()
        step = asyncio.get_running_loop().run_in_executor(
            None, partial(context.run, self._step, deadline)
        )
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            while not step.done():  # nobody else shall be in this consumer meanwhile
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([step])
            if step.exception() is None and step.result()[1] is not None:
                self._reads.hand_back()
            raise

    def _wait_s(self, deadline: float | None) -> float:
        """How long to wait for news at most."""
        now = time.monotonic()
        until = [now + TOPIC_CHECK_S]
        if deadline is not None:
            until.append(deadline)
        if self._joining is None:
            until.append(self._auto_commit.next_at)
        elif self._joining.done():
            until.append(self._assign_at)
        return max(0.0, min(until) - now)

    def _take_wake_up(self) -> bool:
        woken, self._woken = self._woken, False
        return woken

    # -- upkeep: what may wait for the broker's loop

    def _is_upkeep_due(self) -> bool:
        now = time.monotonic()
        if self._is_closed:
            return True
        if self._membership is None:
            return now - self._topics_checked_at >= TOPIC_CHECK_S
        self._membership.polled_at = now
        if self._joining is not None:
            return self._joining.done() and now >= self._assign_at
        return self._membership.needs_join or now >= self._auto_commit.next_at

    def _do_upkeep(self) -> None:
        if self._is_closed:
            raise BrokerClosed("the consumer is closed")
        if self._membership is None:
            checked_at, self._topics_checked_at = self._topics_checked_at, time.monotonic()
            self._reads.follow(self._topics, is_first=checked_at == float("-inf"))
        elif self._joining is not None:
            self._assign(self._joining, self._membership)
        else:
            if not self._membership.needs_join:
                self._commit_if_due()  # which may tell that the group has gone on without it
            if self._membership.needs_join:
                self._revoke()
                self._joining = self._host.begin(self._membership.join)
                self._joining.add_done_callback(lambda _: self.notify())

    def _assign(self, joining: Future[list[Partition]], membership: Membership) -> None:
        """Goes on where the group has stopped, as soon as that is decided."""
        try:
            partitions = sorted(joining.result())
            committed = self._need_group().stable(partitions)
        except CancelledError:
            raise BrokerClosed("the broker was closed meanwhile") from None
        except BaseException:
            self._joining, membership.needs_join = None, True
            raise
        if committed is None and not membership.needs_join:
            self._assign_at = time.monotonic() + RETRY_S
            return
        self._joining = None
        if committed is None:
            self.notify()  # to join again, at once
            return
        self._reads.assign((p, committed.get(p)) for p in partitions)
        if self._on_assigned is not None:
            self._on_assigned(self._reads.assignment())

    def _revoke(self) -> None:
        """Before the group shares its partitions out anew."""
        is_first = self._reads.freeze()  # or another thread is about it, and may not come to an end
        partitions = self._reads.assignment()
        if not partitions:
            return
        try:
            if is_first and self._on_revoked is not None:
                self._on_revoked(partitions)
        finally:
            self._commit_if_due(at_once=True)
            self._reads.clear()

    def _commit_if_due(self, *, at_once: bool = False) -> None:
        """A commit that nobody asked for raises nothing: who is thrown out joins again, and what
        else fails is tried again when the next one is due.
        """
        if not self.commits_by_itself or not (at_once or self._auto_commit.is_due()):
            return
        self._auto_commit.note()
        try:
            self.commit()
        except KafkaError as error:
            logger.warning("group %s: not committed: %s", self.group, error)
            if self._membership is not None and error.code in GONE_ON:
                self._membership.needs_join = True

    def _need_assignment(self) -> list[Partition]:
        partitions = self.assignment()
        member = self._membership
        is_joining = member is not None and (member.needs_join or self._joining is not None)
        if is_joining and not partitions:
            raise ValueError("no partition is assigned yet: poll first")
        return partitions

    def _need_open(self) -> None:
        if self._is_over:
            raise BrokerClosed("the consumer is closed")

    def _need_group(self) -> GroupOffsets:
        self._need_open()
        if self._offsets is None:
            raise ValueError("the consumer has no group")
        return self._offsets
