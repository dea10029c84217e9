"""How the commands reach a cluster: options, client properties, a quick and clear failure.

librdkafka retries for ever and logs as it does; a command has to say within seconds, and in one
line, that nobody answers. So its log is silenced (unless `-X debug=…` asks for it), its error
callback is remembered, and a metadata request decides.
"""

import argparse
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from barnabas.cli.failure import CommandError
from barnabas.cli.parser import key_value, positive_seconds

if TYPE_CHECKING:
    from concurrent.futures import Future

    from confluent_kafka import Consumer, KafkaError, Producer
    from confluent_kafka.admin import AdminClient, ClusterMetadata

    Client = AdminClient | Producer | Consumer

DEFAULT_BOOTSTRAP: Final = "127.0.0.1:9092"
DEFAULT_CONNECT_TIMEOUT_S: Final = 5.0
REQUEST_TIMEOUT_S: Final = 30.0  # of one admin request, once the cluster has answered
_POLL_S: Final = 0.25
_LOCATION = re.compile(r"^\S+://[^\s]+: |^\S+:\d+/(?:bootstrap|\d+): ")
_PREFIX = re.compile(r"^(Unable to produce message: )?(Broker: |Local: )?")
_AFTERMATH = re.compile(r"( \(after \d+ms in state .*|: brokers might be old.*)$")
_SERVER = re.compile(r"(?:\w+://)?(?P<host>\[[^\]]*\]|[^:\[\]]*):(?P<port>[^:\]]*)")
T = TypeVar("T")


def add_cluster_options(
    parser: argparse.ArgumentParser,
    properties_help: str = (
        "a librdkafka client property, for instance security.protocol=SSL; repeatable"
    ),
) -> None:
    """Adds --bootstrap-server, --connect-timeout and -X."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "-b",
        "--bootstrap-server",
        metavar="HOST:PORT[,…]",
        type=bootstrap_servers,
        default=DEFAULT_BOOTSTRAP,
        help="brokers to ask first (default: %(default)s)",
    )
    group.add_argument(
        "--connect-timeout",
        metavar="SECONDS",
        type=positive_seconds,
        default=DEFAULT_CONNECT_TIMEOUT_S,
        help="how long to wait for a broker to answer (default: %(default)g)",
    )
    group.add_argument(
        "-X",
        metavar="KEY=VALUE",
        dest="properties",
        type=key_value,
        action="append",
        default=[],
        help=properties_help,
    )


def bootstrap_servers(text: str) -> str:
    """An argument type: HOST:PORT, or several with commas; the port may be left out."""
    servers = [server.strip() for server in text.split(",") if server.strip()]
    if not servers:
        raise argparse.ArgumentTypeError("a broker's address is empty")
    for server in servers:
        match = _SERVER.fullmatch(server)
        if match is None:
            continue  # librdkafka knows more forms: it will tell
        if not match["host"]:
            raise argparse.ArgumentTypeError(f"{server!r} names no host")
        if not (match["port"].isdecimal() and 0 < int(match["port"]) < 1 << 16):
            raise argparse.ArgumentTypeError(
                f"port {match['port']!r} of {server!r} is not a number from 1 to 65535"
            )
    return text


class ClusterErrors:
    """Remembers what librdkafka told its error callback, `report`."""

    def __init__(self) -> None:
        self.last = ""
        self.all_down = False

    def report(self, error: "KafkaError") -> None:
        """Is called on the thread that polls the client."""
        from confluent_kafka import KafkaError

        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.all_down = True
        else:
            self.last = _AFTERMATH.sub("", _LOCATION.sub("", error.str()))


def client_config(
    args: argparse.Namespace, errors: ClusterErrors, properties: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The configuration of a confluent_kafka client; -X wins over `properties`."""
    config: dict[str, Any] = {
        "bootstrap.servers": args.bootstrap_server,
        "client.id": "barnabas-cli",
        "error_cb": errors.report,
        **(properties or {}),
        **dict(args.properties),
    }
    if "debug" not in config:
        logger = logging.getLogger("barnabas.cli.librdkafka")
        logger.propagate = False
        logger.addHandler(logging.NullHandler())
        config["logger"] = logger
    return config


def connect_admin(args: argparse.Namespace) -> "AdminClient":
    """An AdminClient of a cluster that answers."""
    from confluent_kafka.admin import AdminClient

    errors = ClusterErrors()
    admin = new_client(AdminClient, client_config(args, errors))
    await_metadata(admin, errors, args)
    return admin


def new_client(kind: Callable[[dict[str, Any]], T], config: dict[str, Any]) -> T:
    """Makes the client; a property that librdkafka refuses is the user's error."""
    from confluent_kafka import KafkaException

    try:
        return kind(config)
    except KafkaException as error:
        raise CommandError(f"bad client property: {error_text(error)}") from None
    except (TypeError, ValueError) as error:
        raise CommandError(f"bad client property: {error}") from None


def await_metadata(
    client: "Client", errors: ClusterErrors, args: argparse.Namespace, topic: str | None = None
) -> "ClusterMetadata":
    """The cluster's metadata (of all topics, or of one), or a CommandError within the timeout."""
    from confluent_kafka import KafkaError, KafkaException

    unanswered = (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN)
    deadline = time.monotonic() + args.connect_timeout
    while True:
        left_s = deadline - time.monotonic()
        options = {} if topic is None else {"topic": topic}
        try:
            return client.list_topics(timeout=max(0.01, min(_POLL_S, left_s)), **options)
        except KafkaException as error:
            if error.args[0].code() not in unanswered:
                raise CommandError(error_text(error)) from None
        client.poll(0)  # runs the error callback
        if errors.all_down or left_s <= 0:
            reason = errors.last or f"no answer within {args.connect_timeout:g} s"
            raise CommandError(f"cannot reach a Kafka broker at {args.bootstrap_server}: {reason}")


def error_text(error: "Exception | KafkaError") -> str:
    """What the broker or librdkafka said, without the prefix that librdkafka gives it."""
    kafka_error = error.args[0] if isinstance(error, Exception) and error.args else error
    text = kafka_error.str() if hasattr(kafka_error, "str") else str(error)
    return _PREFIX.sub("", text).strip()


def result_of(future: "Future[T]", doing: str) -> T:
    """The future's result; what failed becomes a CommandError that begins with `doing`."""
    from confluent_kafka import KafkaException

    try:
        return future.result()
    except KafkaException as error:
        raise CommandError(f"{doing}: {error_text(error)}") from None
