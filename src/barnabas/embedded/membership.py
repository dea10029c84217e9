"""A consumer's place in its group: joins, takes its assignment, heartbeats, leaves.

Everything here runs on the broker's loop; `notify` tells the consumer, whatever its thread, that
there is news. The group is the one of network clients: a classic group with Kafka's own embedded
protocol, in which any member may lead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from kio.schema.errors import ErrorCode

from barnabas.arguments import INT32_MAX, check_range
from barnabas.embedded.consumer_protocol import (
    ASSIGNORS,
    Partition,
    decode_assignment,
    encode_assignment,
    encode_subscription,
)
from barnabas.embedded.host import RETRIED, RETRY_S, answer, check
from barnabas.errors import BrokerClosed, ConfigError
from barnabas.state.group.join import JoinRequest
from barnabas.state.group.liveness import Leaver
from barnabas.state.group.member import Protocol
from barnabas.state.group.subscription import CONSUMER_PROTOCOL_TYPE, subscribed_topics
from barnabas.state.group.sync import SyncRequest

if TYPE_CHECKING:
    from barnabas.handlers.services import Services
    from barnabas.state.group.responses import JoinResponse

NO_MEMBER: Final = ""
NO_GENERATION: Final = -1
CLIENT_ID: Final = "barnabas-embedded"
MS_PER_S: Final = 1_000
_LOST: Final = frozenset({ErrorCode.unknown_member_id, ErrorCode.illegal_generation})


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberConfig:
    """How a consumer is a member. Times in ms, of Kafka's int32. Raises ConfigError, TypeError."""

    group_id: str
    topics: frozenset[str]
    group_instance_id: str | None
    session_timeout_ms: int
    heartbeat_interval_ms: int
    max_poll_interval_ms: int

    def __post_init__(self) -> None:
        if not self.group_id:
            raise ConfigError("group is empty")
        for name in ("session_timeout_ms", "heartbeat_interval_ms", "max_poll_interval_ms"):
            check_range(name, getattr(self, name), 1, INT32_MAX, error=ConfigError)


class Membership:
    """One member. To be used on the broker loop's thread, but for what is said to be read."""

    def __init__(
        self, services: Services, config: MemberConfig, notify: Callable[[], None]
    ) -> None:
        """Raises ConfigError for a session that the broker would refuse, or that would end between
        two heartbeats.
        """
        limits = [f"group.{end}.session.timeout.ms" for end in ("min", "max")]
        check_range(
            "session_timeout_ms",
            config.session_timeout_ms,
            *map(services.config.integer, limits),
            error=ConfigError,
            says=f"the broker's {' and '.join(limits)}",
        )
        if config.heartbeat_interval_ms >= config.session_timeout_ms:
            raise ConfigError(
                f"heartbeat_interval_ms {config.heartbeat_interval_ms} must be less than "
                f"session_timeout_ms, which is {config.session_timeout_ms}"
            )
        self._services = services
        self._config = config
        self._notify = notify
        self._heartbeats: asyncio.Task[None] | None = None
        self._has_left = False
        # What the assignment was made for; the leader's to know, nobody else watches.
        self._topic_sizes: dict[str, int] = {}
        # Of the consumer's thread, too.
        self.polled_at = 0.0  # when the consumer last asked for records, of the monotonic clock
        self.member_id = NO_MEMBER
        self.generation = NO_GENERATION
        self.needs_join = True

    async def join(self) -> list[Partition]:
        """Joins, or joins again: the partitions to read from now on. Raises KafkaError, and
        BrokerClosed once it has left.
        """
        self._stop_heartbeats()
        groups = self._services.groups
        await groups.ensure_topic()
        while True:
            self._check_not_left()
            joined = await answer(partial(groups.join, self._join_request()))
            if self._has_left:
                await self._leave_as(joined.member_id)
            elif joined.error is ErrorCode.member_id_required:
                self.member_id = joined.member_id  # known from here on, to leave with
            elif joined.error in _LOST:
                self.member_id = NO_MEMBER
            elif joined.error in RETRIED:
                await asyncio.sleep(RETRY_S)
            else:
                check(joined.error, f"group {self._config.group_id}")
                self.member_id, self.generation = joined.member_id, joined.generation_id
                partitions = await self._sync(joined)
                self._check_not_left()
                if partitions is not None:
                    self.needs_join = False
                    self._heartbeats = asyncio.create_task(self._beat())
                    return partitions

    @property
    def group_instance_id(self) -> str | None:
        """The name of a static member."""
        return self._config.group_instance_id

    async def leave(self) -> None:
        """Leaves for good, so that others need not wait for the session timeout, in the middle of a
        join, too. A static member stays.
        """
        self._has_left = True
        self._stop_heartbeats()
        member_id, self.member_id = self.member_id, NO_MEMBER
        await self._leave_as(member_id)

    async def _leave_as(self, member_id: str) -> None:
        """A static member stays, until its session times out."""
        if member_id != NO_MEMBER and self._config.group_instance_id is None:
            leavers = (Leaver(member_id, None),)
            await answer(partial(self._services.groups.leave, self._config.group_id, leavers))

    def _check_not_left(self) -> None:
        if self._has_left:
            raise BrokerClosed("the consumer is closed")

    def _join_request(self) -> JoinRequest:
        metadata = encode_subscription(self._config.topics)
        return JoinRequest(
            group_id=self._config.group_id,
            member_id=self.member_id,
            group_instance_id=self._config.group_instance_id,
            client_id=CLIENT_ID,
            client_host="/127.0.0.1",
            session_timeout_ms=self._config.session_timeout_ms,
            rebalance_timeout_ms=self._config.max_poll_interval_ms,
            protocol_type=CONSUMER_PROTOCOL_TYPE,
            protocols=tuple(Protocol(name, metadata) for name in ASSIGNORS),
            requires_known_member_id=True,  # whoever leaves while joining knows who it is
            supports_skip_assignment=True,
        )

    async def _sync(self, joined: JoinResponse) -> list[Partition] | None:
        """The assignment; None when the group has gone on meanwhile."""
        assignments: dict[str, bytes] = {}
        is_leader = joined.leader_id == joined.member_id
        self._topic_sizes = {}
        if is_leader and joined.skip_assignment:
            self._topic_sizes = self._assigned_sizes(joined)
        elif is_leader:
            assignments = self._assign(joined)
        request = SyncRequest(
            group_id=self._config.group_id,
            generation_id=joined.generation_id,
            member_id=joined.member_id,
            group_instance_id=self._config.group_instance_id,
            protocol_type=joined.protocol_type,
            protocol_name=joined.protocol_name,
            assignments=assignments,
        )
        synced = await answer(partial(self._services.groups.sync, request))
        if synced.error in _LOST:
            self.member_id = NO_MEMBER
        elif synced.error is not ErrorCode.rebalance_in_progress and synced.error not in RETRIED:
            check(synced.error, f"group {self._config.group_id}")
            return decode_assignment(synced.assignment)
        return None

    def _assign(self, joined: JoinResponse) -> dict[str, bytes]:
        members = _subscriptions(joined)
        self._topic_sizes = self._sizes(frozenset().union(*members.values()))
        assignment = ASSIGNORS[joined.protocol_name or ""](members, self._topic_sizes)
        return {member: encode_assignment(parts) for member, parts in assignment.items()}

    def _assigned_sizes(self, joined: JoinResponse) -> dict[str, int]:
        """What the assignment that goes on over a static leader's restart (KIP-814) was made for:
        as many partitions of each topic as somebody has. It may have grown meanwhile.
        """
        sizes = dict.fromkeys(frozenset().union(*_subscriptions(joined).values()), 0)
        group, _ = self._services.groups.describe(self._config.group_id)
        for member in () if group is None else group.members:
            with suppress(ValueError):  # another leader's, and none that we can read
                for topic, _ in decode_assignment(member.assignment):
                    if topic in sizes:
                        sizes[topic] += 1
        return sizes

    def _sizes(self, topics: frozenset[str]) -> dict[str, int]:
        catalog = self._services.catalog
        records = {topic: catalog.topic(topic) for topic in topics}
        return {
            topic: 0 if record is None else len(record.partitions)
            for topic, record in records.items()
        }

    async def _beat(self) -> None:
        """Heartbeats until this member joins again, or is none any more."""
        config = self._config
        while self.member_id != NO_MEMBER:
            await asyncio.sleep(config.heartbeat_interval_ms / MS_PER_S)
            error = self._services.groups.heartbeat(
                config.group_id, self.member_id, config.group_instance_id, self.generation
            )
            is_stuck = time.monotonic() - self.polled_at > config.max_poll_interval_ms / MS_PER_S
            if error in _LOST:
                self.member_id = NO_MEMBER
            elif is_stuck:  # it must not keep its partitions from the others
                member_id, self.member_id = self.member_id, NO_MEMBER
                await self._leave_as(member_id)
            has_news = error is not ErrorCode.none and error not in RETRIED
            has_grown = self._sizes(frozenset(self._topic_sizes)) != self._topic_sizes
            if not self.needs_join and (has_news or is_stuck or has_grown):
                self.needs_join = True
                self._notify()

    def _stop_heartbeats(self) -> None:
        if self._heartbeats is not None:
            self._heartbeats.cancel()
            self._heartbeats = None


def _subscriptions(joined: JoinResponse) -> dict[str, frozenset[str]]:
    """Topics by member id."""
    return {
        member.member_id: subscribed_topics(member.metadata) or frozenset()
        for member in joined.members
    }
