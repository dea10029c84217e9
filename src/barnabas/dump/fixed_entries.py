"""Index files: entries of one fixed size, perhaps with unused ones at the end.

A broker makes the index of the active segment as large as it may become, so zeros at the end are
room and no damage.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from barnabas.dump.finding import Damage, Finding
from barnabas.dump.mapped_file import mapped


def base_offset_of(path: Path) -> int:
    """The base offset in the name of a segment's file; ValueError when there is none."""
    digits = path.name.partition(".")[0]
    if not digits.isdecimal():
        raise ValueError(f"{path.name} does not begin with a base offset")
    return int(digits)


def read_fixed_entries(
    path: Path, layout: struct.Struct
) -> Iterator[tuple[int, tuple[Any, ...]] | Finding]:
    """(position, fields) of each entry in use; Damage for an incomplete last entry."""
    with mapped(path) as data:
        entry_bytes = layout.size
        used = _used_entries(data, entry_bytes)
        for number in range(used):
            position = number * entry_bytes
            yield position, layout.unpack_from(data, position)
        rest = len(data) % entry_bytes
        if rest:
            yield Damage(
                f"{rest} bytes are too few for an entry of {entry_bytes}", len(data) - rest
            )


def _used_entries(data: Any, entry_bytes: int) -> int:
    """How many entries there are before the zeros that reach to the end.

    Zeros are looked for from the end in steps, since they can be ten megabytes.
    """
    step = entry_bytes * 4096
    end = len(data) - len(data) % entry_bytes
    while end > 0:
        begin = max(0, (end - 1) // step * step)
        chunk = bytes(data[begin:end]).rstrip(b"\0")
        if chunk:
            return (begin + len(chunk) + entry_bytes - 1) // entry_bytes
        end = begin
    return 0
