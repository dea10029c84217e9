"""Records of `__cluster_metadata`, KRaft's metadata log: those that say what topics there are.

Layout of a record's value (Kafka's AbstractApiMessageSerde): frame version uvarint (1), api key
uvarint, version uvarint, then the message in the flexible encoding. The messages are Kafka's
(`metadata/src/main/resources/common/metadata`). They are decoded by hand: a PartitionChangeRecord
is made of arrays in tagged fields, whose counts nothing would check before kio reads them. Imports
nothing of ours.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")

_FRAME_VERSION: Final = 1
_MAX_UVARINT_BYTES: Final = 5
_UUID_BYTES: Final = 16
LEADER_UNCHANGED: Final = -2


class KraftRecordError(ValueError):
    """The bytes are no metadata record, or one of a version that is not known here."""


@dataclass(frozen=True, slots=True)
class TopicAdded:
    """TopicRecord (2)."""

    name: str
    topic_id: bytes


@dataclass(frozen=True, slots=True)
class PartitionAdded:
    """PartitionRecord (3). `directories`: one a replica, empty before version 1 (KIP-858)."""

    topic_id: bytes
    partition: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int
    directories: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class PartitionChanged:
    """PartitionChangeRecord (5). None, and LEADER_UNCHANGED, where nothing changes."""

    topic_id: bytes
    partition: int
    isr: tuple[int, ...] | None = None
    leader: int = LEADER_UNCHANGED
    replicas: tuple[int, ...] | None = None
    directories: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class TopicRemoved:
    """RemoveTopicRecord (9)."""

    topic_id: bytes


@dataclass(frozen=True, slots=True)
class ConfigSet:
    """ConfigRecord (4). `resource_type` as in the protocol; value None: back to the default."""

    resource_type: int
    resource_name: str
    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class FeatureLevel:
    """FeatureLevelRecord (12)."""

    name: str
    level: int


@dataclass(frozen=True, slots=True)
class ProducerIdsTaken:
    """ProducerIdsRecord (15)."""

    next_producer_id: int


@dataclass(frozen=True, slots=True)
class TransactionBegun:
    """BeginTransactionRecord (23): what follows counts once the transaction has ended (KIP-868)."""


@dataclass(frozen=True, slots=True)
class TransactionEnded:
    """EndTransactionRecord (24)."""


@dataclass(frozen=True, slots=True)
class TransactionAborted:
    """AbortTransactionRecord (25)."""


@dataclass(frozen=True, slots=True)
class OtherRecord:
    """A record about something else: only its type is looked at."""

    api_key: int


KraftRecord = (
    TopicAdded
    | PartitionAdded
    | PartitionChanged
    | TopicRemoved
    | ConfigSet
    | FeatureLevel
    | ProducerIdsTaken
    | TransactionBegun
    | TransactionEnded
    | TransactionAborted
    | OtherRecord
)


class _Cursor:
    """Reads the flexible encoding from bytes that may be anything. Raises KraftRecordError."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise KraftRecordError(f"{count} bytes are due where {self.left} are left")
        begin, self._at = self._at, self._at + count
        return self._data[begin : self._at]

    def fixed(self, form: str) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def int8(self) -> int:
        return self.fixed(">b")

    def int16(self) -> int:
        return self.fixed(">h")

    def int32(self) -> int:
        return self.fixed(">i")

    def int64(self) -> int:
        return self.fixed(">q")

    def uuid(self) -> bytes:
        return self.take(_UUID_BYTES)

    def uvarint(self) -> int:
        value = 0
        for number in range(_MAX_UVARINT_BYTES):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * number)
            if byte < 0x80:
                return value
        raise KraftRecordError("a varint that does not end")

    def nullable_string(self) -> str | None:
        length = self.uvarint() - 1
        return None if length < 0 else self.take(length).decode()

    def string(self) -> str:
        text = self.nullable_string()
        if text is None:
            raise KraftRecordError("null where a text is due")
        return text

    def nullable_array(self, element: Callable[[], T]) -> tuple[T, ...] | None:
        count = self.uvarint() - 1
        if count > self.left:  # an element has one byte at least
            raise KraftRecordError(f"{count} elements in {self.left} bytes")
        return None if count < 0 else tuple(element() for _ in range(count))

    def array(self, element: Callable[[], T]) -> tuple[T, ...]:
        values = self.nullable_array(element)
        if values is None:
            raise KraftRecordError("null where an array is due")
        return values

    def tagged(self) -> dict[int, bytes]:
        """The tagged fields, each as its bytes."""
        count = self.uvarint()
        return {self.uvarint(): self.take(self.uvarint()) for _ in range(min(count, self.left))}


def _topic(cursor: _Cursor, version: int) -> KraftRecord:
    return TopicAdded(cursor.string(), cursor.uuid())


def _partition(cursor: _Cursor, version: int) -> KraftRecord:
    partition, topic_id = cursor.int32(), cursor.uuid()
    replicas, isr = cursor.array(cursor.int32), cursor.array(cursor.int32)
    cursor.array(cursor.int32)  # removing
    cursor.array(cursor.int32)  # adding
    leader, leader_epoch = cursor.int32(), cursor.int32()
    cursor.int32()  # partition epoch
    directories = cursor.array(cursor.uuid) if version >= 1 else ()
    return PartitionAdded(topic_id, partition, replicas, isr, leader, leader_epoch, directories)


def _partition_change(cursor: _Cursor, version: int) -> KraftRecord:
    partition, topic_id = cursor.int32(), cursor.uuid()
    tagged = {tag: _Cursor(data) for tag, data in cursor.tagged().items()}

    def ids(tag: int) -> tuple[int, ...] | None:
        field = tagged.get(tag)
        return None if field is None else field.nullable_array(field.int32)

    directories = tagged.get(8)
    return PartitionChanged(
        topic_id,
        partition,
        isr=ids(0),
        leader=tagged[1].int32() if 1 in tagged else LEADER_UNCHANGED,
        replicas=ids(2),
        directories=None if directories is None else directories.nullable_array(directories.uuid),
    )


def _config(cursor: _Cursor, version: int) -> KraftRecord:
    return ConfigSet(cursor.int8(), cursor.string(), cursor.string(), cursor.nullable_string())


def _producer_ids(cursor: _Cursor, version: int) -> KraftRecord:
    cursor.int32()  # broker
    cursor.int64()  # its epoch
    return ProducerIdsTaken(cursor.int64())


_READERS: Final[dict[int, tuple[int, Callable[[_Cursor, int], KraftRecord]]]] = {
    2: (0, _topic),
    3: (2, _partition),
    4: (0, _config),
    5: (2, _partition_change),
    9: (0, lambda cursor, _: TopicRemoved(cursor.uuid())),
    12: (0, lambda cursor, _: FeatureLevel(cursor.string(), cursor.int16())),
    15: (0, _producer_ids),
    23: (0, lambda cursor, _: TransactionBegun()),
    24: (0, lambda cursor, _: TransactionEnded()),
    25: (0, lambda cursor, _: TransactionAborted()),
}
"""By api key: the newest version that is known, and what reads the message up to its tags."""


def decode_kraft_record(value: bytes | None) -> KraftRecord:
    """The record of a value. Raises KraftRecordError."""
    cursor = _Cursor(value or b"")
    if (frame_version := cursor.uvarint()) != _FRAME_VERSION:
        raise KraftRecordError(f"frame version {frame_version}; {_FRAME_VERSION} is known")
    api_key, version = cursor.uvarint(), cursor.uvarint()
    if api_key not in _READERS:
        return OtherRecord(api_key)
    newest, read = _READERS[api_key]
    if version > newest:
        raise KraftRecordError(f"record type {api_key} in version {version}; {newest} is known")
    try:
        return read(cursor, version)
    except UnicodeDecodeError as error:
        raise KraftRecordError(f"record type {api_key}: {error}") from error
