"""The argument parser of all commands: errors are one line, a mistyped command gets a hint."""

import argparse
import difflib
import os
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from barnabas.cli.failure import EXIT_USAGE

_HELP_COLUMNS: Final = 78
_ESCAPE: Final = re.compile(r"\\([tnr0\\]|x[0-9a-fA-F]{2})")
_ESCAPED: Final = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "\\": "\\"}


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser whose help keeps the examples' lines and whose errors are one line."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        # The formatter that keeps the examples' lines does not wrap the description either.
        options["description"] = textwrap.fill(options.get("description") or "", _HELP_COLUMNS)
        super().__init__(**options)
        self._is_intermixing = False
        self.meant: dict[str, str] = {}  # options that there are not, and what to say instead

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Lets options stand anywhere, also between TOPIC and FILE…."""
        if self._is_intermixing or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._is_intermixing = True  # it calls this method again
        try:
            parsed, unknown = super().parse_known_intermixed_args(args, namespace)
        finally:
            self._is_intermixing = False
        if unknown:  # said here, where the command and its options are known
            option = unknown[0].partition("=")[0]
            close = difflib.get_close_matches(option, self._option_string_actions, n=1)
            meant = self.meant.get(option) or (close[0] if close else "")
            hint = f"; did you mean {meant}?" if meant else ""
            self.error(f"unknown argument {unknown[0]}{hint}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Ends the program with one line on stderr."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        close = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(choices)}"
        what = "command" if isinstance(action, argparse._SubParsersAction) else "value"
        raise argparse.ArgumentError(
            action if what == "value" else None, f"unknown {what} {value!r}{hint}"
        )


def add_command_group(
    subparsers: "argparse._SubParsersAction[Any]", name: str, summary: str
) -> "argparse._SubParsersAction[Any]":
    """Adds a command that only has commands of its own, such as `topic`; returns their parent."""
    parser = subparsers.add_parser(name, help=summary, description=summary)
    commands: argparse._SubParsersAction[Any] = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    return commands


def key_value(text: str) -> tuple[str, str]:
    """An argument type: KEY=VALUE, where VALUE may be empty and may hold more `=`."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return _unicode(key), _unicode(value)


def header(text: str) -> tuple[str, bytes]:
    """An argument type: KEY=VALUE, where VALUE may be any bytes."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return _unicode(key), os.fsencode(value)


def nonempty(text: str) -> str:
    """An argument type: the name of a thing; what it may hold, the broker decides."""
    if not text:
        raise argparse.ArgumentTypeError("a name is empty")
    return _unicode(text)


def path(text: str) -> Path:
    """An argument type: a file or directory, whether it is there or not."""
    if not text:
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(text)


def _unicode(text: str) -> str:
    """Refuses bytes that Python could not decode and smuggled in as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{os.fsencode(text)!r} is not UTF-8") from None
    return text


def positive_int(text: str) -> int:
    """An argument type: a whole number above zero."""
    number = _integer(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return number


def count_up_to(most: int) -> Callable[[str], int]:
    """Makes an argument type: a whole number above zero, and at most `most`."""

    def count(text: str) -> int:
        number = positive_int(text)
        if number > most:
            raise argparse.ArgumentTypeError(f"{text!r} is above {most}")
        return number

    return count


def whole_number(text: str) -> int:
    """An argument type: a whole number, below zero perhaps."""
    return _integer(text)


def natural_int(text: str) -> int:
    """An argument type: a whole number, zero or above."""
    number = _integer(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below zero")
    return number


def positive_seconds(text: str) -> float:
    """An argument type: seconds, above zero."""
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time above zero")
    return seconds


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def separator(text: str) -> bytes:
    r"""An argument type: the bytes that separate, where \t, \n, \r, \0, \\ and \xNN are read."""
    if not text:
        raise argparse.ArgumentTypeError("a separator is empty")
    return _ESCAPE.sub(_unescape, text).encode("utf-8", "surrogateescape")


def add_partitions_option(
    parser: argparse._ActionsContainer, *also: str, where: str = "this partition"
) -> None:
    """Adds --partition, and what it is called `also`: `partitions`, None for all of the topic's."""
    parser.add_argument(
        *also,
        "--partition",
        dest="partitions",
        type=natural_int,
        action="append",
        metavar="N",
        help=f"only {where}; repeatable",
    )


def add_delimiter_option(group: argparse._ArgumentGroup) -> None:
    """Adds --delimiter, of records in and out."""
    group.add_argument(
        "--delimiter", type=separator, default=b"\n", metavar="TEXT", help="ends a record, not \\n"
    )


def _unescape(found: re.Match[str]) -> str:
    escape = found[1]
    if escape[0] == "x":
        code = int(escape[1:], 16)
        # Above 127 it is a byte, not a character: as it comes from a command line.
        return chr(code) if code < 0x80 else chr(0xDC00 + code)
    return _ESCAPED[escape]
