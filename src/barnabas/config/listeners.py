"""Where to listen and what to tell clients, from `listeners` and `advertised.listeners`."""

import ipaddress
import re
from typing import NamedTuple

from barnabas.errors import ConfigError

PORT_MAX = 65_535
DEFAULT_PORT = 9092
_LISTENER = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)://(?P<host>\[[^\]]*\]|[^:/]*):(?P<port>-?\d+)")


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Listener(NamedTuple):
    """A named listener; an empty host is every interface."""

    name: str
    address: Address


def parse_address(text: str, what: str) -> Address:
    """HOST:PORT, as on the command line. Raises ConfigError naming `what`."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, str(DEFAULT_PORT)
        if host.isdigit():
            raise ConfigError(f"{what}: {text!r} is not HOST:PORT; 127.0.0.1:{text} perhaps?")
    if not port.isascii() or not port.isdigit() or int(port) > PORT_MAX:
        raise ConfigError(f"{what}: {text!r} is not HOST:PORT")
    return Address(host.strip("[]"), int(port))


def parse_listeners(key: str, values: tuple[str, ...]) -> list[Listener]:
    """The listeners of a key. Raises ConfigError naming it."""
    listeners = []
    for value in values:
        match = _LISTENER.fullmatch(value)
        if match is None or not 0 <= int(match["port"]) <= PORT_MAX:
            raise ConfigError(f"{key}: {value!r} is not NAME://HOST:PORT")
        address = Address(match["host"].strip("[]"), int(match["port"]))
        listeners.append(Listener(match["name"].upper(), address))
    return listeners


def choose_listener(
    key: str,
    listeners: list[Listener],
    controller_names: tuple[str, ...],
    protocol_map: str,
) -> Listener:
    """The one listener for clients; those of Kafka's controllers are passed over."""
    controllers = {name.upper() for name in controller_names}
    ours = [listener for listener in listeners if listener.name not in controllers]
    if len(ours) != 1:
        raise ConfigError(f"{key}: {len(ours)} listeners for clients; exactly one is supported")
    protocols = dict(
        entry.strip().upper().split(":", 1) for entry in protocol_map.split(",") if ":" in entry
    )
    protocol = protocols.get(ours[0].name, ours[0].name)
    if protocol != "PLAINTEXT":
        raise ConfigError(f"{key}: {ours[0].name} is {protocol}; only PLAINTEXT is supported")
    return ours[0]


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a listener on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
