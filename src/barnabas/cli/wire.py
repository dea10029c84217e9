"""Asks a cluster what librdkafka has no call for: the APIs of transactions, over PLAINTEXT.

A connection a broker, one request at a time, in one version that every broker since Kafka 3.0
(KIP-664) knows, or in the newest that the broker offers where later ones can say more.
"""

import argparse
import itertools
import socket
import struct
from typing import Any, Final

from barnabas.cli.cluster import REQUEST_TIMEOUT_S
from barnabas.cli.failure import CommandError
from barnabas.closing import Closing
from barnabas.protocol.apis import APIS
from barnabas.protocol.codec import schema_class, with_plain_int64

Address = tuple[str, int]

_API_BY_NAME: Final = {api.name: api for api in APIS}
_LENGTH: Final = struct.Struct(">i")
_HEADER: Final = struct.Struct(">hhih")
_CLIENT_ID: Final = b"barnabas-cli"
_ANSWER_BYTES_MAX: Final = 100 << 20
_correlation_ids = itertools.count(1)


def addresses(bootstrap: str) -> list[Address]:
    """The brokers of --bootstrap-server."""
    found = []
    for item in bootstrap.split(","):
        host, separator, port = item.strip().rpartition(":")
        if not separator or not port.isdecimal():
            raise CommandError(f"{item!r} is not HOST:PORT")
        found.append((host.strip("[]"), int(port)))
    return found


def connect_any(args: argparse.Namespace) -> "Connection":
    """A connection to the first broker of --bootstrap-server that takes one."""
    if args.properties:
        key, _ = args.properties[0]
        raise CommandError(f"-X {key}: transactions are asked for over PLAINTEXT only")
    reason = ""
    for address in addresses(args.bootstrap_server):
        try:
            return Connection(address, args.connect_timeout)
        except OSError as error:
            reason = error.strerror or str(error)
    raise CommandError(f"cannot reach a Kafka broker at {args.bootstrap_server}: {reason}")


class Connection(Closing):
    """One broker."""

    def __init__(self, address: Address, connect_timeout_s: float) -> None:
        self._name = f"{address[0]}:{address[1]}"
        self._socket = socket.create_connection(address, connect_timeout_s)
        self._socket.settimeout(REQUEST_TIMEOUT_S)
        self._newest: dict[int, int] = {}

    def close(self) -> None:
        """Closes the socket. May be repeated."""
        self._socket.close()

    def newest(self, name: str) -> int:
        """The newest version of an API that both sides know. Raises CommandError if none is."""
        api = _API_BY_NAME[name]
        if not self._newest:
            answer = self.ask("ApiVersions", 0, {})
            self._newest = {item.api_key: item.max_version for item in answer.api_keys}
        if api.key not in self._newest:
            raise CommandError(f"the broker at {self._name} does not know {name}")
        return min(api.max_version, self._newest[api.key])

    def ask(self, name: str, version: int, values: dict[str, Any]) -> Any:
        """kio's response to kio's request of these values. Raises CommandError."""
        try:
            return self._ask(name, version, values)
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise CommandError(f"the broker at {self._name}: {reason}") from None

    def _ask(self, name: str, version: int, values: dict[str, Any]) -> Any:
        from io import BytesIO

        from kio.serial import entity_reader, entity_writer

        api = _API_BY_NAME[name]
        request_type = schema_class(api, version, "request")
        # A time may be -1: there is none.
        response_type = with_plain_int64(schema_class(api, version, "response"), "datetime_i64")
        body = BytesIO()
        entity_writer(request_type)(body, request_type(**values))
        header = _HEADER.pack(api.key, version, next(_correlation_ids), len(_CLIENT_ID))
        tags = b"\0" if request_type.__flexible__ else b""
        frame = header + _CLIENT_ID + tags + body.getvalue()
        self._socket.sendall(_LENGTH.pack(len(frame)) + frame)
        (size,) = _LENGTH.unpack(self._receive(_LENGTH.size))
        if not _LENGTH.size < size <= _ANSWER_BYTES_MAX:
            raise CommandError(f"{self._name} does not speak Kafka's protocol")
        answer = self._receive(size)
        has_tags = response_type.__header_schema__.__version__ >= 1
        entity, _ = entity_reader(response_type)(answer, _LENGTH.size + has_tags)
        return entity

    def _receive(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(size - len(parts))
            if not part:
                raise ConnectionError("it has closed the connection")
            parts += part
        return bytes(parts)
