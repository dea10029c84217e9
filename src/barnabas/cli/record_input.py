"""Where `produce` gets its records from: files or stdin, as lines, JSON lines or whole.

Readers hold one record at a time, and refuse one that is longer than MAX_RECORD_BYTES rather than
to read a file without line ends into memory.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from barnabas.cli.failure import CommandError
from barnabas.cli.output import human_bytes
from barnabas.cli.record_json import InputRecord, RecordSyntaxError, parse_record

MAX_RECORD_BYTES: Final = 64 << 20
STDIN: Final = "-"
_READ_BYTES: Final = 1 << 18

Parse = Callable[[bytes], InputRecord]
Located = tuple[str, int, int, InputRecord]  # file, line (0: whole file), bytes read, record


@dataclass(frozen=True)
class LineFormat:
    """A value a line, or a key and a value when there is a separator."""

    key_separator: bytes | None

    def __call__(self, line: bytes) -> InputRecord:
        """Raises RecordSyntaxError when the separator is not there."""
        if self.key_separator is None:
            return InputRecord(line)
        key, separator, value = line.partition(self.key_separator)
        if not separator:
            raise RecordSyntaxError(f"no key separator {self.key_separator.decode()!r} in the line")
        return InputRecord(value, key)


JSON_FORMAT: Parse = parse_record


def total_bytes(names: list[str]) -> int | None:
    """How much there is to read; None when that cannot be known, as of stdin or a pipe."""
    total = 0
    for name in names:
        path = Path(name)
        if name == STDIN or not path.is_file():
            return None
        total += path.stat().st_size
    return total


def read_lines(names: list[str], parse: Parse, delimiter: bytes) -> Iterator[Located]:
    """The records of all files, one a line; empty lines at a JSON file's end are left out."""
    for name in names:
        with _open(name) as file:
            for number, line in enumerate(_split(name, file, delimiter), 1):
                text = line.removesuffix(delimiter)
                if parse is JSON_FORMAT and not text.strip():
                    continue
                try:
                    record = parse(text)
                except RecordSyntaxError as error:
                    raise CommandError(f"{_shown(name)}, line {number}: {error}") from None
                yield name, number, len(line), record


def read_whole(names: list[str]) -> Iterator[Located]:
    """One record a file."""
    for name in names:
        with _open(name) as file:
            data = file.read(MAX_RECORD_BYTES + 1)
            _check_size(name, 0, len(data))
            yield name, 0, len(data), InputRecord(data)


def location(name: str, number: int) -> str:
    """`file, line 3` for messages."""
    return f"{_shown(name)}, line {number}" if number else _shown(name)


@contextmanager
def _open(name: str) -> Iterator[BinaryIO]:
    """The file; whatever goes wrong with it inside the block becomes a CommandError."""
    try:
        if name == STDIN:
            yield sys.stdin.buffer
        else:
            with Path(name).open("rb", buffering=_READ_BYTES) as file:
                yield file
    except OSError as error:
        raise CommandError(f"cannot read {_shown(name)}: {error.strerror}") from None


def _split(name: str, file: BinaryIO, delimiter: bytes) -> Iterator[bytes]:
    """Lines with their delimiter; only the last may lack it."""
    if delimiter != b"\n":
        yield from _split_at(name, file, delimiter)
        return
    number = 1
    while line := file.readline(MAX_RECORD_BYTES + 2):
        _check_size(name, number, len(line.removesuffix(delimiter)))
        yield line
        number += 1


def _split_at(name: str, file: BinaryIO, delimiter: bytes) -> Iterator[bytes]:
    rest = bytearray()
    number = 1
    while chunk := file.read1(_READ_BYTES):  # type: ignore[attr-defined]
        start = max(0, len(rest) - len(delimiter) + 1)
        rest += chunk
        while (at := rest.find(delimiter, start)) >= 0:
            end = at + len(delimiter)
            yield bytes(rest[:end])
            del rest[:end]
            number += 1
            start = 0
        _check_size(name, number, len(rest))
    if rest:
        yield bytes(rest)


def _check_size(name: str, number: int, size_bytes: int) -> None:
    if size_bytes > MAX_RECORD_BYTES:
        raise CommandError(f"{location(name, number)}: longer than {human_bytes(MAX_RECORD_BYTES)}")


def _shown(name: str) -> str:
    return "stdin" if name == STDIN else name
