"""Time index (`.timeindex`): from which offset on records can be as late as a time.

Layout, big-endian, 12 bytes an entry: timestamp int64 (ms), the largest up to here; offset int32,
relative to the base offset in the file's name. Both grow from entry to entry.
"""

import struct
from pathlib import Path
from typing import Final

from barnabas.dump.finding import Damage, Entry, Findings
from barnabas.dump.fixed_entries import base_offset_of, read_fixed_entries

_ENTRY: Final = struct.Struct(">qi")


def read_time_index(path: Path) -> Findings:
    """The entries."""
    base_offset = base_offset_of(path)
    last: tuple[int, int] | None = None
    for item in read_fixed_entries(path, _ENTRY):
        if not isinstance(item, tuple):
            yield item
            continue
        at, (timestamp, relative) = item
        # The last entry of a closed segment may repeat an offset.
        if relative < 0 or (last is not None and (timestamp <= last[0] or relative < last[1])):
            yield Damage(
                f"timestamp {timestamp} at offset {base_offset + relative} out of order", at
            )
            continue
        yield Entry("timestamp", at, {"timestamp": timestamp, "offset": base_offset + relative})
        last = (timestamp, relative)
