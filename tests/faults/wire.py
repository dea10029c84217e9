"""A client of bare bytes, and a bystander that notices when somebody else's bytes hurt it."""

import contextlib
import socket
import struct
import threading
import time

from typing_extensions import Buffer

from barnabas.closing import Closing

API_VERSIONS = 18
CLIENT_ID = b"hostile"
_PREFIX = struct.Struct(">i")
_HEADER = struct.Struct(">hhih")


def header(api_key: int, version: int, correlation_id: int = 1) -> bytes:
    """A request header up to the client id; flexible versions go on with tagged fields."""
    return _HEADER.pack(api_key, version, correlation_id, len(CLIENT_ID)) + CLIENT_ID


def framed(request: bytes) -> bytes:
    return _PREFIX.pack(len(request)) + request


def ping(correlation_id: int = 1) -> bytes:
    """The smallest request that every broker answers."""
    return framed(header(API_VERSIONS, 0, correlation_id))


class Wire(Closing):
    """One TCP connection to a broker."""

    def __init__(self, port: int, timeout_s: float = 20, receive_buffer_bytes: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(timeout_s)
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.connect(("127.0.0.1", port))

    def send(self, data: Buffer) -> None:
        """Sends all of it; that the broker closed meanwhile is no error."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def receive_frame(self) -> bytes | None:
        """The next answer without its length; None when the broker closed."""
        prefix = self._receive(_PREFIX.size)
        return None if prefix is None else self._receive(_PREFIX.unpack(prefix)[0])

    def ask(self, request: bytes) -> bytes | None:
        """Sends a request (header and body) and returns the answer, None for a close."""
        self.send(framed(request))
        return self.receive_frame()

    def is_closed_by_broker(self) -> bool:
        """Waits for the broker to close; False when it answers instead. Raises TimeoutError."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def reset(self) -> None:
        """Closes at once, with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _receive(self, count: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < count:
            try:
                part = self.socket.recv(min(count - len(parts), 1 << 16))
            except ConnectionResetError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)

    def close(self) -> None:
        self.socket.close()


class Bystander:
    """A well-behaved client: asks all the time on one connection, and remembers its worst wait."""

    def __init__(self, port: int) -> None:
        self.answers = 0
        self.worst_wait_s = 0.0
        self.failure: str | None = None
        self._wire = Wire(port)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()
        self._wire.socket.close()

    def _run(self) -> None:
        last = False
        while not last and self.failure is None:
            last = self._ended.wait(0.02)  # once more after the attack
            begin = time.monotonic()
            try:
                answer = self._wire.ask(header(API_VERSIONS, 0, self.answers))
            except OSError as error:
                self.failure = repr(error)
                return
            self.worst_wait_s = max(self.worst_wait_s, time.monotonic() - begin)
            if answer is None or answer[:4] != self.answers.to_bytes(4, "big"):
                self.failure = f"answer {self.answers}: {answer!r}"
            self.answers += 1
