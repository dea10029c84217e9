"""Producer snapshot (`.snapshot`): the state of every producer at the offset in the file's name.

Layout, big-endian: version int16 (1), crc uint32 (CRC-32C of all that follows), count int32, then
48 bytes a producer: producer id int64, epoch int16, last sequence int32, last offset int64,
offset delta int32, timestamp int64 (ms), coordinator epoch int32, first offset int64 of its open
transaction (-1: none).
"""

import struct
from pathlib import Path
from typing import Final

from barnabas.dump.finding import Damage, Entry, Findings

_HEADER: Final = struct.Struct(">hIi")
_PRODUCER: Final = struct.Struct(">qhiqiqiq")
_CRC_END: Final = 6
_VERSION: Final = 1
_FIELDS: Final = (
    "producer_id",
    "producer_epoch",
    "last_sequence",
    "last_offset",
    "offset_delta",
    "timestamp",
    "coordinator_epoch",
    "current_txn_first_offset",
)


def read_producer_snapshot(path: Path) -> Findings:
    """The producers."""
    from barnabas._core import crc32c

    data = path.read_bytes()
    if len(data) < _HEADER.size:
        yield Damage(f"{len(data)} bytes are too few for a snapshot", 0)
        return
    version, crc, count = _HEADER.unpack_from(data)
    if version != _VERSION:
        yield Damage(f"snapshot of version {version}", 0)
        return
    if crc32c(data[_CRC_END:]) != crc:
        yield Damage("wrong CRC", 2)
    whole = (len(data) - _HEADER.size) // _PRODUCER.size
    if _HEADER.size + count * _PRODUCER.size != len(data):
        yield Damage(f"{count} producers in {len(data)} bytes", _CRC_END)
    for number in range(max(0, min(count, whole))):
        at = _HEADER.size + number * _PRODUCER.size
        fields = dict(zip(_FIELDS, _PRODUCER.unpack_from(data, at), strict=True))
        yield Entry("producer", at, fields)
