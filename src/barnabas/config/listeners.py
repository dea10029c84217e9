"""Where to listen and what to tell clients, from `listeners` and `advertised.listeners`.

Names are looked up here, so that one that nobody knows is refused before anything is started.
"""

import errno
import ipaddress
import re
import socket
from typing import NamedTuple

from barnabas.errors import ConfigError, StartError

PORT_MAX = 65_535
EVERY_INTERFACE = "0.0.0.0"  # how a listener without a host is shown
_HOST_PORT = r"(?P<host>\[[^\]]*\]|[^:/\[\]\s]*):(?P<port>-?[0-9]{1,9})"
_ADDRESS = re.compile(_HOST_PORT)
_LISTENER = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)://" + _HOST_PORT)


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
    match = _ADDRESS.fullmatch(text)
    if match is not None and not 0 <= int(match["port"]) <= PORT_MAX:
        raise ConfigError(
            f"{what}: port {match['port']} of {text!r} is not within 0 and {PORT_MAX}"
        )
    if match is None:
        raise ConfigError(
            f"{what}: {text!r} is not HOST:PORT, such as 127.0.0.1:9092 or [::1]:9092"
        )
    return Address(match["host"].strip("[]"), int(match["port"]))


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


def check_is_free(address: Address) -> None:
    """Raises StartError when somebody listens there: before a directory is made, which the listener
    itself comes after.
    """
    host, port = address
    if port == 0:
        return
    family = socket.AF_UNSPEC if host else socket.AF_INET
    found = socket.getaddrinfo(host or EVERY_INTERFACE, port, family, socket.SOCK_STREAM)
    for kind, _, _, _, place in found:
        try:
            with socket.socket(kind, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                where = Address(host or EVERY_INTERFACE, port)
                raise StartError(f"cannot listen on {where}: {error.strerror}") from error


def is_wildcard(host: str) -> bool:
    """Whether a listener on `host` is on every interface, so that no client can connect to it."""
    if not host:
        return True
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(key: str, host: str) -> bool:
    """Whether only this machine can connect to a listener on `host`.

    Raises ConfigError naming the key for a name that cannot be looked up.
    """
    if is_wildcard(host):
        return False
    return all(ipaddress.ip_address(address).is_loopback for address in _look_up(key, host))


def check_advertised(key: str, host: str) -> None:
    """Refuses a host that no client can connect to. Raises ConfigError with Kafka's message."""
    if host and is_wildcard(host):
        raise ConfigError(
            f"{key} cannot use the nonroutable meta-address {host}. Use a routable IP address."
        )


def machine_host(key: str) -> str:
    """The name that this machine has for others, as Kafka finds it. Raises ConfigError."""
    name = socket.getfqdn()
    try:
        _look_up(key, name)
    except ConfigError:
        raise ConfigError(
            f"{key}: clients need a host to connect to, and the name of this machine, {name!r}, "
            "cannot be looked up; name one with --advertise HOST:PORT (advertised.listeners)"
        ) from None
    return name


def _look_up(key: str, host: str) -> set[str]:
    """The addresses of a host."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{key}: host {host!r} cannot be looked up: {reason}") from None
    return {str(address[0]) for *_, address in found}
