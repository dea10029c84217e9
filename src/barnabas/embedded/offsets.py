"""The committed offsets of a consumer's group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from kio.schema.errors import ErrorCode

from barnabas.arguments import INT32_MAX, check_range, deadline_after, wrong_type
from barnabas.embedded.host import (
    API_TIMEOUT_S,
    RETRIED,
    RETRY_S,
    Host,
    answer_when_ready,
    check,
)
from barnabas.errors import KafkaError
from barnabas.state.effects import Producer as ProducerIdentity
from barnabas.state.group.commit import DEFAULT_RETENTION, CommitRequest, OffsetToCommit
from barnabas.state.group.records import NO_TOPIC_ID

if TYPE_CHECKING:
    from barnabas.embedded.consumer_protocol import Partition
    from barnabas.embedded.membership import Membership
    from barnabas.embedded.positions import ReadOffset
    from barnabas.state.group.responses import CommitResponse

NO_LEADER_EPOCH = -1
GONE_ON = frozenset(
    {
        ErrorCode.group_id_not_found,
        ErrorCode.unknown_member_id,
        ErrorCode.illegal_generation,
        ErrorCode.rebalance_in_progress,
    }
)
"""Of a commit's errors those that say that the group has gone on, and its member joins again."""
_GONE = frozenset({ErrorCode.unknown_topic_or_partition, ErrorCode.unknown_topic_id})
Member = tuple[str, int, str | None]
"""Member id, generation, group instance id."""


def commit_request(
    group: str,
    member: Member,
    offsets: Iterable[ReadOffset],
    producer: ProducerIdentity | None = None,
) -> CommitRequest:
    """OffsetCommit, or as part of a producer's transaction TxnOffsetCommit."""
    member_id, generation, instance_id = member
    return CommitRequest(
        group_id=group,
        generation_id=generation,
        member_id=member_id,
        group_instance_id=instance_id,
        retention_ms=DEFAULT_RETENTION,
        knows_group_id_not_found=producer is None,
        offsets=[
            OffsetToCommit(
                topic, number, offset, NO_LEADER_EPOCH, "", NO_TOPIC_ID if id_ is None else id_
            )
            for topic, number, offset, id_ in offsets
        ],
        producer=producer,
    )


def check_offsets(offsets: Mapping[Partition, int]) -> None:
    """Raises TypeError and ValueError for what are no offsets by partition."""
    if not isinstance(offsets, Mapping):
        raise wrong_type("offsets", offsets, "a dict of (topic, partition) to offset, or None")
    for partition, offset in offsets.items():
        is_pair = isinstance(partition, tuple) and len(partition) == 2
        if not (is_pair and isinstance(partition[0], str)):
            raise wrong_type("each key of offsets", partition, "(topic, partition)")
        check_range("each partition of offsets", partition[1], 0, INT32_MAX)
        check_range("each of offsets", offset, 0)


def check_committed(group: str, response: CommitResponse, *, is_gone_fine: bool) -> None:
    """Raises KafkaError for offsets that are not stored. `is_gone_fine`: but not for those of
    topics that are no more, as nobody goes on from there.
    """
    refused = [
        (partition, error)
        for partition, error in (response.rejected or {}).items()
        if not (is_gone_fine and error in _GONE)
    ]
    check(response.error, f"group {group}")
    for (topic, number), error in refused:
        check(error, f"group {group}, {topic}-{number}")


class GroupOffsets:
    """OffsetCommit and OffsetFetch for one member. Blocks on the broker's loop.

    `is_committed_only`: what transactions are about to store is waited for (KIP-447).
    """

    def __init__(self, host: Host, group: str, member: Membership, is_committed_only: bool) -> None:
        self.group = group
        self._host = host
        self._member = member
        self._is_committed_only = is_committed_only

    def membership(self) -> Member:
        """Who commits."""
        return self._member.member_id, self._member.generation, self._member.group_instance_id

    def commit(self, offsets: Collection[ReadOffset], *, is_gone_fine: bool = False) -> None:
        """Stores offsets. Raises KafkaError; see `check_committed`."""
        if not offsets:
            return
        request = commit_request(self.group, self.membership(), offsets)

        async def commit() -> None:
            groups = self._host.services.groups
            await groups.ensure_topic()
            response = await answer_when_ready(partial(groups.commit, request), API_TIMEOUT_S)
            if self._member.needs_join and response.error is ErrorCode.unknown_member_id:
                raise KafkaError(
                    response.error,
                    f"group {self.group} has members, and this consumer is none yet, or none any "
                    "more: it joins in `poll`",
                )
            check_committed(self.group, response, is_gone_fine=is_gone_fine)

        self._host.call(commit)

    def stable(self, partitions: Collection[Partition]) -> dict[Partition, int] | None:
        """What the group has stored of the partitions; None when a transaction has yet to decide
        about more. Raises KafkaError.
        """

        async def fetch() -> dict[Partition, int] | None:
            groups = self._host.services.groups
            offsets, error = groups.committed(self.group)
            deadline = time.monotonic() + API_TIMEOUT_S
            while error in RETRIED and time.monotonic() < deadline:
                await asyncio.sleep(RETRY_S)
                offsets, error = groups.committed(self.group)
            check(error, f"group {self.group}")
            if self._is_committed_only and any(
                groups.is_unstable(self.group, *partition) for partition in partitions
            ):
                return None
            return {
                (topic, number): offsets[topic][number].offset
                for topic, number in partitions
                if number in offsets.get(topic, ())
            }

        return self._host.call(fetch)

    def committed(
        self, partitions: Collection[Partition], timeout: float | None
    ) -> dict[Partition, int]:
        """As `stable`, which it waits for. Raises TimeoutError after `timeout` seconds."""
        deadline = deadline_after(timeout)
        self._host.call(self._host.services.groups.ensure_topic)
        while (offsets := self.stable(partitions)) is None:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(
                    f"a transaction with offsets of group {self.group} is open after {timeout} s"
                )
            time.sleep(RETRY_S)
        return offsets
