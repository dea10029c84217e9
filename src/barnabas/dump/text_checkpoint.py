"""Text checkpoints: offsets by partition, and leader epochs.

Layout, one number or entry a line: version (0), count, then `count` entries. An entry of
`recovery-point-offset-checkpoint`, `log-start-offset-checkpoint`, `replication-offset-checkpoint`
and `cleaner-offset-checkpoint` is `TOPIC PARTITION OFFSET`; one of `leader-epoch-checkpoint` is
`EPOCH START_OFFSET`, where both grow from line to line. An entry of Barnabas's own `NAME.crc` is
`BYTES CRC32C`, of what the file NAME may hold: two contents while it changes, otherwise one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from barnabas.dump.finding import Damage, Entry, Finding, Findings

_VERSION: Final = "0"
_HEADER_LINES: Final = 2


def read_offset_checkpoint(path: Path) -> Findings:
    """The offsets by partition."""
    for item in _lines(path):
        if not isinstance(item, tuple):
            yield item
            continue
        number, line = item
        words = line.split()
        if len(words) != 3 or not (words[1].isdecimal() and words[2].isdecimal()):
            yield Damage(f"{line!r} is no `TOPIC PARTITION OFFSET`", line=number)
            continue
        fields = {"topic": words[0], "partition": int(words[1]), "offset": int(words[2])}
        yield Entry("partition_offset", None, fields)


def read_leader_epoch_checkpoint(path: Path) -> Findings:
    """The leader epochs with the first offset of each."""
    last = (-1, -1)
    for item in _pairs(path, "EPOCH START_OFFSET"):
        if not isinstance(item, tuple):
            yield item
            continue
        number, epoch, start_offset = item
        if epoch <= last[0] or start_offset < last[1]:
            yield Damage(
                f"epoch {epoch} at {start_offset} after {last[0]} at {last[1]}", line=number
            )
        last = (epoch, start_offset)
        yield Entry("leader_epoch", None, {"leader_epoch": epoch, "start_offset": start_offset})


def read_checksums(path: Path) -> Findings:
    """What the file beside it may hold."""
    for item in _pairs(path, "BYTES CRC32C"):
        if not isinstance(item, tuple):
            yield item
            continue
        _, size, crc = item
        yield Entry("checksum", None, {"bytes": size, "crc32c": crc})


def _pairs(path: Path, what: str) -> Iterator[tuple[int, int, int] | Finding]:
    """(line number, number, number) of each entry."""
    for item in _lines(path):
        if not isinstance(item, tuple):
            yield item
            continue
        number, line = item
        words = line.split()
        if len(words) != 2 or not all(word.isdecimal() for word in words):
            yield Damage(f"{line!r} is no `{what}`", line=number)
            continue
        yield number, int(words[0]), int(words[1])


def _lines(path: Path) -> Iterator[tuple[int, str] | Finding]:
    """(line number, text) of each entry, after the two lines that begin every checkpoint."""
    lines = path.read_text(errors="replace").splitlines()
    if not lines:  # as Kafka makes it at its first start
        return
    if len(lines) < _HEADER_LINES:
        yield Damage(f"{len(lines)} lines are too few for a checkpoint", line=1)
        return
    if lines[0].strip() != _VERSION:
        yield Damage(f"checkpoint of version {lines[0]!r}", line=1)
        return
    entries = [line for line in lines[_HEADER_LINES:] if line.strip()]
    if lines[1].strip() != str(len(entries)):
        yield Damage(f"the count is {lines[1]!r}, the entries are {len(entries)}", line=2)
    yield from enumerate(entries, _HEADER_LINES + 1)
