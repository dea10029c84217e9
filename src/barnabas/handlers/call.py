"""What a handler is given. Imports the protocol, and the services for their types only."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from barnabas.handlers.services import Services
    from barnabas.protocol.codec import Codec

Response = bytes | Awaitable[bytes]


class Call:
    """One request on its way through a handler."""

    __slots__ = ("_codec", "client_id", "peer_host", "request", "services", "version")

    def __init__(
        self,
        codec: Codec,
        version: int,
        request: Any,
        *,
        client_id: str | None,
        peer_host: str,
        services: Services,
    ) -> None:
        self._codec = codec
        self.version = version
        self.request = request
        self.client_id = client_id
        self.peer_host = peer_host
        self.services = services

    def response(self, **fields: Any) -> bytes:
        """The encoded response message of this version."""
        return self._codec.encode(fields)

    @property
    def response_type(self) -> Any:
        """kio's class of the response in this version, to encode parts of it ahead."""
        return self._codec.response_type
