"""Records of `__consumer_offsets` and `__transaction_state`, with the names that people know.

Layout: the key is a version int16, which names the record's type, and the key's fields; the value
is a version int16 and the value's fields, or there is none, a tombstone. A type that is not in the
table (of share groups, for instance) is named by its number and its bytes are kept; so is a value
whose version, or a tagged field of it, is newer than ours.
"""

import dataclasses
import importlib
import struct
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from barnabas.state.internal_topics import CONSUMER_OFFSETS, TRANSACTION_STATE

if TYPE_CHECKING:
    from barnabas._records import Record

_VERSION: Final = struct.Struct(">h")
_NAMES: Final = "barnabas.protocol.internal"
_TRANSACTION_STATUS: Final = (
    "empty",
    "ongoing",
    "prepare_commit",
    "prepare_abort",
    "complete_commit",
    "complete_abort",
    "dead",
    "prepare_epoch_fence",
)


@dataclasses.dataclass(frozen=True)
class RecordType:
    """A type of record: its name, the entity of its key, and those of its value by version."""

    name: str
    key: str  # module.class below protocol/internal; imported when such a record is met
    values: dict[int, str]


def _offset_commit(name: str) -> RecordType:
    versions = {0: "V0", 1: "V1", 2: "V0", 3: "V3", 4: "V4"}
    values = {at: f"offset_commit.OffsetCommitValue{suffix}" for at, suffix in versions.items()}
    return RecordType(name, "offset_commit.OffsetCommitKey", values)


def _consumer_group(name: str, key: str) -> RecordType:
    return RecordType(name, f"consumer_group.{key}", values={})


_TYPES: Final[dict[str, dict[int, RecordType]]] = {
    CONSUMER_OFFSETS: {
        0: _offset_commit("OffsetCommit"),
        1: _offset_commit("OffsetCommit"),
        2: RecordType(
            "GroupMetadata",
            "group_metadata.GroupMetadataKey",
            {at: f"group_metadata.GroupMetadataValueV{at}" for at in range(5)},
        ),
        3: _consumer_group("ConsumerGroupMetadata", "GroupKey"),
        4: _consumer_group("ConsumerGroupPartitionMetadata", "GroupKey"),
        5: _consumer_group("ConsumerGroupMemberMetadata", "GroupMemberKey"),
        6: _consumer_group("ConsumerGroupTargetAssignmentMetadata", "GroupKey"),
        7: _consumer_group("ConsumerGroupTargetAssignmentMember", "GroupMemberKey"),
        8: _consumer_group("ConsumerGroupCurrentMemberAssignment", "GroupMemberKey"),
    },
    TRANSACTION_STATE: {
        0: RecordType(
            "TransactionLog",
            "transaction_log.TransactionLogKey",
            {at: f"transaction_log.TransactionLogValueV{at}" for at in range(2)},
        ),
    },
}


def decoder(topic: str) -> "Callable[[Record], dict[str, object]] | None":
    """What decodes the records of the topic; None when it is no internal one that we know."""
    types = _TYPES.get(topic)
    return None if types is None else lambda record: _decode(types, record)


def _decode(types: dict[int, RecordType], record: "Record") -> dict[str, object]:
    """The fields of the record; ValueError when its bytes do not fit its version."""
    if record.key is None:
        raise ValueError("a record of an internal topic without a key")
    key_version = _version(record.key)
    record_type = types.get(key_version)
    if record_type is None:
        return {"record_type": f"type {key_version}", "key": record.key, "value": record.value}
    fields: dict[str, object] = {
        "record_type": record_type.name,
        "key": _read(record_type.key, record.key),
    }
    if record.value is None:
        return {**fields, "value": None}
    version = _version(record.value)
    entity = record_type.values.get(version)
    if entity is None:
        return {**fields, "value": record.value}
    try:
        return {**fields, "value": {"version": version, **_read(entity, record.value)}}
    except KeyError:  # what kio raises for a tagged field that it does not know
        return {**fields, "value": record.value}


def _version(data: bytes) -> int:
    if len(data) < _VERSION.size:
        raise ValueError(f"{len(data)} bytes are too few for a version")
    version: int = _VERSION.unpack_from(data)[0]
    return version


def _read(name: str, data: bytes) -> dict[str, object]:
    entity, end = _parse(name, data)
    if _VERSION.size + end != len(data):
        raise ValueError(f"{len(data) - _VERSION.size - end} bytes are left over after {name}")
    return _plain(entity)


def _parse(name: str, data: bytes) -> tuple[Any, int]:
    from kio.serial.errors import SerialError

    from barnabas.protocol.internal.reader import record_reader

    module, _, entity = name.rpartition(".")
    entity_type = getattr(importlib.import_module(f"{_NAMES}.{module}"), entity)
    try:
        return record_reader(entity_type)(data)
    except (SerialError, ValueError, IndexError, struct.error) as error:
        raise ValueError(
            f"not a {name.rpartition('.')[2]}: {error or type(error).__name__}"
        ) from None


def _plain(entity: Any) -> dict[str, object]:
    """The entity's fields in Kafka's words: statuses by name, what members say to each other read.

    A classic group keeps the subscription and assignment of its members as bytes; those of
    consumers are decoded.
    """
    fields: dict[str, object] = {}
    is_consumer = getattr(entity, "protocol_type", None) == "consumer"
    for field in dataclasses.fields(entity):
        value = getattr(entity, field.name)
        if field.name == "transaction_status" and 0 <= value < len(_TRANSACTION_STATUS):
            fields[field.name] = _TRANSACTION_STATUS[value]
        elif field.name == "members" and is_consumer:
            fields[field.name] = [_plain_member(member) for member in value]
        else:
            fields[field.name] = _plain_value(value)
    return fields


def _plain_value(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain_value(item) for item in value]
    if dataclasses.is_dataclass(value):
        return _plain(value)
    if isinstance(value, uuid.UUID):
        return urlsafe_b64encode(value.bytes).decode().rstrip("=")
    return value


def _plain_member(member: Any) -> dict[str, object]:
    fields = _plain(member)
    for name, schema in (
        ("subscription", "ConsumerProtocolSubscription"),
        ("assignment", "ConsumerProtocolAssignment"),
    ):
        data = getattr(member, name)
        if data:
            fields[name] = _consumer_protocol(schema, data)
    return fields


def _consumer_protocol(schema: str, data: bytes) -> object:
    """A consumer's subscription or assignment; its bytes when they are of another assignor."""
    from kio.serial.errors import SerialError

    from barnabas.protocol.internal.reader import record_reader

    module = "".join(f"_{char.lower()}" if char.isupper() else char for char in schema).strip("_")
    try:
        version = _version(data)
        entity = getattr(importlib.import_module(f"kio.schema.{module}.v{version}.data"), schema)
        parsed, _ = record_reader(entity)(data)
    except (ImportError, SerialError, ValueError, IndexError, struct.error):
        return data
    return _plain(parsed)
