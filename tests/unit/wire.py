"""A client of any API in any version, over a socket, with kio's own encoder and decoder."""

import datetime
import socket
import struct
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from io import BytesIO
from types import NoneType
from typing import Any, get_args

from kio.serial import entity_reader, entity_writer

from barnabas.closing import Closing
from barnabas.protocol.apis import APIS, Api
from barnabas.protocol.codec import schema_class

API_BY_NAME = {api.name: api for api in APIS}
_LENGTH = struct.Struct(">i")
_REQUEST_HEADER = struct.Struct(">hhih")


class WireClient(Closing):
    """One connection."""

    def __init__(self, bootstrap_servers: str, timeout_s: float = 20) -> None:
        host, port = bootstrap_servers.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout_s)
        self._correlation_id = 0

    def ask(self, name: str, version: int, **values: Any) -> Any:
        """The response entity. Fields that the version lacks are left out of the request, those
        that are not given are zero or empty.
        """
        api = API_BY_NAME[name]
        self.send(api, version, request_message(api, version, values))
        return self.receive(api, version)

    def send(self, api: Api, version: int, message: bytes) -> None:
        self.send_frame(api.key, version, message, is_flexible(api, version))

    def send_frame(self, key: int, version: int, message: bytes, flexible: bool) -> None:
        self._correlation_id += 1
        header = _REQUEST_HEADER.pack(key, version, self._correlation_id, 4) + b"wire"
        self.send_raw(header + (b"\0" if flexible else b"") + message)

    def send_raw(self, frame: bytes) -> None:
        self.send_bytes(_LENGTH.pack(len(frame)) + frame)

    def send_bytes(self, data: bytes) -> None:
        self._socket.sendall(data)

    def receive(self, api: Api, version: int) -> Any:
        frame = self.receive_raw()
        assert _LENGTH.unpack_from(frame) == (self._correlation_id,)
        return decode(api, version, frame)

    def receive_raw(self) -> bytes:
        (length,) = _LENGTH.unpack(self._receive(_LENGTH.size))
        return self._receive(length)

    def is_closed_by_peer(self) -> bool:
        """Waits for the peer to close, or to send something."""
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._socket.close()

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self._socket.recv(size - len(data))
            if not chunk:
                raise ConnectionError("closed by the broker")
            data += chunk
        return data


def decode(api: Api, version: int, frame: bytes) -> Any:
    """The entity of a response frame, which must end where the entity does."""
    response_type = schema_class(api, version, "response")
    offset = _LENGTH.size
    if response_type.__header_schema__.__version__ >= 1:
        assert frame[offset] == 0
        offset += 1
    entity, size = entity_reader(response_type)(frame, offset)
    assert offset + size == len(frame)
    return entity


def is_flexible(api: Api, version: int) -> bool:
    flexible: bool = schema_class(api, version, "request").__flexible__
    return flexible


def request_message(api: Api, version: int, values: Mapping[str, Any]) -> bytes:
    request_type = schema_class(api, version, "request")
    buffer = BytesIO()
    entity_writer(request_type)(buffer, build(request_type, values))
    return buffer.getvalue()


def build(entity_type: Any, values: Mapping[str, Any]) -> Any:
    """A kio entity from plain values."""
    return entity_type(
        **{
            field.name: _value(field, values[field.name]) if field.name in values else _zero(field)
            for field in fields(entity_type)
        }
    )


def _value(field: Any, value: Any) -> Any:
    if isinstance(value, list):
        inner = next((arg for arg in _arguments(field.type) if is_dataclass(arg)), None)
        return tuple(build(inner, item) if inner else item for item in value)
    if field.metadata.get("kafka_type", "").startswith("timedelta"):
        return datetime.timedelta(milliseconds=value)
    return value


def _zero(field: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    if NoneType in get_args(field.type):
        return None
    if any(arg is Ellipsis for arg in _arguments(field.type)):
        return ()
    kafka_type = field.metadata.get("kafka_type", "")
    if kafka_type.startswith("timedelta"):
        return datetime.timedelta()
    return {"string": "", "bytes": b"", "bool": False}.get(kafka_type, 0)


def _arguments(annotation: Any) -> list[Any]:
    found = [annotation]
    for argument in get_args(annotation):
        found += _arguments(argument)
    return found
