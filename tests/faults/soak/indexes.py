"""Whether the offset indexes of closed segments lead to their batches, and leave no stretch out.

An entry is due as soon as more than index.interval.bytes lie behind the last one: without it a
look-up is as right as ever, and reads more than it should, so that no client tells.
"""

import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from faults.segments import batches_of
from faults.soak.checks import Finding, Kind

_ENTRY = struct.Struct(">iI")  # last offset of a batch, less the base; where the batch begins
SETTLES_S = 1.0  # what is being rolled or swapped


def check_indexes(log_dirs: Sequence[Path], intervals: Mapping[str, int]) -> list[Finding]:
    """`intervals`: index.interval.bytes of each topic. What is found is there for good."""
    findings = _look(log_dirs, intervals)
    if findings:
        time.sleep(SETTLES_S)
        again = set(_look(log_dirs, intervals))
        findings = [finding for finding in findings if finding in again]
    return findings


def _look(log_dirs: Sequence[Path], intervals: Mapping[str, int]) -> list[Finding]:
    return [
        Finding(Kind.INDEX, f"{directory.name}/{segment.stem}", what)
        for place in log_dirs
        for topic, interval in intervals.items()
        for directory in sorted(place.glob(f"{topic}-[0-9]"))
        for segment in sorted(directory.glob("*.log"))[:-1]
        for what in _check(segment, interval)
    ]


def _check(segment: Path, interval: int) -> Iterator[str]:
    try:
        files = [segment, segment.with_suffix(".index")]
        before = [path.stat().st_ino for path in files]
        batches = batches_of(segment)
        index = files[1].read_bytes()
        if [path.stat().st_ino for path in files] != before:
            return  # compaction has put another segment there
    except FileNotFoundError:
        return  # it has gone, or its index is to be rebuilt
    base = int(segment.stem)
    found = {position: base + offset for offset, position in _ENTRY.iter_unpack(index)}
    size = 0
    for batch in batches:
        if size > interval:
            if batch.position not in found:
                yield f"no entry for the batch at byte {batch.position}, of {len(found)}"
                return
            size = 0
        if found.pop(batch.position, batch.last_offset) != batch.last_offset:
            yield f"an entry for byte {batch.position} that is not of its batch"
        size += batch.size
    if found:
        yield f"entries for bytes {sorted(found)}, where no batch begins"
