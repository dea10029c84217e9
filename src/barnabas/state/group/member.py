"""A member of a classic group: who it is, what it supports, what it was assigned."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from barnabas.state.effects import Token
from barnabas.state.group.records import MemberValue

UNKNOWN_MEMBER_ID = ""


class Protocol(NamedTuple):
    """One assignment strategy a member supports, and its metadata (its subscription)."""

    name: str
    metadata: bytes


@dataclass(slots=True, kw_only=True)
class Member:
    """A member of a group.

    `session_deadline_ms` is when it is given up unless it is heard of; `session_wakeup_ms` is when
    its timer will fire. A heartbeat moves only the deadline: the timer finds out when it fires.
    """

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    protocol_type: str
    protocols: tuple[Protocol, ...]
    assignment: bytes = b""
    awaiting_join: Token | None = None
    awaiting_sync: Token | None = None
    is_new: bool = False  # has not finished its first JoinGroup, so it cannot send heartbeats
    session_deadline_ms: int = 0
    session_wakeup_ms: int | None = None

    @property
    def is_static(self) -> bool:
        """Whether it has a group.instance.id."""
        return self.group_instance_id is not None

    @property
    def is_excused_from_heartbeat(self) -> bool:
        """Whether a parked request shows that it lives. A new member's parked JoinGroup does not:
        a client that gave up and retried leaves one behind.
        """
        return not self.is_new and (
            self.awaiting_join is not None or self.awaiting_sync is not None
        )

    @property
    def protocol_names(self) -> frozenset[str]:
        """The names of the protocols it supports."""
        return frozenset(protocol.name for protocol in self.protocols)

    def metadata(self, protocol_name: str | None) -> bytes:
        """Its metadata for a protocol; empty if it does not support it."""
        for protocol in self.protocols:
            if protocol.name == protocol_name:
                return protocol.metadata
        return b""

    def vote(self, candidates: Collection[str]) -> str:
        """Its first choice among `candidates`, of which it supports at least one."""
        return next(name for name, _ in self.protocols if name in candidates)

    def to_value(self, protocol_name: str | None, assignment: bytes) -> MemberValue:
        """What is persisted of it."""
        return MemberValue(
            member_id=self.member_id,
            group_instance_id=self.group_instance_id,
            client_id=self.client_id,
            client_host=self.client_host,
            rebalance_timeout_ms=self.rebalance_timeout_ms,
            session_timeout_ms=self.session_timeout_ms,
            subscription=self.metadata(protocol_name),
            assignment=assignment,
        )
