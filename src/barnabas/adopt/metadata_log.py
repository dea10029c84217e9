"""Reads Kafka's metadata log, `__cluster_metadata-0`, and the snapshots beside it. Writes nothing.

    <base offset>.log                        the records; control batches are KRaft's own
    <end offset>-<epoch>.checkpoint          a snapshot: the state before its end offset, between a
                                             header and a footer record

The newest whole snapshot is where reading starts, and the log from its end offset on. What follows
the last whole batch of the log is a torn tail, which a crash leaves; a damaged batch that good ones
follow is corruption, and ends the adoption: half of a cluster's metadata must not pass for all.
"""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from barnabas.adopt.image import ClusterImage
from barnabas.dump.finding import Damage, Entry
from barnabas.dump.segment import read_segment
from barnabas.errors import StartError
from barnabas.protocol.internal.kraft_records import KraftRecordError, decode_kraft_record

logger = logging.getLogger(__name__)

_VOTERS: Final = "kraft_voters"
_QUORUM_STATE: Final = "quorum-state"
_SNAPSHOT: Final = re.compile(r"(\d{20})-(\d{10})\.checkpoint")
_SEGMENT: Final = re.compile(r"(\d{20})\.log")


@dataclass(frozen=True, slots=True)
class ClusterMetadata:
    """What a metadata log comes to."""

    image: ClusterImage
    end_offset: int
    voter_count: int  # controllers; 0 when the directory does not say


@dataclass(frozen=True, slots=True)
class _Value:
    """A record that is no control record."""

    offset: int
    value: bytes | None


@dataclass(slots=True)
class _Read:
    """How far the log has been read."""

    next_offset: int
    voter_count: int
    torn: str = ""  # why a tail is not used


def read_cluster_metadata(directory: Path) -> ClusterMetadata:
    """Replays the metadata log in `directory`. Raises StartError with what is wrong with it."""
    segments = _numbered(directory, _SEGMENT)
    oldest = segments[0][0] if segments else 0
    image, offset, voter_count = _newest_snapshot(directory, oldest)
    done = _Read(offset, voter_count)
    for number, (base_offset, path) in enumerate(segments):
        following = segments[number + 1][0] if number + 1 < len(segments) else None
        if following is not None and following <= offset:
            continue
        if base_offset > done.next_offset:
            raise StartError(
                f"{directory}: the records from offset {done.next_offset} to {base_offset - 1} are "
                "missing"
            )
        for record in _log_records(path, done, is_last=following is None):
            if record.offset >= offset:
                _replay(image, record.value, path, record.offset)
    if done.torn:
        logger.warning("%s: %s: not used", directory, done.torn)
    if image.is_in_transaction:
        logger.warning("%s: its last transaction has not ended: not used", directory)
    voter_count = done.voter_count or _static_voter_count(directory)
    return ClusterMetadata(image, done.next_offset, voter_count)


def _numbered(directory: Path, pattern: re.Pattern[str]) -> list[tuple[int, Path]]:
    """The files whose names match, by the number they begin with."""
    matches = ((pattern.fullmatch(path.name), path) for path in directory.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


# -- snapshots


def _newest_snapshot(directory: Path, log_start: int) -> tuple[ClusterImage, int, int]:
    """The state of the newest snapshot that can be read, its end offset and number of voters; else
    nothing and 0.
    """
    damaged = ""
    for end_offset, path in reversed(_numbered(directory, _SNAPSHOT)):
        if damaged and end_offset < log_start:
            break
        try:
            image, voter_count = _read_snapshot(path)
            return image, end_offset, voter_count
        except _DamagedSnapshotError as error:
            damaged = str(error)
            logger.warning("%s: not used", damaged)
    if damaged and log_start > 0:
        raise StartError(f"{damaged}, and the log begins at offset {log_start}")
    return ClusterImage(), 0, 0


class _DamagedSnapshotError(Exception):
    """A snapshot that an older one may stand in for."""


def _read_snapshot(path: Path) -> tuple[ClusterImage, int]:
    image = ClusterImage()
    voter_count = 0
    last = ""
    for finding in read_segment(path, deep=True):
        if isinstance(finding, Damage):
            raise _DamagedSnapshotError(f"{path} is damaged at byte {finding.position}")
        if finding.kind != "record":
            continue
        last = str(finding.fields.get("control", ""))
        if not last:
            record = _value_of(finding)
            _replay(image, record.value, path, record.offset)
        elif last == _VOTERS:
            voter_count = _voters_of(finding)
    if last != "snapshot_footer":
        raise _DamagedSnapshotError(f"{path} is cut off")
    return image, voter_count


# -- the log


def _log_records(path: Path, done: _Read, *, is_last: bool) -> Iterator[_Value]:
    """The records of a segment, as far as its batches are whole."""
    damage: Damage | None = None
    for finding in read_segment(path, deep=True):
        if isinstance(finding, Damage):
            damage = damage or finding
        elif finding.kind == "batch":
            if damage is None:
                done.next_offset = _integer(finding, "last_offset") + 1
            elif finding.fields["is_valid"]:
                break
        elif damage is None and "control" not in finding.fields:
            yield _value_of(finding)
        elif damage is None and finding.fields["control"] == _VOTERS:
            done.voter_count = _voters_of(finding)
    else:
        if damage is not None and is_last:
            done.torn = f"{path.name} ends with a batch that is not whole (byte {damage.position})"
            return
    if damage is not None:
        raise StartError(f"{path} is corrupt at byte {damage.position}: {damage.reason}")


def _value_of(entry: Entry) -> _Value:
    value = entry.fields["value"]
    assert value is None or isinstance(value, bytes)
    return _Value(_integer(entry, "offset"), value)


def _integer(entry: Entry, name: str) -> int:
    value = entry.fields[name]
    assert isinstance(value, int)
    return value


def _replay(image: ClusterImage, value: bytes | None, path: Path, offset: int) -> None:
    try:
        image.replay(decode_kraft_record(value))
    except (KraftRecordError, StartError) as error:
        raise StartError(f"{path}, offset {offset}: {error}") from error


def _voters_of(entry: Entry) -> int:
    """How many voters a VotersRecord names: version int16, then a compact array."""
    value = _value_of(entry).value or b""
    # A quorum of more than 126 controllers, whose count takes a second byte, is as good as 126.
    return max(value[2] - 1, 0) if len(value) > 2 else 0


def _static_voter_count(directory: Path) -> int:
    """The controllers of a quorum that does not change, where `quorum-state` names them."""
    try:
        state = json.loads((directory / _QUORUM_STATE).read_bytes())
        return len(state["currentVoters"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
