"""What a disk may hold after the power was cut, given what it was asked to do until then.

As tests/native/storage/power_cut.h says: everything up to the last fsync of a file is in it; of
what was written since, any of its 512-byte sectors, in any order, and perhaps a size that promises
more. Names are as of the last fsync of their directory, and any number of the first changes since.

There are two kinds of disks, drawn at random: on a *strict* one each directory is a world of its
own, and some files that were made or unlinked since are missing or there against the order; on a
*journal* all changes of names, of whatever directories, are kept up to one moment, and that is not
before the last fsync of anything.
"""

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from faults.power.trace import ROOT, Call, Event, Kind, Trace

SECTOR_BYTES: Final = 512
_OF_NAMES = (Kind.CREATE, Kind.MAKE_DIRECTORY, Kind.RENAME, Kind.UNLINK)

Image = dict[str, bytes]
"""Files by their path from the root, and directories with a slash at the end."""


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Call] = field(default_factory=list)


@dataclass
class _Directory:
    durable: dict[str, int] = field(default_factory=dict)
    pending: list[Call] = field(default_factory=list)


class Disk:
    """The disk while events come; `after_cut` makes one of what it may hold now."""

    def __init__(self, trace: Trace, before: Mapping[str, bytes]) -> None:
        """`before` is what the trace began with, all of it durable."""
        self._files: dict[int, _File] = {}
        self._directories = {node: _Directory() for node in trace.directories}
        self._ended: set[Call] = set()
        self._order: dict[Call, int] = {}  # of changes of names, by their begin
        self._covered: dict[Call, list[Call]] = {}  # by each sync under way
        self._committed = 0  # so many changes of names a journal has for certain
        node = ROOT
        for path in sorted(before):  # as read_trace numbers them
            node += 1
            parent, name = self._parent(path)
            self._directories[parent].durable[name] = node
            if not path.endswith("/"):
                self._files[node] = _File(bytearray(before[path]))

    def _parent(self, path: str) -> tuple[int, str]:
        *parents, name = path.rstrip("/").split("/")
        node = ROOT
        for parent in parents:
            node = self._directories[node].durable[parent]
        return node, name

    def take(self, event: Event) -> None:
        call = event.call
        if call.kind in (Kind.SYNC, Kind.SYNC_ALL):
            self._take_sync(event)
        elif event.is_end:
            self._ended.add(call)
        else:
            node = self._node(call.directory if call.kind in _OF_NAMES else call.node)
            node.pending.append(call)
            if call.kind in _OF_NAMES:
                self._order[call] = len(self._order)

    def _take_sync(self, event: Event) -> None:
        call = event.call
        if not event.is_end:
            nodes = self._nodes() if call.kind is Kind.SYNC_ALL else [self._node(call.node)]
            covered = [one for node in nodes for one in node.pending if one in self._ended]
            self._covered[call] = [*covered, *self._ended_names()]
            return
        covered_calls = self._covered.pop(call)
        names = [one for one in covered_calls if one.kind in _OF_NAMES]
        self._committed = max([self._committed, *(self._order[one] + 1 for one in names)])
        nodes = self._nodes() if call.kind is Kind.SYNC_ALL else [self._node(call.node)]
        done = set(covered_calls)
        for node in nodes:
            for one in node.pending:
                if one in done:
                    _apply(node, one)
            node.pending = [one for one in node.pending if one not in done]

    def _ended_names(self) -> list[Call]:
        """The changes of names that a journal writes with any fsync that begins now."""
        begun = [call for call in self._order if self._order[call] >= self._committed]
        return [call for call in begun if call in self._ended]

    def _nodes(self) -> list["_File | _Directory"]:
        return [*self._files.values(), *self._directories.values()]

    def _node(self, node: int) -> "_File | _Directory":
        if node in self._directories:
            return self._directories[node]
        return self._files.setdefault(node, _File())

    # -- what is left

    def make_durable(self) -> None:
        """As a sync of everything would."""
        for node in self._nodes():
            for call in node.pending:
                _apply(node, call)
            node.pending.clear()

    def after_cut(self, rng: random.Random) -> Image:
        return _Cut(self, rng).image()


def _apply(node: _File | _Directory, call: Call) -> None:
    if isinstance(node, _File):
        _apply_to_content(node.durable, call)
    else:
        _apply_to_names(node.durable, call)


def _apply_to_content(content: bytearray, call: Call) -> None:
    if call.kind is Kind.TRUNCATE:
        _resize(content, call.offset)
    else:
        _put(content, call.offset, call.data)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    _resize(content, max(len(content), offset + len(data)))
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def _apply_to_names(names: dict[str, int], call: Call) -> None:
    if call.kind in (Kind.UNLINK, Kind.RENAME):
        names.pop(call.name, None)
    if call.kind is Kind.RENAME:
        names[call.new_name] = call.node
    elif call.kind in (Kind.CREATE, Kind.MAKE_DIRECTORY):
        names[call.name] = call.node


class _Cut:
    """One of the disks."""

    def __init__(self, disk: Disk, rng: random.Random) -> None:
        self._disk = disk
        self._rng = rng
        self._image: Image = {}
        order = disk._order
        self._kept: int | None = None  # so many changes of names, on a journal
        if self._chance(0.5):
            self._kept = rng.randint(disk._committed, len(order))
            if self._chance(0.4):
                self._kept = rng.choice((disk._committed, len(order)))

    def image(self) -> Image:
        self._put_directory(ROOT, "")
        return self._image

    def _put_directory(self, directory: int, path: str) -> None:
        for name, node in self._names(self._disk._directories[directory]).items():
            if node in self._disk._directories:
                self._image[f"{path}{name}/"] = b""
                self._put_directory(node, f"{path}{name}/")
            else:
                self._image[path + name] = self._content(path + name, node)

    def _chance(self, share: float) -> bool:
        return self._rng.random() < share

    def _names(self, directory: _Directory) -> dict[str, int]:
        names = dict(directory.durable)
        for call in self._names_kept(directory):
            _apply_to_names(names, call)
        return names

    def _names_kept(self, directory: _Directory) -> list[Call]:
        if self._kept is not None:
            order = self._disk._order
            return [call for call in directory.pending if order[call] < self._kept]
        kept = directory.pending[: self._rng.randint(0, len(directory.pending))]
        if self._chance(0.7):
            return kept
        renamed = {call.node for call in kept if call.kind is Kind.RENAME}
        return [
            call
            for call in kept
            if not (
                call.kind is Kind.UNLINK or (call.kind is Kind.CREATE and call.node not in renamed)
            )
            or self._chance(0.8)
        ]

    def _content(self, path: str, node: int) -> bytes:
        file = self._disk._files.get(node, _File())
        if path.endswith("-shm") and self._chance(0.5):
            return self._rng.randbytes(len(file.durable))  # nobody fsyncs what is mapped
        content = bytearray(file.durable)
        if file.pending and not self._chance(0.15):
            self._change(content, file.pending)
        return bytes(content)

    def _change(self, content: bytearray, pending: list[Call]) -> None:
        if self._chance(0.18):
            for call in pending:
                _apply_to_content(content, call)
            return
        if self._chance(0.4):  # in order, and then the power went
            whole = self._rng.randrange(len(pending))
            for call in pending[:whole]:
                _apply_to_content(content, call)
            self._put_sectors(content, pending[whole], 0.5)
            return
        share = self._rng.uniform(0.1, 1)
        for call in pending:
            self._put_sectors(content, call, share)
        if self._chance(0.3):  # the size made it, the sectors did not
            writes = [call for call in pending if call.kind is Kind.WRITE]
            _resize(content, max([len(content), *(w.offset + len(w.data) for w in writes)]))

    def _put_sectors(self, content: bytearray, call: Call, share: float) -> None:
        if call.kind is Kind.TRUNCATE:
            if self._chance(share):
                _apply_to_content(content, call)
            return
        begin, end = call.offset, call.offset + len(call.data)
        while begin < end:
            next_sector = min(end, (begin // SECTOR_BYTES + 1) * SECTOR_BYTES)
            if self._chance(share):
                _put(content, begin, call.data[begin - call.offset : next_sector - call.offset])
            begin = next_sector


def write_image(image: Image, root: Path) -> None:
    """Makes the files in a directory, which is emptied."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for path in sorted(image):
        if path.endswith("/"):
            (root / path).mkdir()
        else:
            (root / path).write_bytes(image[path])


def read_image(root: Path) -> Image:
    """What is in a directory."""
    return {
        f"{path.relative_to(root)}/" if path.is_dir() else str(path.relative_to(root)): (
            b"" if path.is_dir() else path.read_bytes()
        )
        for path in root.rglob("*")
    }
