"""The committed offsets of a consumer's group."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from barnabas.embedded.host import RETRY_S, Host, answer, check
from barnabas.state.effects import Producer as ProducerIdentity
from barnabas.state.group.commit import DEFAULT_RETENTION, CommitRequest, OffsetToCommit

if TYPE_CHECKING:
    from barnabas.embedded.consumer_protocol import Partition
    from barnabas.embedded.membership import Membership

NO_LEADER_EPOCH = -1
Member = tuple[str, int, str | None]
"""Member id, generation, group instance id."""


def commit_request(
    group: str,
    member: Member,
    offsets: Mapping[Partition, int],
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
            OffsetToCommit(topic, number, offset, NO_LEADER_EPOCH, "")
            for (topic, number), offset in offsets.items()
        ],
        producer=producer,
    )


class GroupOffsets:
    """OffsetCommit and OffsetFetch for one member. Blocks on the broker's loop."""

    def __init__(self, host: Host, group: str, member: Membership) -> None:
        self.group = group
        self._host = host
        self._member = member

    def membership(self) -> Member:
        """Who commits."""
        return self._member.member_id, self._member.generation, self._member.group_instance_id

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Stores offsets. Raises KafkaError."""
        if not offsets:
            return
        request = commit_request(self.group, self.membership(), offsets)

        async def commit() -> None:
            response = await answer(partial(self._host.services.groups.commit, request))
            check(response.error, f"group {self.group}")
            for (topic, number), error in (response.rejected or {}).items():
                check(error, f"group {self.group}, {topic}-{number}")

        self._host.call(commit)

    def committed(
        self, partitions: Collection[Partition], is_committed_only: bool
    ) -> dict[Partition, int]:
        """What the group has stored of the partitions. `is_committed_only`: waits for transactions
        that are about to store more (KIP-447).
        """

        async def fetch() -> dict[Partition, int]:
            groups = self._host.services.groups
            while True:
                offsets, error = groups.committed(self.group)
                check(error, f"group {self.group}")
                unstable = is_committed_only and any(
                    groups.is_unstable(self.group, *partition) for partition in partitions
                )
                if not unstable:
                    return {
                        (topic, number): offsets[topic][number].offset
                        for topic, number in partitions
                        if number in offsets.get(topic, ())
                    }
                await asyncio.sleep(RETRY_S)

        return self._host.call(fetch)
