"""The shapes of requests: what the core checks before kio decodes.

kio's native decoder trusts a request's counts: an array that claims 2^31 elements makes it ask for
so much memory that the process aborts. It also reads null where the protocol has none, and strings
longer than Kafka's 32,767 bytes. The core's `shape_mismatch` finds all that, along a little program
compiled here from kio's schema classes; its encoding is described in `csrc/net/message_shape.h`.
Imports nothing of ours.
"""

import dataclasses
import struct
import types
import typing
from typing import Any

_FIXED, _STRING, _BYTES, _COMPACT, _ARRAY, _COMPACT_ARRAY, _OPTIONAL, _TAGS = range(8)
_COMPACT_STRING = 8

_FIXED_BYTES = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "timedelta_i32": 4,
    "int64": 8,
    "timedelta_i64": 8,
    "float64": 8,
    "uuid": 16,
}


def request_shape(request_type: Any) -> bytes:
    """The shape of a kio request class: header tagged fields, when flexible, then the message."""
    header = bytes([_TAGS]) if request_type.__flexible__ else b""
    return header + _entity(request_type)


def entity_shape(entity_type: Any) -> bytes:
    """The shape of a kio entity by itself."""
    return _entity(entity_type)


def _entity(entity_type: Any) -> bytes:
    hints = typing.get_type_hints(entity_type)
    flexible = entity_type.__flexible__
    fields = dataclasses.fields(entity_type)
    shape = b"".join(
        _field(hints[field.name], field.metadata.get("kafka_type"), flexible)
        for field in fields
        if "tag" not in field.metadata
    )
    for field in fields:
        if "tag" in field.metadata and _holds_array(hints[field.name]):
            # Skipped by their size, tagged fields would hide their counts from the check.
            raise TypeError(f"{entity_type.__name__}.{field.name}: an array in a tagged field")
    return shape + bytes([_TAGS]) if flexible else shape


def _field(hint: Any, kafka_type: str | None, flexible: bool) -> bytes:
    hint, is_nullable = _without_none(hint)
    if typing.get_origin(hint) is tuple:
        element = _field(typing.get_args(hint)[0], kafka_type, flexible)
        op = _COMPACT_ARRAY if flexible else _ARRAY
        return bytes([op, is_nullable]) + struct.pack(">H", len(element)) + element
    if kafka_type is None:
        entity = _entity(hint)
        return (
            bytes([_OPTIONAL]) + struct.pack(">H", len(entity)) + entity if is_nullable else entity
        )
    if kafka_type in _FIXED_BYTES:
        return bytes([_FIXED, _FIXED_BYTES[kafka_type]])
    if flexible:
        return bytes([_COMPACT_STRING if kafka_type == "string" else _COMPACT])
    return bytes([{"string": _STRING, "bytes": _BYTES, "records": _BYTES}[kafka_type]])


def _without_none(hint: Any) -> tuple[Any, bool]:
    """The type itself, and whether None is allowed besides."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    options = [option for option in typing.get_args(hint) if option is not types.NoneType]
    return options[0], len(options) < len(typing.get_args(hint))


def _holds_array(hint: Any) -> bool:
    hint, _ = _without_none(hint)
    if dataclasses.is_dataclass(hint):
        return any(map(_holds_array, typing.get_type_hints(hint).values()))
    return typing.get_origin(hint) is tuple
