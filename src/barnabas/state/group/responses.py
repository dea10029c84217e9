"""Answers to group requests, as values. Handlers turn them into protocol messages."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from kio.schema.errors import ErrorCode

NO_GENERATION = -1


class JoinedMember(NamedTuple):
    """A member as the leader sees it, to compute the assignment."""

    member_id: str
    group_instance_id: str | None
    metadata: bytes


class JoinResponse(NamedTuple):
    """JoinGroupResponse."""

    error: ErrorCode = ErrorCode.none
    generation_id: int = NO_GENERATION
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader_id: str = ""
    skip_assignment: bool = False
    member_id: str = ""
    members: tuple[JoinedMember, ...] = ()


class SyncResponse(NamedTuple):
    """SyncGroupResponse."""

    error: ErrorCode = ErrorCode.none
    protocol_type: str | None = None
    protocol_name: str | None = None
    assignment: bytes = b""


class LeftMember(NamedTuple):
    """What became of one member of a LeaveGroup request."""

    member_id: str
    group_instance_id: str | None
    error: ErrorCode


class LeaveResponse(NamedTuple):
    """LeaveGroupResponse, version 3 and up: one result a member."""

    error: ErrorCode = ErrorCode.none
    members: tuple[LeftMember, ...] = ()


class CommitResponse(NamedTuple):
    """OffsetCommitResponse: `error` for every partition, or `rejected` for some of them."""

    error: ErrorCode = ErrorCode.none
    rejected: dict[tuple[str, int], ErrorCode] | None = None


class DeleteOffsetsResponse(NamedTuple):
    """OffsetDeleteResponse: `error` for the whole request, or `rejected` for some partitions."""

    error: ErrorCode = ErrorCode.none
    rejected: Mapping[tuple[str, int], ErrorCode] = MappingProxyType({})


class DescribedMember(NamedTuple):
    """A member in DescribeGroupsResponse."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    metadata: bytes
    assignment: bytes


class DescribedGroup(NamedTuple):
    """A group in DescribeGroupsResponse."""

    group_id: str
    state: str
    protocol_type: str
    protocol_name: str
    members: tuple[DescribedMember, ...]


class ListedGroup(NamedTuple):
    """A group in ListGroupsResponse."""

    group_id: str
    protocol_type: str
    state: str
    group_type: str
