"""What a process asked of one directory, as strace saw it, in order.

Every call has two events, its begin and its end, for calls of several threads overlap: an fsync
covers what had ended before it began. An event's time is strace's, of the clock that clients note
their answers by. A call that failed has no event.

A call that changes files and is not understood is an error here: nothing is left out in silence.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

LONGEST_WRITE_BYTES: Final = 16 << 20
ROOT: Final = 0

_OPENS = ("open", "openat", "creat")
_SYNCS = ("fsync", "fdatasync")
_WRITES = ("write", "pwrite64")
_NOT_UNDERSTOOD = (
    "writev", "pwritev", "pwritev2", "fallocate", "copy_file_range", "splice",
    "dup", "dup2", "dup3",
)  # fmt: skip
_PATHS_NOT_UNDERSTOOD = (
    "openat2", "truncate", "renameat2", "link", "linkat", "symlink", "symlinkat",
)  # fmt: skip
_NAMES = ("rename", "renameat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir")
_CALLS = (
    *_OPENS, *_SYNCS, *_WRITES, *_NAMES, *_NOT_UNDERSTOOD, *_PATHS_NOT_UNDERSTOOD,
    "close", "lseek", "ftruncate", "syncfs", "sync", "sync_file_range", "mmap",
)  # fmt: skip
_LINE = re.compile(r"(\d+) +(\d+)\.(\d{9}) (.*)")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_KILLED = "<... ??? resumed>"  # a thread that ended with the process before strace saw its call
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?)[^)]*(?:\(.*\))?")
_CLOSE = re.compile(r"close\((\d+)")
_ARGUMENT = re.compile(r"""\s*(?:"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?|[^,]+)""")


def strace_command(output: Path) -> list[str]:
    """What stands before a command, so that strace writes `output`."""
    return [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-qqq",
        "--absolute-timestamps=format:unix,precision:ns",
        "--strings-in-hex=all",
        f"--string-limit={LONGEST_WRITE_BYTES}",
        "--signal=none",
        f"--output={output}",
        f"--trace={','.join(_CALLS)}",
    ]


class Kind(Enum):
    WRITE = auto()
    TRUNCATE = auto()
    CREATE = auto()
    MAKE_DIRECTORY = auto()
    RENAME = auto()
    UNLINK = auto()  # or rmdir
    SYNC = auto()
    SYNC_ALL = auto()


@dataclass(eq=False)
class Call:
    """One that changed something, or made changes durable."""

    kind: Kind
    node: int = ROOT  # the file or directory that it is about
    directory: int = ROOT  # where the name is
    name: str = ""
    new_name: str = ""
    offset: int = 0
    data: bytes = b""

    def __str__(self) -> str:
        what = {Kind.WRITE: f" {len(self.data)} at {self.offset}", Kind.TRUNCATE: f" {self.offset}"}
        names = f" {self.directory}/{self.name}" if self.name else ""
        new = f" -> {self.new_name}" if self.new_name else ""
        return f"{self.kind.name} of {self.node}{what.get(self.kind, '')}{names}{new}"


class Event(NamedTuple):
    call: Call
    is_end: bool
    time_ns: int
    """When it was; of an end whose own time is not told, that of its begin."""


@dataclass
class Trace:
    """What was recorded, and the nodes: files and directories by number, the root is 0."""

    events: list[Event] = field(default_factory=list)
    directories: set[int] = field(default_factory=lambda: {ROOT})
    names: dict[tuple[int, str], int] = field(default_factory=dict)  # at the end
    paths: dict[int, str] = field(default_factory=dict)  # the first of each node


class _Line(NamedTuple):
    pid: str
    time_ns: int
    begin: str | None  # the call's text, or its first part
    end: str | None  # the same text when the line has all of the call, or the rest of it


@dataclass
class _Open:
    node: int
    position: int | None  # None: appends, or is not followed


class TraceError(AssertionError):
    """What strace wrote is not understood."""


def read_trace(path: Path, root: Path, before: Sequence[str] = ()) -> Trace:
    """The calls below `root`, in which `before` were paths already; directories end in a slash."""
    return _Reader(root).read(path, before)


class _Reader:
    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._trace = Trace()
        self._open: dict[int, _Open] = {}
        self._nodes = ROOT

    def read(self, path: Path, before: Sequence[str]) -> Trace:
        for known in sorted(before):
            *parents, name = known.rstrip("/").split("/")
            self._add((self._walk(parents), name), known.endswith("/"))
        events: list[Event | None] = []
        begun: dict[str, tuple[int, int, str]] = {}  # of each thread: event, time, text
        for line in _lines(path):
            if line.begin is not None:
                if closing := _CLOSE.match(line.begin):
                    # Another thread may be given the number before the call ends.
                    self._open.pop(int(closing[1]), None)
                begun[line.pid] = (len(events), line.time_ns, line.begin)
                events.append(None)
            if line.end is None:
                continue
            index, begin_ns, text = begun.pop(line.pid)
            whole = text if line.begin is not None else text + line.end
            end_ns = begin_ns if line.begin is not None else line.time_ns
            if (call := self._take(whole)) is not None:
                events[index] = Event(call, False, begin_ns)
                events.append(Event(call, True, end_ns))
        self._trace.events = [event for event in events if event is not None]
        return self._trace

    # -- one call

    def _take(self, text: str) -> Call | None:
        parsed = _CALL.fullmatch(text)
        if parsed is None:
            raise TraceError(f"not understood: {text[:300]}")
        name, rest, result = parsed[1], parsed[2], parsed[3]
        if result == "?" or result.startswith("-"):
            return None
        arguments = list(_arguments(rest))
        call = None
        if name in _OPENS:
            call = self._take_open(name, arguments, int(result))
        elif name in _WRITES:
            call = self._take_write(name, arguments, int(result))
        elif name in _NAMES:
            call = self._take_name(name, arguments)
        elif name == "sync":
            call = Call(Kind.SYNC_ALL)
        elif name in _PATHS_NOT_UNDERSTOOD:
            if self._root.encode().hex() in text.replace("\\x", ""):
                raise TraceError(f"not understood: {text[:300]}")
        else:
            call = self._take_descriptor(name, arguments, result)
        return call

    def _take_open(self, name: str, arguments: list[str | bytes], fd: int) -> Call | None:
        self._open.pop(fd, None)
        first = 1 if name == "openat" else 0
        place = self._place(arguments[first], arguments[0] if first else None)
        if place is None:
            return None
        flags = "O_WRONLY|O_CREAT|O_TRUNC" if name == "creat" else str(arguments[first + 1])
        assert "O_TMPFILE" not in flags
        call = None
        node = ROOT if place[1] == "" else self._trace.names.get(place)
        if node is None:
            assert "O_CREAT" in flags, (place, flags)
            node = self._add(place, is_directory=False)
            call = Call(Kind.CREATE, node, *place)
        elif "O_TRUNC" in flags:
            call = Call(Kind.TRUNCATE, node)
        position = None if "O_APPEND" in flags or "O_RDWR" in flags else 0
        self._open[fd] = _Open(node, position)
        return call

    def _take_write(self, name: str, arguments: list[str | bytes], done: int) -> Call | None:
        file = self._open.get(int(arguments[0]))
        if file is None or done == 0:
            return None
        data = arguments[1]
        assert isinstance(data, bytes)
        data = data[:done]
        if name == "pwrite64":
            offset = int(arguments[3])
        else:
            if file.position is None:
                raise TraceError(f"a write at a place that is not known: {self._name_of(file)}")
            offset, file.position = file.position, file.position + done
        return Call(Kind.WRITE, file.node, offset=offset, data=data)

    def _take_name(self, name: str, arguments: list[str | bytes]) -> Call | None:
        is_at = name.endswith("at")
        place = self._place(arguments[1 if is_at else 0], arguments[0] if is_at else None)
        if name.startswith("rename"):
            new = self._place(arguments[-1], arguments[2] if is_at else None)
            if place is None and new is None:
                return None
            if place is None or new is None or place[0] != new[0]:
                raise TraceError(f"a file goes elsewhere: {arguments}")
            node = self._trace.names.pop(place)
            self._trace.names[new] = node
            return Call(Kind.RENAME, node, *place, new[1])
        if place is None:
            return None
        if name.startswith("mkdir"):
            return Call(Kind.MAKE_DIRECTORY, self._add(place, is_directory=True), *place)
        return Call(Kind.UNLINK, self._trace.names.pop(place), *place)

    def _take_descriptor(self, name: str, arguments: list[str | bytes], result: str) -> Call | None:
        if name == "mmap":
            self._check_mapping(arguments)
            return None
        file = self._open.get(int(arguments[0]))
        if file is None or name == "close":
            return None
        if name in _SYNCS:
            return Call(Kind.SYNC, file.node)
        if name == "syncfs":
            return Call(Kind.SYNC_ALL)
        if name == "ftruncate":
            return Call(Kind.TRUNCATE, file.node, offset=int(arguments[1]))
        if name == "lseek":
            if file.position is not None:
                file.position = int(result)
        elif name != "sync_file_range":  # which promises nothing
            raise TraceError(f"not understood: {name} of {self._name_of(file)}")
        return None

    def _check_mapping(self, arguments: list[str | bytes]) -> None:
        """What is written through a mapping is not seen; SQLite's index of its log is made anew
        by whoever opens the file first.
        """
        protection, flags, fd = str(arguments[2]), str(arguments[3]), int(arguments[4])
        file = self._open.get(fd)
        if file is None or "PROT_WRITE" not in protection or "MAP_SHARED" not in flags:
            return
        if not self._name_of(file).endswith("-shm"):
            raise TraceError(f"written through a mapping: {self._name_of(file)}")

    # -- names

    def _place(self, path: str | bytes, at: str | bytes | None) -> tuple[int, str] | None:
        """Directory and name; ("" is the root itself). None when it is not below the root."""
        assert isinstance(path, bytes)
        text = path.decode()
        if text.startswith("/proc/self/fd/"):
            number, _, text = text.removeprefix("/proc/self/fd/").partition("/")
            at = number
        if text.startswith("/"):
            if text != self._root and not text.startswith(self._root + "/"):
                return None
            start, text = ROOT, text[len(self._root) :]
        elif at is not None and str(at) != "AT_FDCWD":
            directory = self._open.get(int(str(at)))
            if directory is None:
                return None
            start = directory.node
        else:
            return None  # of the working directory, which is elsewhere
        *parents, name = [part for part in text.split("/") if part not in ("", ".")] or [""]
        return self._walk(parents, start), name

    def _walk(self, parents: Sequence[str], node: int = ROOT) -> int:
        for parent in parents:
            node = self._trace.names[node, parent]
        return node

    def _add(self, place: tuple[int, str], is_directory: bool) -> int:
        self._nodes += 1
        node = self._nodes
        assert place not in self._trace.names, place
        self._trace.names[place] = node
        above = "" if place[0] == ROOT else f"{self._trace.paths[place[0]]}/"
        self._trace.paths[node] = above + place[1]
        if is_directory:
            self._trace.directories.add(node)
        return node

    def _name_of(self, file: _Open) -> str:
        return self._trace.paths.get(file.node, ".")


def _arguments(text: str) -> Iterator[str | bytes]:
    for match in _ARGUMENT.finditer(text):
        if match[2]:
            raise TraceError("a write is longer than what strace shows")
        if match[1] is not None:
            yield bytes.fromhex(match[1].replace("\\x", ""))
        elif argument := match[0].strip():
            yield argument


def _lines(path: Path) -> Iterator[_Line]:
    with path.open() as file:
        for text in file:
            parsed = _LINE.fullmatch(text.rstrip("\n"))
            if parsed is None:
                raise TraceError(f"not understood: {text[:300]}")
            pid, time_ns, call = parsed[1], int(parsed[2] + parsed[3]), parsed[4]
            if call.startswith(("+++", "---", _KILLED)):
                continue
            if resumed := _RESUMED.fullmatch(call):
                yield _Line(pid, time_ns, None, resumed[2])
            elif call.endswith("<unfinished ...>"):
                yield _Line(pid, time_ns, call.removesuffix("<unfinished ...>"), None)
            else:
                yield _Line(pid, time_ns, call, call)
