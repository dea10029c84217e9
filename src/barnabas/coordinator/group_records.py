"""Records of `__consumer_offsets`: values of the state machine to and from Kafka's bytes.

    key:    version int16 (0, 1: OffsetCommit; 2: GroupMetadata; others belong to protocols we do
            not have), then the key's fields
    value:  version int16, then the value's fields; no value at all is a tombstone

Written as Kafka 4.3 writes them: OffsetCommitValue 4 (1 with its own retention),
GroupMetadataValue 3. Read in all versions.
"""

import struct
from typing import Any

from kio.serial.errors import SerialError

from barnabas.coordinator.errors import RecordError
from barnabas.protocol.encoder import entity_encoder, write_uvarint
from barnabas.protocol.internal import group_metadata as gm
from barnabas.protocol.internal import offset_commit as oc
from barnabas.protocol.internal.reader import RecordReader, record_reader
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

OFFSET_COMMIT_KEY_VERSIONS = (0, 1)
GROUP_METADATA_KEY_VERSION = 2

_INT16, _INT32, _INT64 = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")
_VERSION = _INT16
# Offsets are by far the most frequent records: they are put together by hand.
_OFFSET_KEY_HEAD = _VERSION.pack(oc.OffsetCommitKey.__version__)
_OFFSET_VALUE_VERSION = oc.OffsetCommitValueV4.__version__
_OFFSET_VALUE_HEAD = struct.Struct(">hqi")  # version, offset, leader epoch
_NO_TAGS = b"\0"
_TOPIC_ID_TAG = b"\x01\0\x10"  # one tagged field: tag 0, of 16 bytes
_NOT_STORED = -1

_read_offset_key = record_reader(oc.OffsetCommitKey)
_read_group_key = record_reader(gm.GroupMetadataKey)
_OFFSET_VALUE_READERS: dict[int, RecordReader] = {
    0: record_reader(oc.OffsetCommitValueV0),
    1: record_reader(oc.OffsetCommitValueV1),
    2: record_reader(oc.OffsetCommitValueV0),
    3: record_reader(oc.OffsetCommitValueV3),
    4: record_reader(oc.OffsetCommitValueV4),
}
_GROUP_VALUE_READERS: dict[int, RecordReader] = {
    0: record_reader(gm.GroupMetadataValueV0),
    1: record_reader(gm.GroupMetadataValueV1),
    2: record_reader(gm.GroupMetadataValueV2),
    3: record_reader(gm.GroupMetadataValueV3),
    4: record_reader(gm.GroupMetadataValueV4),
}


def encode(record: Record) -> tuple[bytes, bytes | None]:
    """The key and value of a record; value None for a tombstone."""
    if isinstance(record, OffsetRecord):
        key = b"".join(
            (
                _OFFSET_KEY_HEAD,
                _string(record.group_id),
                _string(record.topic),
                _INT32.pack(record.partition),
            )
        )
        return key, None if record.value is None else _encode_offset_value(record.value)
    key = _encode_entity(gm.GroupMetadataKey, {"group": record.group_id})
    return key, None if record.value is None else _encode_group_value(record.value)


def decode(key: bytes | None, value: bytes | None) -> Record | None:
    """The record of a key and value; None for a type of another protocol, to be passed over.

    Raises RecordError when the bytes do not fit their version.
    """
    if key is None:
        raise RecordError("a record without a key")
    try:
        (key_version,) = _VERSION.unpack_from(key)
        if key_version in OFFSET_COMMIT_KEY_VERSIONS:
            offset_key, _ = _read_offset_key(key)
            return OffsetRecord(
                offset_key.group,
                offset_key.topic,
                offset_key.partition,
                None if value is None else _decode_offset_value(value),
            )
        if key_version == GROUP_METADATA_KEY_VERSION:
            group_key, _ = _read_group_key(key)
            return GroupRecord(
                group_key.group, None if value is None else _decode_group_value(value)
            )
    except (struct.error, SerialError, ValueError) as error:
        raise RecordError(str(error)) from error
    return None


def _decode_offset_value(data: bytes) -> CommittedOffset:
    (version,) = _VERSION.unpack_from(data)
    if version not in _OFFSET_VALUE_READERS:
        raise RecordError(f"OffsetCommitValue version {version}")
    value, _ = _OFFSET_VALUE_READERS[version](data)
    topic_id = getattr(value, "topic_id", None)
    return CommittedOffset(
        offset=value.offset,
        leader_epoch=getattr(value, "leader_epoch", NO_LEADER_EPOCH),
        metadata=value.metadata,
        commit_timestamp_ms=value.commit_timestamp,
        expire_timestamp_ms=getattr(value, "expire_timestamp", NO_TIMESTAMP),
        topic_id=NO_TOPIC_ID if topic_id is None else topic_id.bytes,
    )


def _decode_group_value(data: bytes) -> GroupValue:
    (version,) = _VERSION.unpack_from(data)
    if version not in _GROUP_VALUE_READERS:
        raise RecordError(f"GroupMetadataValue version {version}")
    value, _ = _GROUP_VALUE_READERS[version](data)
    return GroupValue(
        protocol_type=value.protocol_type,
        generation_id=value.generation,
        protocol_name=value.protocol,
        leader_id=value.leader,
        state_timestamp_ms=getattr(value, "current_state_timestamp", NO_TIMESTAMP),
        members=tuple(
            MemberValue(
                member_id=member.member_id,
                group_instance_id=getattr(member, "group_instance_id", None),
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout_ms=getattr(member, "rebalance_timeout", _NOT_STORED),
                session_timeout_ms=member.session_timeout,
                subscription=member.subscription,
                assignment=member.assignment,
            )
            for member in value.members
        ),
    )


def _encode_offset_value(value: CommittedOffset) -> bytes:
    if value.expire_timestamp_ms != NO_TIMESTAMP:
        fields = {
            "offset": value.offset,
            "metadata": value.metadata,
            "commit_timestamp": value.commit_timestamp_ms,
            "expire_timestamp": value.expire_timestamp_ms,
        }
        return _encode_entity(oc.OffsetCommitValueV1, fields)
    metadata = value.metadata.encode()
    out = bytearray(
        _OFFSET_VALUE_HEAD.pack(_OFFSET_VALUE_VERSION, value.offset, value.leader_epoch)
    )
    write_uvarint(out, len(metadata) + 1)
    out += metadata
    out += _INT64.pack(value.commit_timestamp_ms)
    out += _NO_TAGS if value.topic_id == NO_TOPIC_ID else _TOPIC_ID_TAG + value.topic_id
    return bytes(out)


def _string(text: str) -> bytes:
    data = text.encode()
    return _INT16.pack(len(data)) + data


def _encode_group_value(value: GroupValue) -> bytes:
    fields = {
        "protocol_type": value.protocol_type,
        "generation": value.generation_id,
        "protocol": value.protocol_name,
        "leader": value.leader_id,
        "current_state_timestamp": value.state_timestamp_ms,
        "members": [
            {
                "member_id": member.member_id,
                "group_instance_id": member.group_instance_id,
                "client_id": member.client_id,
                "client_host": member.client_host,
                "rebalance_timeout": member.rebalance_timeout_ms,
                "session_timeout": member.session_timeout_ms,
                "subscription": member.subscription,
                "assignment": member.assignment,
            }
            for member in value.members
        ],
    }
    return _encode_entity(gm.GroupMetadataValueV3, fields)


def _encode_entity(entity_type: Any, fields: dict[str, Any]) -> bytes:
    out = bytearray(_VERSION.pack(entity_type.__version__))
    entity_encoder(entity_type)(out, fields)
    return bytes(out)
