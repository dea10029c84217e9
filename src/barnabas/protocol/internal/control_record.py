"""Control records: what brokers and controllers write between records.

Layout of the key: version int16, type int16. The value of abort and commit markers: version int16,
coordinator epoch int32. The other types are of KRaft; their values are left as bytes.
"""

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from barnabas._records import Record

_KEY: Final = struct.Struct(">hh")
_MARKER: Final = struct.Struct(">hi")
_TYPES: Final = {
    0: "abort",
    1: "commit",
    2: "leader_change",
    3: "snapshot_header",
    4: "snapshot_footer",
    5: "kraft_version",
    6: "kraft_voters",
}


def decode_control_record(record: "Record") -> dict[str, object]:
    """The fields of a control record; ValueError when it is none."""
    key, value = record.key or b"", record.value or b""
    if len(key) < _KEY.size:
        raise ValueError(f"the key of a control record has {len(key)} bytes")
    _, number = _KEY.unpack_from(key)
    name = _TYPES.get(number, f"type {number}")
    if name not in ("abort", "commit"):
        return {"control": name, "value": record.value}
    if len(value) < _MARKER.size:
        raise ValueError(f"the value of a transaction marker has {len(value)} bytes")
    _, coordinator_epoch = _MARKER.unpack_from(value)
    return {"control": name, "coordinator_epoch": coordinator_epoch}
