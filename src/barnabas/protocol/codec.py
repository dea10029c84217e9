"""Requests from bytes, responses to bytes, for one API in one version at a time.

kio's schema classes are imported when a version is first used: all of them together would cost
most of a second and 48 MB. Imports `apis`, `encoder`, `shape` and the core's check of shapes.
"""

import dataclasses
import datetime
import importlib
import re
import struct
import typing
from collections.abc import Mapping
from functools import cache
from types import GenericAlias
from typing import Any

from kio.static.primitive import i64

from barnabas._core import shape_mismatch
from barnabas.protocol.apis import API_VERSIONS_KEY, Api
from barnabas.protocol.encoder import entity_encoder
from barnabas.protocol.shape import request_shape

_MILLISECOND = datetime.timedelta(milliseconds=1)
_VARINT_BYTES_MAX = 5


class BadRequest(Exception):
    """The bytes are no request of the API and version they claim to be."""


class Codec:
    """Decodes the requests and encodes the responses of one API in one version."""

    __slots__ = (
        "_correlation",
        "_encode",
        "_flexible",
        "_read",
        "_shape",
        "response_type",
    )

    def __init__(self, api: Api, version: int) -> None:
        from kio.serial import entity_reader

        request_type = with_plain_int64(schema_class(api, version, "request"), "timedelta_i64")
        self.response_type = schema_class(api, version, "response")
        self._read = entity_reader(request_type)
        self._shape = request_shape(request_type)
        self._flexible = request_type.__flexible__
        self._encode = entity_encoder(self.response_type)
        # A client that asks for a version we lack must be able to read the header of the answer.
        flexible_header = self.response_type.__flexible__ and api.key != API_VERSIONS_KEY
        self._correlation = struct.Struct(">ix" if flexible_header else ">i")

    def decode(self, body: bytes) -> Any:
        """The request entity. `body` starts after the header's client_id. Raises BadRequest."""
        mismatch = shape_mismatch(self._shape, body)
        if mismatch is not None:
            raise BadRequest(mismatch)
        try:
            offset = _skip_tagged_fields(body) if self._flexible else 0
            entity, _ = self._read(body, offset)
        except Exception as error:  # kio raises SerialError and, for some values, ValueError
            raise BadRequest(str(error) or type(error).__name__) from error
        return entity

    def encode(self, fields: Mapping[str, Any]) -> bytes:
        """The response message, without a header."""
        out = bytearray()
        self._encode(out, fields)
        return bytes(out)

    def frame(self, correlation_id: int, message: bytes) -> bytes:
        """Header and message, as `Core.respond_many` wants them."""
        return self._correlation.pack(correlation_id) + message


@cache
def codec_for(api: Api, version: int) -> Codec:
    """The codec of a version within the API's range."""
    return Codec(api, version)


def schema_class(api: Api, version: int, direction: str) -> Any:
    """kio's class of an API's "request" or "response"."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", api.name).lower()
    module = importlib.import_module(f"kio.schema.{snake}.v{version}.{direction}")
    return getattr(module, api.name + direction.title())


def with_plain_int64(message_type: Any, kafka_type: str) -> Any:
    """The class with what kio makes of 64 bits as numbers of ms, in nested messages, too: a
    "timedelta_i64" holds fewer bits, and a "datetime_i64" no -1.
    """
    plain: list[tuple[str, Any, Any]] = []
    is_other = False
    for field in dataclasses.fields(message_type):
        hint, default = field.type, field.default
        metadata: Mapping[Any, Any] = field.metadata
        if metadata.get("kafka_type") == kafka_type:
            hint, metadata, is_other = i64, {"kafka_type": "int64"}, True
            if isinstance(default, datetime.timedelta):
                default = i64(timedelta_ms(default))
        elif dataclasses.is_dataclass(inner := (*typing.get_args(hint), None)[0]):
            nested = with_plain_int64(inner, kafka_type)
            if nested is not inner:
                hint, is_other = GenericAlias(tuple, (nested, ...)), True
        copy: Any = dataclasses.field(default=default, metadata=metadata)
        plain.append((field.name, hint, copy))
    if not is_other:
        return message_type
    kept = ("__type__", "__version__", "__flexible__", "__api_key__", "__header_schema__")
    return dataclasses.make_dataclass(
        message_type.__name__,
        plain,
        namespace={name: getattr(message_type, name) for name in kept},
        frozen=True,
        slots=True,
        kw_only=True,
    )


def timedelta_ms(value: datetime.timedelta) -> int:
    """kio's durations as Kafka's milliseconds."""
    return value // _MILLISECOND


def _skip_tagged_fields(data: bytes) -> int:
    """The offset after a request header's tagged fields."""
    if data[0] == 0:
        return 1
    count, offset = _read_uvarint(data, 0)
    for _ in range(count):
        _, offset = _read_uvarint(data, offset)
        size, offset = _read_uvarint(data, offset)
        offset += size
        if offset > len(data):
            raise BadRequest("a tagged field is longer than the frame")
    return offset


def _read_uvarint(data: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _VARINT_BYTES_MAX, 7):
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
    raise BadRequest("a varint has more than five bytes")
