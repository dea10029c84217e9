"""The leader epoch that a client believes in, against the one in force (KIP-320)."""

from typing import TYPE_CHECKING

from kio.schema.errors import ErrorCode

if TYPE_CHECKING:
    from barnabas._core import PartitionInfo


def check_leader_epoch(info: "PartitionInfo", current_leader_epoch: int) -> ErrorCode | None:
    """The error for a client whose metadata is older or newer than ours; -1 is never wrong."""
    if current_leader_epoch < 0 or current_leader_epoch == info.leader_epoch:
        return None
    if current_leader_epoch < info.leader_epoch:
        return ErrorCode.fenced_leader_epoch
    return ErrorCode.unknown_leader_epoch
