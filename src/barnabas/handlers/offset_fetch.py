"""OffsetFetch (API key 9), versions 1-10: how far a group has read.

A partition without a committed offset has -1. Null topics mean all there are (from version 2 on). 7
can ask for stable offsets only, 8 for several groups at once; 10 names topics by id.
"""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.state.group.records import NO_TOPIC_ID, CommittedOffset

GROUP_ERROR_FROM_VERSION = 2
BATCHED_FROM_VERSION = 8
TOPIC_IDS_FROM_VERSION = 10

_Fields = dict[str, Any]


def handle(call: Call) -> Response:
    """Answers at once."""
    request = call.request
    if call.version >= BATCHED_FROM_VERSION:
        return call.response(groups=[_fetch_group(call, group) for group in request.groups])
    fields = _fetch_group(call, request)
    error = fields["error_code"]
    if error is not ErrorCode.none and call.version < GROUP_ERROR_FROM_VERSION:
        fields["topics"] = [
            {
                "name": topic.name,
                "partitions": [_no_offset(index, error) for index in topic.partition_indexes],
            }
            for topic in request.topics
        ]
    return call.response(**fields)


def _fetch_group(call: Call, group: Any) -> _Fields:
    groups = call.services.groups
    committed, error = groups.committed(group.group_id)
    fields: _Fields = {"group_id": group.group_id, "error_code": error, "topics": []}
    if error is not ErrorCode.none:
        return fields
    fetch = _Fetch(call, group.group_id, committed)
    fields["topics"] = fetch.all_topics() if group.topics is None else fetch.topics(group.topics)
    return fields


class _Fetch:
    """The offsets of one group for one request."""

    def __init__(
        self, call: Call, group_id: str, committed: Mapping[str, Mapping[int, CommittedOffset]]
    ) -> None:
        self._call = call
        self._group_id = group_id
        self._committed = committed
        self._has_ids = call.version >= TOPIC_IDS_FROM_VERSION
        self._require_stable = getattr(call.request, "require_stable", False)

    def topics(self, topics: Iterable[Any]) -> list[_Fields]:
        """The offsets of the partitions asked for."""
        return [
            self._topic_by_id(topic.topic_id, topic.partition_indexes)
            if self._has_ids
            else self._topic(topic.name, NO_TOPIC_ID, topic.partition_indexes)
            for topic in topics
        ]

    def all_topics(self) -> list[_Fields]:
        """All offsets of the group; with topic ids, those of topics that still exist."""
        found = []
        for name, offsets in self._committed.items():
            record = self._call.services.catalog.topic(name) if self._has_ids else None
            if record is not None:
                found.append(self._topic(name, record.topic_id, offsets))
            elif not self._has_ids:
                found.append(self._topic(name, NO_TOPIC_ID, offsets))
        return found

    def _topic_by_id(self, topic_id: uuid.UUID | None, partitions: Iterable[int]) -> _Fields:
        record = self._call.services.catalog.topic_by_id(topic_id)
        if record is not None:
            return self._topic(record.name, record.topic_id, partitions)
        unknown = ErrorCode.unknown_topic_id
        return {
            "topic_id": topic_id,
            "partitions": [_no_offset(index, unknown) for index in partitions],
        }

    def _topic(self, name: str, topic_id: bytes, partitions: Iterable[int]) -> _Fields:
        offsets = self._committed.get(name, {})
        return {
            "name": name,
            "topic_id": topic_id,
            "partitions": [
                self._partition(name, index, offsets.get(index)) for index in partitions
            ],
        }

    def _partition(self, name: str, partition: int, value: CommittedOffset | None) -> _Fields:
        groups = self._call.services.groups
        if self._require_stable and groups.is_unstable(self._group_id, name, partition):
            return _no_offset(partition, ErrorCode.unstable_offset_commit)
        if value is None:
            return _no_offset(partition, ErrorCode.none)
        return {
            "partition_index": partition,
            "committed_offset": value.offset,
            "committed_leader_epoch": value.leader_epoch,
            "metadata": value.metadata,
            "error_code": ErrorCode.none,
        }


def _no_offset(partition: int, error: ErrorCode) -> _Fields:
    return {
        "partition_index": partition,
        "committed_offset": -1,
        "committed_leader_epoch": -1,
        "metadata": "",
        "error_code": error,
    }


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    if call.version >= BATCHED_FROM_VERSION:
        groups = [
            {"group_id": group.group_id, "error_code": error} for group in call.request.groups
        ]
        return call.response(groups=groups)
    return call.response(error_code=error)
