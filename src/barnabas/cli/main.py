"""The entry point: finds the command, runs it, turns what goes wrong into one line."""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Final

from barnabas.cli.cluster import error_text
from barnabas.cli.failure import EXIT_FAILURE, EXIT_INTERRUPTED, CommandError
from barnabas.cli.parser import CommandParser

_COMMANDS: Final = (
    "serve",
    "topic",
    "group",
    "transaction",
    "config",
    "produce",
    "consume",
    "bench",
    "dump",
)

# What commands import that not every installation has, and the extra that brings it.
_EXTRAS: Final = {
    "confluent_kafka": "cli",
    "rich": "cli",
    "numpy": "bench",
    "hdrh": "bench",
}


class _VersionAction(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"barnabas {version('barnabas')}")
        parser.exit()


def build_parser(command: str | None = None) -> CommandParser:
    """The parser of every command, or of one, which imports no other's module."""
    parser = CommandParser(
        prog="barnabas",
        description="A Kafka-compatible broker, and tools for any Kafka cluster.",
    )
    parser.add_argument("--version", action=_VersionAction, nargs=0, help="print it and exit")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in (command,) if command in _COMMANDS else _COMMANDS:
        importlib.import_module(f"barnabas.cli.{name}").add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    try:
        return _run(argv)
    except KeyboardInterrupt:  # also while the commands' modules are still being imported
        return EXIT_INTERRUPTED


def _run(argv: Sequence[str] | None) -> int:
    _open_closed_streams()
    words = sys.argv[1:] if argv is None else argv
    args = build_parser(words[0] if words else None).parse_args(words)
    # A name that the terminal's encoding lacks must not end the command. (Typed as TextIO, which
    # has no reconfigure(); both are TextIOWrapper.)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    try:
        exit_code: int = args.run(args)
        sys.stdout.flush()
    except CommandError as error:
        print(f"barnabas: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # the reader has seen enough (`| head`)
        _drop_output()
        return 0
    except OSError as error:  # what commands do not explain themselves: stdout on a full disk
        _drop_output()
        reason = error.strerror or error
        what = error.filename or "cannot write to stdout"
        print(f"barnabas: {what}: {reason}", file=sys.stderr)
        return EXIT_FAILURE
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        need = f"pip install 'barnabas[{_EXTRAS[package]}]'"
        print(f"barnabas: this needs more than a broker does: {need}", file=sys.stderr)
        return EXIT_FAILURE
    except Exception as error:
        if not _is_kafka_exception(error):
            raise
        print(f"barnabas: {error_text(error)}", file=sys.stderr)
        return EXIT_FAILURE
    return exit_code


def _open_closed_streams() -> None:
    """Started with a stream closed (`<&-`), Python has None in its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (for the process's life)


def _drop_output() -> None:
    """What is still buffered cannot be written; Python would try, and complain, at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_kafka_exception(error: Exception) -> bool:
    """Whether the Kafka client raised it; a command that never imported the client need not."""
    client = sys.modules.get("confluent_kafka")
    return client is not None and isinstance(error, client.KafkaException)


def _exit_on_sigterm(number: int, frame: FrameType | None) -> None:
    """Lets `finally` clauses close what the command has open."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
