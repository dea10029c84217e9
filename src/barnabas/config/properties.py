"""Java's .properties files, as server.properties is one: comments, continuation lines, escapes."""

import re
from collections.abc import Iterator

from barnabas.errors import ConfigError

_SEPARATOR = re.compile(r"(?<!\\)(?:\\\\)*(?P<separator>\s*[=:]\s*|\s+)")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


class Properties(dict[str, str]):
    """The keys and values of a file. `lines`: where each key is, counted from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


def parse_properties(text: str) -> Properties:
    """The keys and values of a file; of a key given twice the last counts. Raises ConfigError."""
    entries = Properties()
    for number, line in _logical_lines(text):
        match = _SEPARATOR.search(line)
        if match is None:
            key, value = line, ""
        else:
            key, value = line[: match.start("separator")], line[match.end("separator") :]
        if not key:
            raise ConfigError(f"line {number}: {line!r} has no key")
        name = _unescape(key)
        entries[name] = _unescape(value).strip()
        entries.lines[name] = number
    return entries


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments and blank ones, continued lines joined; each with its number, or that
    of its first.
    """
    pending = ""
    first = 0
    for number, raw in enumerate(text.splitlines(), 1):
        if not pending:
            first = number
        line = pending + raw.lstrip()
        if not pending and (not line or line[0] in "#!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            pending = line[:-1]
            continue
        pending = ""
        yield first, line
    if pending:
        yield first, pending


def _unescape(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            return chr(int(code[1:], 16))
        return _ESCAPED.get(code, code)

    return _ESCAPE.sub(replace, text)
