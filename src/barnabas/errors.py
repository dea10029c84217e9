"""What can go wrong, as seen from outside.

BarnabasError
├── KafkaError            an operation was refused; carries Kafka's error code
├── ConfigError           a configuration key or value that cannot be used; names the key
├── StartError            the broker cannot start: its directory, its port, its stored metadata
├── BrokerClosed          an embedded broker was used after it was closed
└── CoreError             of the native core (barnabas._core): files, descriptors, logs
"""

from typing import Final

import barnabas.quick_kio  # noqa: F401 (before kio)

# isort: split
from kio.schema.errors import ErrorCode

MESSAGE_CHARACTERS_MAX: Final = 8_000
"""Of an error's message: of four bytes at most each, they fit into a string of the protocol."""


class BarnabasError(Exception):
    """Base of the errors that Barnabas raises on purpose."""


class KafkaError(BarnabasError):
    """An operation that Kafka's protocol has an error for: `code`, a kio.schema.errors.ErrorCode.

    As a text it is `NAME (NUMBER): message`, or without a `message` its first part alone.
    """

    def __init__(self, code: ErrorCode, message: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message[:MESSAGE_CHARACTERS_MAX]  # it may quote what a client has sent

    def __str__(self) -> str:
        name = f"{self.code.name.upper()} ({self.code.value})"
        return f"{name}: {self.message}" if self.message else name


class ConfigError(BarnabasError):
    """A configuration key or value that cannot be used."""


class StartError(BarnabasError):
    """The broker cannot start; the message is one line for the user."""


class BrokerClosed(BarnabasError):
    """A method of a broker that has been closed."""
