"""Offset index (`.index`): where in the segment a batch is found, about every 4 KB.

Layout, big-endian, 8 bytes an entry: offset int32, relative to the base offset in the file's name;
position int32 in the segment. Both grow from entry to entry. At the position a batch begins
whose base offset is at or below the entry's offset.
"""

import struct
from pathlib import Path
from typing import Final

from barnabas.dump.finding import Damage, Entry, Findings
from barnabas.dump.fixed_entries import base_offset_of, read_fixed_entries
from barnabas.dump.mapped_file import mapped
from barnabas.dump.segment import BATCH_HEADER_BYTES

_ENTRY: Final = struct.Struct(">ii")
_BATCH_START: Final = struct.Struct(">qi4xb")  # base offset, length, magic


def read_offset_index(path: Path) -> Findings:
    """The entries, each checked against the segment when that lies beside the index."""
    base_offset = base_offset_of(path)
    segment = path.with_name(path.name.replace(".index", ".log"))
    with mapped(segment) if segment.is_file() else mapped(path) as data:
        has_segment = segment.is_file()
        last = (-1, -1)
        for item in read_fixed_entries(path, _ENTRY):
            if not isinstance(item, tuple):
                yield item
                continue
            at, (relative, position) = item
            offset = base_offset + relative
            if relative < 0 or position < 0:
                yield Damage(f"offset {offset} at {position}", at)
            elif relative <= last[0] or position <= last[1]:
                after = f"offset {base_offset + last[0]} at {last[1]}"
                yield Damage(f"offset {offset} at {position} after {after}", at)
            elif has_segment and (reason := _mismatch(data, offset, position)):
                yield Damage(reason, at)
            else:
                yield Entry("offset", at, {"offset": offset, "segment_position": position})
                last = (relative, position)


def _mismatch(segment: object, offset: int, position: int) -> str:
    """Why the entry does not fit the segment; empty when it does."""
    data = memoryview(segment)  # type: ignore[arg-type]
    if position + BATCH_HEADER_BYTES > len(data):
        return f"offset {offset} at {position}: the segment ends at {len(data)}"
    first, length, magic = _BATCH_START.unpack_from(data, position)
    if magic != 2 or length < 0 or first > offset:
        return f"offset {offset} at {position}: no batch with this offset begins there"
    return ""
