"""Ends the membership of consumers that went with Kafka: KIP-848's groups in `__consumer_offsets`.

The records of a group of the consumer protocol say that the group is of that kind. A group of the
classic protocol under the same id, which is what its consumers become here, must not meet them when
Kafka reads the topic again: its coordinator would not load the partition. So they get tombstones,
in the order in which Kafka itself deletes such a group. What the group has committed stays. Records
of share groups and of Kafka Streams groups are not touched: Barnabas has neither.
"""

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from barnabas.state.internal_topics import CONSUMER_OFFSETS

if TYPE_CHECKING:
    from barnabas._core import Core

_VERSION: Final = struct.Struct(">h")
# Key versions of a consumer group's records: current and target assignments of its members, the
# target's epoch, members, regular expressions, partitions, the group.
_DELETION_ORDER: Final = {version: rank for rank, version in enumerate((8, 7, 6, 5, 16, 4, 3))}
_CHUNK_BYTES: Final = 1 << 20
_RECORDS_PER_BATCH: Final = 1000


def end_old_members(core: "Core", partitions: Iterable[int], timestamp_ms: int) -> int:
    """Writes tombstones into these partitions of `__consumer_offsets`; returns how many."""
    from barnabas._records import iter_batches

    count = 0
    for partition in partitions:
        live: dict[bytes, None] = {}
        offset = core.partition_info(CONSUMER_OFFSETS, partition).log_start_offset
        while data := core.read_batches(CONSUMER_OFFSETS, partition, offset, _CHUNK_BYTES):
            for batch in iter_batches(data):
                offset = batch.next_offset
                if not batch.is_control:
                    _apply(live, zip(batch.keys, batch.values, strict=True))
        keys = sorted(live, key=_rank)
        for begin in range(0, len(keys), _RECORDS_PER_BATCH):
            tombstones = [(key, None) for key in keys[begin : begin + _RECORDS_PER_BATCH]]
            core.append_records(CONSUMER_OFFSETS, partition, tombstones, timestamp_ms)
        count += len(keys)
    return count


def _apply(live: dict[bytes, None], records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
    """Keeps the keys of consumer groups' records that have a value last."""
    for key, value in records:
        if key is None or len(key) < _VERSION.size or _version(key) not in _DELETION_ORDER:
            continue
        if value is None:
            live.pop(key, None)
        else:
            live[key] = None


def _version(key: bytes) -> int:
    version: int = _VERSION.unpack_from(key)[0]
    return version


def _rank(key: bytes) -> int:
    return _DELETION_ORDER[_version(key)]
