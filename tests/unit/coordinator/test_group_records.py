"""The records of `__consumer_offsets`: bytes as Apache Kafka 4.3 writes them, all versions read."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barnabas.coordinator.errors import RecordError
from barnabas.coordinator.group_records import decode, encode
from barnabas.state.group.records import (
    NO_LEADER_EPOCH,
    NO_TIMESTAMP,
    NO_TOPIC_ID,
    CommittedOffset,
    GroupRecord,
    GroupValue,
    MemberValue,
    OffsetRecord,
    Record,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)

VALUES = st.builds(
    CommittedOffset,
    offset=INT64,
    leader_epoch=INT32,
    metadata=TEXT,
    commit_timestamp_ms=INT64,
    expire_timestamp_ms=st.just(NO_TIMESTAMP),
    topic_id=st.just(NO_TOPIC_ID) | st.binary(min_size=16, max_size=16),
)
VALUES_WITH_RETENTION = st.builds(
    CommittedOffset,
    offset=INT64,
    leader_epoch=st.just(NO_LEADER_EPOCH),
    metadata=TEXT,
    commit_timestamp_ms=INT64,
    expire_timestamp_ms=st.integers(0, 2**63 - 1),
    topic_id=st.just(NO_TOPIC_ID),
)
OFFSETS = st.builds(OffsetRecord, TEXT, TEXT, INT32, st.none() | VALUES | VALUES_WITH_RETENTION)
MEMBERS = st.builds(
    MemberValue,
    member_id=TEXT,
    group_instance_id=st.none() | TEXT,
    client_id=TEXT,
    client_host=TEXT,
    rebalance_timeout_ms=INT32,
    session_timeout_ms=INT32,
    subscription=st.binary(max_size=30),
    assignment=st.binary(max_size=30),
)
GROUPS = st.builds(
    GroupRecord,
    TEXT,
    st.none()
    | st.builds(
        GroupValue,
        protocol_type=TEXT,
        generation_id=INT32,
        protocol_name=st.none() | TEXT,
        leader_id=st.none() | TEXT,
        state_timestamp_ms=INT64,
        members=st.lists(MEMBERS, max_size=3).map(tuple),
    ),
)


@given(OFFSETS | GROUPS)
def test_what_is_written_is_read_back(record: Record) -> None:
    assert decode(*encode(record)) == record


def test_offset_commit_bytes() -> None:
    record = OffsetRecord("g", "t", 3, CommittedOffset(5, 7, "m", 0x0102))
    key, value = encode(record)
    assert key == b"\0\1\0\1g\0\1t\0\0\0\3"
    assert value == b"\0\4" + struct.pack(">qi", 5, 7) + b"\2m" + struct.pack(">q", 0x0102) + b"\0"


def test_offset_commit_bytes_with_a_topic_id() -> None:
    offset = CommittedOffset(5, 7, "", 1, topic_id=bytes(range(16)))
    _, value = encode(OffsetRecord("g", "t", 3, offset))
    assert value is not None
    assert value.endswith(b"\1\0\x10" + bytes(range(16)))


def test_offset_commit_bytes_with_its_own_retention() -> None:
    offset = CommittedOffset(5, -1, "m", 1, expire_timestamp_ms=9)
    _, value = encode(OffsetRecord("g", "t", 3, offset))
    assert value == b"\0\1" + struct.pack(">q", 5) + b"\0\1m" + struct.pack(">qq", 1, 9)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"\0\0" + struct.pack(">q", 5) + b"\0\1m" + struct.pack(">q", 1), (5, -1, "m", 1)),
        (b"\0\2" + struct.pack(">q", 5) + b"\0\1m" + struct.pack(">q", 1), (5, -1, "m", 1)),
        (b"\0\3" + struct.pack(">qi", 5, 6) + b"\0\1m" + struct.pack(">q", 1), (5, 6, "m", 1)),
    ],
)
def test_older_offset_commits_are_read(value: bytes, expected: tuple[int, int, str, int]) -> None:
    key, _ = encode(OffsetRecord("g", "t", 3, None))
    assert decode(key, value) == OffsetRecord("g", "t", 3, CommittedOffset(*expected))
    assert decode(b"\0\0" + key[2:], value) == OffsetRecord("g", "t", 3, CommittedOffset(*expected))


def old_member(version: int) -> bytes:
    text = b"\0\1m\0\1c\0\1h"
    rebalance = struct.pack(">i", 60) if version >= 1 else b""
    return text + rebalance + struct.pack(">i", 10) + b"\0\0\0\1s" + b"\0\0\0\1a"


@pytest.mark.parametrize("version", [0, 1, 2])
def test_older_group_metadata_is_read(version: int) -> None:
    timestamp = struct.pack(">q", 77) if version >= 2 else b""
    value = struct.pack(">h", version) + b"\0\1t" + struct.pack(">i", 4) + b"\0\1p" + b"\0\1m"
    value += timestamp + b"\0\0\0\1" + old_member(version)
    assert decode(b"\0\2\0\1g", value) == GroupRecord(
        "g",
        GroupValue(
            protocol_type="t",
            generation_id=4,
            protocol_name="p",
            leader_id="m",
            state_timestamp_ms=77 if version >= 2 else -1,
            members=(
                MemberValue(
                    member_id="m",
                    group_instance_id=None,
                    client_id="c",
                    client_host="h",
                    rebalance_timeout_ms=60 if version >= 1 else -1,
                    session_timeout_ms=10,
                    subscription=b"s",
                    assignment=b"a",
                ),
            ),
        ),
    )


def test_records_of_other_protocols_are_passed_over() -> None:
    assert decode(struct.pack(">h", 3) + b"\0\1g", b"\0\0whatever") is None
    assert decode(struct.pack(">h", 15), None) is None


@given(st.none() | st.binary(max_size=40), st.none() | st.binary(max_size=40))
def test_junk_is_an_error_of_its_own(key: bytes | None, value: bytes | None) -> None:
    with contextlib.suppress(RecordError):
        decode(key, value)


def test_unknown_value_versions_are_an_error() -> None:
    offset_key, _ = encode(OffsetRecord("g", "t", 3, None))
    for key in (offset_key, b"\0\2\0\1g"):
        with pytest.raises(RecordError, match="version 9"):
            decode(key, b"\0\x09" + bytes(40))


@pytest.mark.parametrize("version", range(4))
def test_a_member_count_beyond_the_record_is_an_error_and_not_an_allocation(version: int) -> None:
    key = encode(GroupRecord("g", None))[0]
    start = struct.pack(">hh8sihh", version, 8, b"consumer", 1, -1, -1)
    state_timestamp = b"" if version < 2 else bytes(8)
    with pytest.raises(RecordError):
        decode(key, start + state_timestamp + struct.pack(">i", 2**31 - 1))
