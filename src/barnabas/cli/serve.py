"""`barnabas serve`: one broker in the foreground, until SIGTERM or SIGINT.

stdout has one line, `barnabas ready on HOST:PORT`, once clients are served. The banner and the log
go to stderr. Heavy imports wait until the command runs.
"""

import argparse
import errno
import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from barnabas.cli.failure import CommandError
from barnabas.cli.parser import key_value, path
from barnabas.wording import counted, is_disk_full

if TYPE_CHECKING:
    import asyncio

    from barnabas.config.start import StartConfig
    from barnabas.node import Node

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("text", "json")

# What the requests of one pass of the broker loop are made of is fewer: it goes by its counts of
# references, and none of it is searched for cycles while it is in use.
GC_THRESHOLD: Final = 10_000


def add_parser(subparsers: "argparse._SubParsersAction[Any]") -> None:
    """Adds `serve`."""
    summary = "run a broker"
    parser = subparsers.add_parser("serve", help=summary, description=summary)
    parser.add_argument(
        "--data-dir", type=path, metavar="DIR", help="where topics live (./barnabas-data)"
    )
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="where to listen (127.0.0.1:9092); port 0: a free one"
    )
    parser.add_argument(
        "--advertise", metavar="HOST:PORT", help="what clients are told to connect to"
    )
    parser.add_argument(
        "--config", type=path, metavar="FILE", help="a server.properties file, as Kafka's"
    )
    parser.add_argument(
        "--set",
        type=key_value,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="one setting; stronger than the file's",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="allow a listener off loopback although there is no authentication",
    )
    adoption = parser.add_mutually_exclusive_group()
    adoption.add_argument(
        "--adopt",
        action="store_true",
        help="take over a stopped Apache Kafka's data directory so that Kafka can have it back: "
        "topics and settings cannot be changed (give its server.properties with --config)",
    )
    adoption.add_argument(
        "--adopt-for-good",
        action="store_true",
        help="the same, and topics can be made, changed and deleted: Kafka would not know of it",
    )
    parser.add_argument(
        "--forget-log-dir",
        type=path,
        action="append",
        default=[],
        metavar="DIR",
        help="give up a log directory that is missing and lost for good: partitions that were only "
        "in it begin anew, empty (for one start)",
    )
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info")
    parser.add_argument("--log-format", choices=LOG_FORMATS, default="text")
    for other in ("--port", "--host", "--bind", "--address", "--bootstrap-server"):
        parser.meant[other] = "--listen HOST:PORT"
    for other in ("--dir", "--log-dir", "--log-dirs", "--path"):
        parser.meant[other] = "--data-dir DIR"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serves until a signal comes."""
    _import_asyncio()
    import asyncio

    from barnabas._core import CoreError
    from barnabas.errors import ConfigError, StartError
    from barnabas.logs import set_up_logging

    set_up_logging(args.log_level, args.log_format)
    gc.set_threshold(GC_THRESHOLD)
    try:
        start = _start_config(args)
        return asyncio.run(_serve(start, args.log_format))
    except (ConfigError, StartError) as error:
        raise CommandError(f"{error}{_advice(error)}") from error
    except CoreError as error:
        raise CommandError(f"not stopped cleanly: {error}") from error


def _advice(error: Exception) -> str:
    """What can be done about a start that the system has refused."""
    if is_disk_full(error):
        return "; free some room there, or choose another directory with --data-dir"
    if getattr(error.__cause__, "errno", 0) == errno.EADDRINUSE:
        return "; --listen HOST:PORT chooses another port"
    return ""


def _start_config(args: argparse.Namespace) -> "StartConfig":
    from barnabas.config.listeners import parse_address
    from barnabas.config.start import Adopt, make_start_config, read_properties

    advertised_key = "advertised.listeners"
    settings = dict(args.set)
    for given, option, key in (
        (args.listen, "--listen", "listeners"),
        (args.advertise, "--advertise", advertised_key),
        (args.data_dir, "--data-dir", "log.dirs"),
        (args.data_dir, "--data-dir", "log.dir"),
    ):
        if given and key in settings:
            raise CommandError(f"{option} and --set {key}=… contradict each other: give one")
    if args.listen:
        settings["listeners"] = f"PLAINTEXT://{parse_address(args.listen, '--listen')}"
    if args.advertise:
        advertised = parse_address(args.advertise, "--advertise")
        settings[advertised_key] = f"PLAINTEXT://{advertised}"
    if args.insecure:
        settings["allow.insecure.listeners"] = "true"
    layers = [("command line", settings)]
    if args.config:
        layers.insert(0, (str(args.config), read_properties(args.config)))
    adopt = Adopt.NO
    if args.adopt or args.adopt_for_good:
        adopt = Adopt.TO_RETURN if args.adopt else Adopt.FOR_GOOD
    start = make_start_config(
        layers,
        data_dirs=None if args.data_dir is None else [args.data_dir],
        adopt=adopt,
        forgotten_dirs=args.forget_log_dir,
    )
    if args.config and args.data_dir:
        _tell_other_directories(args, layers[0][1])
    if args.listen and advertised_key not in settings and advertised_key in layers[0][1]:
        logging.getLogger("barnabas.serve").warning(
            "--listen %s does not change what clients are told: %s, by %s of %s",
            args.listen,
            start.advertised,
            advertised_key,
            args.config,
        )
    return start


def _tell_other_directories(args: argparse.Namespace, properties: Mapping[str, str]) -> None:
    """Says which directories of the file are not served, because the command line is stronger."""
    for key in ("log.dirs", "log.dir"):
        others = [name.strip() for name in properties.get(key, "").split(",") if name.strip()]
        if others:
            is_one = os.path.realpath(args.data_dir) in map(os.path.realpath, others)
            if not is_one or len(others) > 1:
                logging.getLogger("barnabas.serve").log(
                    logging.INFO if is_one else logging.WARNING,
                    "--data-dir %s is served alone, not %s=%s of %s",
                    args.data_dir,
                    key,
                    ",".join(others),
                    args.config,
                )
            return


async def _serve(start: "StartConfig", log_format: str) -> int:
    import asyncio

    from barnabas.config.broker_config import Source
    from barnabas.config.start import Adopt
    from barnabas.node import Node

    logger = logging.getLogger("barnabas.serve")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    heard: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        heard.append(number)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    node = Node(start)
    await node.start()
    try:
        retention = next(start.config.settings("log.retention.ms"))
        if start.adopt is not Adopt.NO and retention.source is Source.DEFAULT:
            logger.warning(
                "log.retention.hours is not set: topics that say nothing else keep records for %s "
                "ms, whatever Kafka's server.properties says (give it with --config)",
                retention.value,
            )
        _announce(node, start, log_format)
        if await _first(stopping, node.watch.all_failed) is node.watch.all_failed:
            raise CommandError("every log directory has failed")
        logger.info("stopping: %s", heard[0].name)
    finally:
        await node.stop()
    logger.info("stopped")
    return 0


def _import_asyncio() -> None:
    """Imports it as where Python has been built without TLS: the broker loop has no connections,
    and OpenSSL is an eighth of an idle broker's memory.
    """
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    sys.modules["ssl"] = None  # type: ignore[assignment]
    try:
        import asyncio  # noqa: F401
    finally:
        del sys.modules["ssl"]


async def _first(*events: "asyncio.Event") -> "asyncio.Event":
    """Waits for one of them."""
    import asyncio

    waits = {asyncio.ensure_future(event.wait()): event for event in events}
    done, others = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    return waits[done.pop()]


def _announce(node: "Node", start: "StartConfig", log_format: str) -> None:
    """Says what runs where: the banner on stderr, the ready line on stdout."""
    if log_format == "json":
        logger = logging.getLogger("barnabas.serve")
        logger.info("; ".join(" ".join(line.split()) for line in _banner(node, start)))
    else:
        print("\n".join(_banner(node, start)), file=sys.stderr, flush=True)
    print(f"barnabas ready on {node.address}", flush=True)


def _banner(node: "Node", start: "StartConfig") -> list[str]:
    """What runs where, in lines for people."""
    from barnabas._core import __version__

    threads = start.config.get("num.network.threads")
    disk_threads = start.config.get("num.io.threads")
    data_dirs = ", ".join(str(path.resolve()) for path in start.data_dirs)
    return [
        f"Barnabas {__version__}: broker {node.identity.node_id} of cluster "
        f"{node.identity.cluster_id}",
        f"  data      {data_dirs} ({counted(len(node.catalog), 'topic')})",
        f"  listener  {node.address} (clients are told {node.advertised_address})",
        f"  threads   {threads} for connections, {disk_threads} for each log directory",
    ]
