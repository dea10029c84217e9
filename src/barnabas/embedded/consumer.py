"""`Broker.consumer()`: a consumer in the broker's own process."""

from __future__ import annotations

import asyncio
import logging
import select
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kio.schema.errors import ErrorCode

from barnabas._reader import NativeReader
from barnabas.closing import Closing
from barnabas.embedded.batch import ConsumedBatch
from barnabas.embedded.offsets import GroupOffsets, Member
from barnabas.errors import BrokerClosed, ConfigError, KafkaError

if TYPE_CHECKING:
    from typing import Self

    from barnabas.embedded.consumer_protocol import Partition
    from barnabas.embedded.host import Host
    from barnabas.embedded.membership import Membership

logger = logging.getLogger(__name__)

RESETS: Final = ("earliest", "latest", "none")
ISOLATION_LEVELS: Final = ("read_uncommitted", "read_committed")
FETCH_BYTES: Final = 1 << 20
AUTO_COMMIT_INTERVAL_MS: Final = 5_000
SESSION_TIMEOUT_MS: Final = 45_000
MAX_POLL_INTERVAL_MS: Final = 300_000
# A heartbeat is a function call here; the sooner a rebalance is seen, the sooner it is over.
HEARTBEAT_INTERVAL_MS: Final = 100
TOPIC_CHECK_S: Final = 1.0  # how often a consumer without a group looks for new partitions
MS_PER_S: Final = 1_000

Listener = Callable[["list[Partition]"], object]


@dataclass(slots=True)
class _Position:
    """Where reading of a partition goes on. None: not known yet."""

    offset: int | None = None
    is_paused: bool = False
    gone_until: float = 0.0  # of the monotonic clock: it is not there, and is not asked for before

    def is_readable(self) -> bool:
        """Whether there may be something to be read."""
        return not self.is_paused and self.gone_until <= time.monotonic()


class Consumer(NativeReader, Closing):
    """Reads topics of its broker, as a member of a group or, without one, all their partitions.

    Iterating gives `ConsumedBatch`es as they come; it ends when there was none for `timeout`
    seconds, by default never. The same holds for `async for`.

    `auto_offset_reset`: where reading begins without a committed offset, or when the offset is
    gone: latest (as with Kafka's clients), earliest, or none, which raises. `isolation_level`:
    read_uncommitted or read_committed. `fetch_bytes`: of one partition's batches in the log at a
    time; a larger batch comes whole. `on_assigned` and `on_revoked` get lists of (topic,
    partition).

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
        _check_choice("auto_offset_reset", auto_offset_reset, RESETS)
        _check_choice("isolation_level", isolation_level, ISOLATION_LEVELS)
        if isinstance(topics, str):
            raise TypeError("topics are a list of names, not one name")
        if group == "":
            raise ConfigError("group is empty")
        if fetch_bytes <= 0:
            raise ConfigError(f"fetch_bytes {fetch_bytes} is not above zero")
        super().__init__(
            host.services.core,
            max_bytes=fetch_bytes,
            read_committed=isolation_level == "read_committed",
            check_crcs=check_crcs,
        )
        self._host = host
        self._is_committed_only = isolation_level == "read_committed"
        self._topics = frozenset(topics)
        self._reset = auto_offset_reset
        self._timeout = timeout
        self._on_assigned = on_assigned
        self._on_revoked = on_revoked
        self._positions: dict[Partition, _Position] = {}
        self._turn: list[Partition] = []  # the one that has waited longest first
        self._topics_checked_at = float("-inf")
        self._is_closed = False
        self._closing = threading.Lock()
        self._woken = False
        self._membership: Membership | None = None
        self._joining: Future[list[Partition]] | None = None
        self._offsets: GroupOffsets | None = None
        self._commit_interval_s: float | None = None
        if group is not None:
            from barnabas.embedded.membership import MemberConfig, Membership

            if enable_auto_commit:
                self._commit_interval_s = auto_commit_interval_ms / MS_PER_S
            config = MemberConfig(
                group_id=group,
                topics=self._topics,
                group_instance_id=group_instance_id,
                session_timeout_ms=session_timeout_ms,
                heartbeat_interval_ms=heartbeat_interval_ms,
                max_poll_interval_ms=max_poll_interval_ms,
            )
            self._membership = Membership(host.services, config, self.notify)
            self._offsets = GroupOffsets(host, group, self._membership)
        self._next_commit_at = self._commit_time()

    # -- reading

    def poll(self, timeout: float | None = 0) -> ConsumedBatch | None:
        """The next records of one partition, or None when there are none within `timeout` seconds
        (None: for ever). Also does what the group wants: joining, committing. Raises KafkaError.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN)
        while True:
            self.clear()
            if self._is_upkeep_due():
                self._do_upkeep()
            is_over, batch = self._look(deadline)
            if is_over:
                return batch
            poller.poll(self._wait_s(deadline) * MS_PER_S)

    async def poll_async(self, timeout: float | None = 0) -> ConsumedBatch | None:
        """As `poll`, without keeping the event loop from anything else."""
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else time.monotonic() + timeout
        ready = asyncio.Event()
        loop.add_reader(self.fileno(), ready.set)
        try:
            while True:
                self.clear()
                ready.clear()
                if self._is_upkeep_due():
                    await asyncio.to_thread(self._do_upkeep)
                is_over, batch = self._look(deadline)
                if is_over:
                    return batch
                with suppress(TimeoutError):
                    await asyncio.wait_for(ready.wait(), self._wait_s(deadline))
        finally:
            loop.remove_reader(self.fileno())

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
        return self._commit_interval_s is not None

    def assignment(self) -> list[Partition]:
        """The (topic, partition)s that it reads."""
        return sorted(self._positions)

    def position(self, topic: str, partition: int) -> int:
        """The offset that is read next. Raises KeyError for a partition that it does not read."""
        return self._locate((topic, partition), self._positions[topic, partition])

    def positions(self) -> dict[Partition, int]:
        """The offsets that are read next of the partitions from which something was read."""
        return {
            partition: position.offset
            for partition, position in self._positions.items()
            if position.offset is not None
        }

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Goes on at an offset. Raises KeyError for a partition that it does not read."""
        if offset < 0:
            raise ValueError(f"offset {offset} is below zero")
        self._positions[topic, partition].offset = offset

    def seek_to_beginning(self) -> None:
        """Goes on with the first record of each partition."""
        for partition, position in self._positions.items():
            position.offset = self._start_of(partition)

    def seek_to_end(self) -> None:
        """Goes on behind the last record of each partition."""
        for partition, position in self._positions.items():
            position.offset = self._end_of(partition)

    def seek_to_time(self, timestamp_ms: int) -> None:
        """Goes on with the first record at or after a time (ms since the epoch) of each partition;
        behind the last one where there is none.
        """
        core = self._host.services.core
        for partition, position in self._positions.items():
            _, offset, _ = core.offset_for_timestamp(*partition, timestamp_ms)
            position.offset = self._end_of(partition) if offset < 0 else offset

    def pause(self, topic: str, partition: int) -> None:
        """Hands out nothing of a partition until `resume`."""
        self._positions[topic, partition].is_paused = True

    def resume(self, topic: str, partition: int) -> None:
        """Goes on with a partition."""
        self._positions[topic, partition].is_paused = False

    def lag(self) -> dict[Partition, int]:
        """How many offsets each partition has that were not handed out yet."""
        return {
            partition: max(0, self._end_of(partition) - self._locate(partition, position))
            for partition, position in self._positions.items()
        }

    # -- offsets of the group

    def commit(self, offsets: Mapping[Partition, int] | None = None) -> None:
        """Stores that everything handed out so far, or what `offsets` say, was read: the group goes
        on from there. Raises KafkaError, ValueError without a group.
        """
        self._need_group().commit(self.positions() if offsets is None else offsets)

    def committed(self) -> dict[Partition, int]:
        """What the group has committed of the partitions that this consumer reads."""
        return self._need_group().committed(self._positions, self._is_committed_only)

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
        self.notify()
        if self._membership is not None:
            if self._joining is not None:
                self._joining.cancel()
            self._revoke()
            self._host.call(self._membership.leave)

    # -- one step of reading

    def _look(self, deadline: float | None) -> tuple[bool, ConsumedBatch | None]:
        """Whether a poll is over, and with what. If it is not, news wakes it from here on."""
        batch = self._take()
        if batch is not None or self._take_wake_up():
            return True, batch
        if deadline is not None and time.monotonic() >= deadline:
            return True, None
        self._watch()
        return False, None

    def _take(self) -> ConsumedBatch | None:
        """The next records of the partition whose turn it is."""
        for index, partition in enumerate(self._turn):
            position = self._positions[partition]
            if not position.is_readable():
                continue
            batch = self._fetch(partition, position)
            if batch is not None:
                self._turn.append(self._turn.pop(index))
                return batch
        return None

    def _fetch(self, partition: Partition, position: _Position) -> ConsumedBatch | None:
        try:
            offset = self._locate(partition, position)
            columns, next_offset, _, _ = self.fetch(*partition, offset)
        except KafkaError as error:
            if error.code is ErrorCode.unknown_topic_or_partition:
                # Deleted: the group will see, or the next look at the topics.
                position.gone_until = time.monotonic() + TOPIC_CHECK_S
                return None
            if error.code is not ErrorCode.offset_out_of_range:
                raise
            position.offset = self._reset_of(partition)
            return None
        position.offset = next_offset
        if columns is None:
            return None
        return ConsumedBatch(*partition, columns, next_offset)

    def _watch(self) -> None:
        self.watch(
            (*partition, position.offset)
            for partition, position in self._positions.items()
            if position.is_readable() and position.offset is not None
        )

    def _wait_s(self, deadline: float | None) -> float:
        """How long to wait for news at most."""
        now = time.monotonic()
        until = [now + TOPIC_CHECK_S]
        if deadline is not None:
            until.append(deadline)
        if self._joining is None:
            until.append(self._next_commit_at)
        return max(0.0, min(until) - now)

    def _take_wake_up(self) -> bool:
        woken, self._woken = self._woken, False
        return woken

    def _locate(self, partition: Partition, position: _Position) -> int:
        if position.offset is None:
            position.offset = self._reset_of(partition)
        return position.offset

    def _reset_of(self, partition: Partition) -> int:
        if self._reset == "none":
            raise KafkaError(
                ErrorCode.offset_out_of_range,
                f"{partition[0]}-{partition[1]}: there is no offset to go on from, and "
                "auto_offset_reset is none",
            )
        is_earliest = self._reset == "earliest"
        return self._start_of(partition) if is_earliest else self._end_of(partition)

    def _start_of(self, partition: Partition) -> int:
        return self._host.services.core.partition_info(*partition).log_start_offset

    def _end_of(self, partition: Partition) -> int:
        info = self._host.services.core.partition_info(*partition)
        return info.last_stable_offset if self._is_committed_only else info.high_watermark

    # -- upkeep: what may wait for the broker's loop

    def _is_upkeep_due(self) -> bool:
        now = time.monotonic()
        if self._is_closed:
            return True
        if self._membership is None:
            return now - self._topics_checked_at >= TOPIC_CHECK_S
        self._membership.polled_at = now
        if self._joining is not None:
            return self._joining.done()
        return self._membership.needs_join or now >= self._next_commit_at

    def _do_upkeep(self) -> None:
        if self._is_closed:
            raise BrokerClosed("the consumer is closed")
        if self._membership is None:
            self._check_topics()
        elif self._joining is not None:
            joining, self._joining = self._joining, None
            self._assign(joining.result())
        elif self._membership.needs_join:
            self._revoke()
            self._joining = self._host.begin(self._membership.join)
            self._joining.add_done_callback(lambda _: self.notify())
        else:
            self._commit_if_due()

    def _check_topics(self) -> None:
        """Without a group: every partition there is, new ones from their beginning on."""
        is_first = self._topics_checked_at == float("-inf") and not self._positions
        self._topics_checked_at = time.monotonic()
        found = {
            (topic, partition)
            for topic in self._topics
            for partition in range(self.partition_count(topic))
        }
        for partition in found - self._positions.keys():
            start = None if is_first else self._start_of(partition)
            self._positions[partition] = _Position(start)
        for partition in self._positions.keys() - found:
            del self._positions[partition]
        self._turn = sorted(self._positions)

    def _assign(self, partitions: list[Partition]) -> None:
        """Goes on where the group has stopped."""
        committed = self._need_group().committed(partitions, self._is_committed_only)
        self._positions = {p: _Position(committed.get(p)) for p in sorted(partitions)}
        self._turn = list(self._positions)
        if self._on_assigned is not None:
            self._on_assigned(self.assignment())

    def _revoke(self) -> None:
        """Before the group shares its partitions out anew."""
        if not self._positions:
            return
        if self._on_revoked is not None:
            self._on_revoked(self.assignment())
        try:
            self._commit_if_due(at_once=True)
        except KafkaError as error:
            # Thrown out: somebody else goes on from the last commit.
            logger.warning("group %s: not committed: %s", self.group, error)
        self._positions = {}
        self._turn = []

    def _commit_if_due(self, *, at_once: bool = False) -> None:
        if at_once or time.monotonic() >= self._next_commit_at:
            self._next_commit_at = self._commit_time()
            if self.commits_by_itself:
                self.commit()

    def _commit_time(self) -> float:
        interval_s = self._commit_interval_s
        return float("inf") if interval_s is None else time.monotonic() + interval_s

    def _need_group(self) -> GroupOffsets:
        if self._offsets is None:
            raise ValueError("the consumer has no group")
        return self._offsets


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} {value!r} is not one of {', '.join(choices)}")
