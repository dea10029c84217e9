"""Transaction index (`.txnindex`): the aborted transactions that end in the segment.

Layout, big-endian, 34 bytes an entry: version int16 (0), producer id int64, first offset int64,
last offset int64, last stable offset int64 (when it ended).
"""

import struct
from pathlib import Path
from typing import Final

from barnabas.dump.finding import Damage, Entry, Findings
from barnabas.dump.fixed_entries import read_fixed_entries

_ENTRY: Final = struct.Struct(">hqqqq")
_VERSION: Final = 0


def read_transaction_index(path: Path) -> Findings:
    """The entries."""
    last_end = -1
    for item in read_fixed_entries(path, _ENTRY):
        if not isinstance(item, tuple):
            yield item
            continue
        at, (version, producer_id, first, last, stable) = item
        if version != _VERSION:
            yield Damage(f"entry of version {version}", at)
            continue
        if first > last or last <= last_end:
            yield Damage(f"offsets {first}..{last} after {last_end}", at)
            continue
        last_end = last
        yield Entry(
            "aborted_transaction",
            at,
            {
                "producer_id": producer_id,
                "first_offset": first,
                "last_offset": last,
                "last_stable_offset": stable,
            },
        )
