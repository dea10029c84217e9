"""What the operations of a coordinator's state machine ask of the world: appends and replies.

The machine never does any of it: the driver does, each list in its order. When an append is done,
which is never before the other effects of its event, the driver feeds `Append.outcome` back through
the machine's `appended` or `append_failed`, which yields the next effects. Shared by `group` and
`txn`, whose own effects add what else they need.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from kio.schema.errors import ErrorCode

R = TypeVar("R")

Token = object
"""Names one waiting request. Opaque here; each token is answered exactly once."""

NO_PRODUCER_ID = -1
NO_PRODUCER_EPOCH = -1

TOMBSTONES_PER_APPEND = 4_096
"""An append is one batch, which max.message.bytes limits."""

CANNOT_BE_STORED = ErrorCode.invalid_record
"""The failure of an append whose records have no bytes: it will not do better next time."""


class Producer(NamedTuple):
    """A producer, as record batches name it."""

    producer_id: int
    producer_epoch: int


class Marker(NamedTuple):
    """The control record that ends a producer's transaction in a partition (EndTxnMarker)."""

    producer: Producer
    is_commit: bool
    coordinator_epoch: int
    transaction_version: int = 0  # from 2 on its epoch is above that of the records (KIP-1228)


class Reply(NamedTuple):
    """The answer to the request that `token` stands for."""

    token: Token
    response: object


class Append(NamedTuple, Generic[R]):
    """Records to append as one batch, or a marker, and the event to feed back when that is done."""

    records: tuple[R, ...]
    outcome: object
    producer: Producer | None = None  # whose transaction the records are part of
    marker: Marker | None = None  # instead of records


@dataclass(slots=True)
class Effects(Generic[R]):
    """Everything one event caused."""

    appends: list[Append[R]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    def reply(self, token: Token, response: object) -> None:
        """Answers the request that `token` stands for."""
        self.replies.append(Reply(token, response))

    def append(
        self, records: Iterable[R], outcome: object, producer: Producer | None = None
    ) -> None:
        """Asks for `records` to be appended as one batch, perhaps of a producer's transaction."""
        self.appends.append(Append(tuple(records), outcome, producer))

    def append_marker(self, marker: Marker, outcome: object) -> None:
        """Asks for the marker to be appended."""
        self.appends.append(Append((), outcome, marker=marker))
