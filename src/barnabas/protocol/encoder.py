"""Encodes response messages straight from keyword fields, by kio's schema classes.

    encode = entity_encoder(MetadataResponse)      # of one version; compiled once
    encode(out, {"brokers": [{"node_id": 1, ...}], "cluster_id": "..."})

A nested entity is a mapping, or bytes that were encoded before; an array may be such bytes too.
Fields the version lacks are passed over and fields not given get the schema's default, or zero, ""
or an empty array, as in Kafka's own messages, so that one handler serves all versions. kio's own
encoder wants an entity of frozen dataclasses first, each value checked; this one is several times
faster.
"""

import datetime
import struct
import uuid
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_origin

Write = Callable[[bytearray, Any], None]

_VARINT_LIMIT = 0x80
_NULL_LENGTH_INT16 = struct.pack(">h", -1)
_NULL_LENGTH_INT32 = struct.pack(">i", -1)
_pack_int16 = struct.Struct(">h").pack
_pack_int32 = struct.Struct(">i").pack
_FIXED_FORMATS = {
    "int8": ">b",
    "int16": ">h",
    "int32": ">i",
    "int64": ">q",
    "uint8": ">B",
    "uint16": ">H",
    "uint32": ">I",
    "uint64": ">Q",
    "float64": ">d",
    "bool": ">?",
    "error_code": ">h",
    "timedelta_i32": ">i",
    "timedelta_i64": ">q",
    "datetime_i64": ">q",
}
_ZERO_UUID = bytes(16)
# Of types that are not numbers. No type at all: an entity.
_ZEROES: dict[str | None, Any] = {
    None: {},
    "uuid": None,
    "string": "",
    "bytes": b"",
    "records": b"",
    "bool": False,
}


class _Shape(NamedTuple):
    """A field's type, taken apart."""

    inner: Any  # an entity class, or a primitive type
    is_array: bool
    nullable: bool


def write_uvarint(out: bytearray, value: int) -> None:
    """Kafka's unsigned varint."""
    while value >= _VARINT_LIMIT:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _fixed(kafka_type: str) -> Write:
    pack = struct.Struct(_FIXED_FORMATS[kafka_type]).pack

    def write(out: bytearray, value: Any) -> None:
        out += pack(value)

    return write


def _write_uuid(out: bytearray, value: uuid.UUID | bytes | None) -> None:
    if value is None:
        out += _ZERO_UUID
    else:
        out += value.bytes if isinstance(value, uuid.UUID) else value


def _compact_bytes(is_text: bool) -> Write:
    def write(out: bytearray, value: Any) -> None:
        if value is None:
            out.append(0)
            return
        data = value.encode() if is_text else value
        length = len(data) + 1
        if length < _VARINT_LIMIT:
            out.append(length)
        else:
            write_uvarint(out, length)
        out += data

    return write


def _write_string(out: bytearray, value: str | None) -> None:
    if value is None:
        out += _NULL_LENGTH_INT16
        return
    data = value.encode()
    out += _pack_int16(len(data))
    out += data


def _write_bytes(out: bytearray, value: bytes | None) -> None:
    if value is None:
        out += _NULL_LENGTH_INT32
        return
    out += _pack_int32(len(value))
    out += value


def _primitive(kafka_type: str, flexible: bool) -> Write:
    if kafka_type == "string":
        return _compact_bytes(True) if flexible else _write_string
    if kafka_type in ("bytes", "records"):
        return _compact_bytes(False) if flexible else _write_bytes
    if kafka_type == "uuid":
        return _write_uuid
    return _fixed(kafka_type)


def _array(write_item: Write, flexible: bool) -> Write:
    def write(out: bytearray, items: Any) -> None:
        if items is None:
            out += b"\0" if flexible else _NULL_LENGTH_INT32
            return
        if isinstance(items, bytes):
            out += items
            return
        if flexible:
            write_uvarint(out, len(items) + 1)
        else:
            out += _pack_int32(len(items))
        for item in items:
            write_item(out, item)

    return write


def _nullable_entity(write_entity: Write) -> Write:
    def write(out: bytearray, value: Any) -> None:
        if value is None:
            out.append(0xFF)
        else:
            out.append(1)
            write_entity(out, value)

    return write


def _shape(annotation: Any) -> _Shape:
    nullable = False
    if get_origin(annotation) is UnionType:
        nullable = NoneType in get_args(annotation)
        annotation = next(arg for arg in get_args(annotation) if arg is not NoneType)
    if get_origin(annotation) is tuple:
        inner = _shape(get_args(annotation)[0])
        return _Shape(inner.inner, True, nullable)
    return _Shape(annotation, False, nullable)


def _default(field: Field[Any], shape: _Shape) -> Any:
    kafka_type = field.metadata.get("kafka_type")
    if field.default is not MISSING:
        value = field.default
        if isinstance(value, datetime.timedelta):
            return value // datetime.timedelta(milliseconds=1)
        if kafka_type == "datetime_i64" and value is None:
            return -1
        return value
    if shape.is_array:
        return ()
    if shape.nullable:
        return None
    return _ZEROES.get(kafka_type, 0)


def _field_encoder(field: Field[Any], shape: _Shape, flexible: bool) -> Write:
    if is_dataclass(shape.inner):
        entity_type: Any = shape.inner
        write = entity_encoder(entity_type)
        if shape.nullable and not shape.is_array:
            write = _nullable_entity(write)
    else:
        write = _primitive(field.metadata["kafka_type"], flexible)
    return _array(write, flexible) if shape.is_array else write


@cache
def entity_encoder(entity_type: Any) -> Write:
    """The encoder of a kio schema class. Encoders are kept for ever: there are few classes."""
    flexible = entity_type.__flexible__
    plain: list[tuple[str, Write, Any]] = []
    tagged: list[tuple[int, str, Write, Any]] = []
    for field in fields(entity_type):
        shape = _shape(field.type)
        write = _field_encoder(field, shape, flexible)
        default = _default(field, shape)
        if "tag" in field.metadata:
            tagged.append((field.metadata["tag"], field.name, write, default))
        else:
            plain.append((field.name, write, default))
    tagged.sort(key=lambda entry: entry[0])

    def encode(out: bytearray, values: Mapping[str, Any] | bytes) -> None:
        if isinstance(values, bytes):
            out += values
            return
        get = values.get
        for name, write_field, default in plain:
            write_field(out, get(name, default))
        if tagged:
            _write_tagged(out, values, tagged)
        elif flexible:
            out.append(0)

    return encode


def array_encoder(entity_type: Any, *path: str) -> Write:
    """The encoder of an array of entities within `entity_type`, to encode it ahead."""
    *parents, name = path
    for parent in parents:
        entity_type = element_type(entity_type, parent)
    write = entity_encoder(element_type(entity_type, name))
    return _array(write, entity_type.__flexible__)


def element_type(entity_type: Any, name: str) -> Any:
    """The schema class of an array's elements."""
    return _shape(entity_type.__dataclass_fields__[name].type).inner


def _write_tagged(
    out: bytearray, values: Mapping[str, Any], tagged: list[tuple[int, str, Write, Any]]
) -> None:
    present = [
        (tag, write, values[name])
        for tag, name, write, default in tagged
        if name in values and values[name] != default and values[name] is not None
    ]
    write_uvarint(out, len(present))
    for tag, write, value in present:
        encoded = bytearray()
        write(encoded, value)
        write_uvarint(out, tag)
        write_uvarint(out, len(encoded))
        out += encoded
