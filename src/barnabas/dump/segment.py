"""Segments (`.log`) and KRaft snapshots (`.checkpoint`): record batches, one after another.

The layout of a batch and of a record is that of barnabas._records. What is checked of each batch:
its length, the magic byte, the CRC, that offsets and counts go together and that it begins after
the batch before it; with `deep` also that every record decodes. Where no batch begins, the reader
looks for the next good one, so that damage in the middle can be told from a torn tail.
"""

import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from barnabas.dump.finding import Damage, Entry, Finding, Findings
from barnabas.dump.mapped_file import mapped
from barnabas.protocol.internal.control_record import decode_control_record

if TYPE_CHECKING:
    from barnabas._records import Batch, Record

BATCH_OVERHEAD_BYTES: Final = 12  # base offset and length
BATCH_HEADER_BYTES: Final = 61
SEARCH_BYTES: Final = 256 << 20  # how far the next good batch is looked for
_MAGIC: Final = 2
_MAGIC_BYTE: Final = bytes((_MAGIC,))
_MAGIC_AT: Final = 16
_NO_ID: Final = -1

RecordDecoder = Callable[["Record"], dict[str, object]]


def read_segment(
    path: Path, deep: bool = False, decode_record: RecordDecoder | None = None
) -> Findings:
    """The batches of a segment, and with `deep` their records.

    decode_record: gives the fields of a record of an internal topic, instead of key and value;
    raises ValueError for bytes that are none.
    """
    base_name = path.name.partition(".")[0]
    next_offset = int(base_name) if base_name.isdecimal() and ".log" in path.name else None
    with mapped(path) as data:
        position = 0
        while position < len(data):
            batch, reason = _batch_at(data, position)
            if batch is None:
                found = _next_good_batch(data, position + 1)
                yield _describe_gap(data, position, found, reason)
                if found is None:
                    return
                position = found
                continue
            yield from _check_batch(batch, position, next_offset)
            yield _batch_entry(batch, position)
            if deep:
                yield from _records(batch, position, decode_record)
            next_offset = batch.last_offset + 1
            position += batch.size_bytes


def _batch_at(data: mmap.mmap | bytes, position: int) -> "tuple[Batch | None, str]":
    """The batch that begins there, or why none does."""
    from barnabas._records import CorruptBatch, iter_batches

    left = len(data) - position
    if left < BATCH_HEADER_BYTES:
        return None, f"{left} bytes are too few for a batch"
    if data[position + _MAGIC_AT] != _MAGIC:
        return None, f"no batch begins here: magic {data[position + _MAGIC_AT]}"
    try:
        batch = next(iter_batches(memoryview(data)[position:]), None)
    except CorruptBatch:
        return None, "no batch begins here: its length is impossible"
    if batch is None:
        length = int.from_bytes(data[position + 8 : position + 12], "big")
        return None, f"a batch of {length + BATCH_OVERHEAD_BYTES} bytes, of which {left} are there"
    return batch, ""


def _next_good_batch(data: mmap.mmap | bytes, start: int) -> int | None:
    """The position of the next batch with a right CRC."""
    end = min(len(data), start + SEARCH_BYTES)
    at = data.find(_MAGIC_BYTE, start + _MAGIC_AT, end)
    while at >= 0:
        batch, _ = _batch_at(data, at - _MAGIC_AT)
        if batch is not None and batch.crc_valid() and batch.base_offset >= 0:
            return at - _MAGIC_AT
        at = data.find(_MAGIC_BYTE, at + 1, end)
    return None


def _describe_gap(data: mmap.mmap | bytes, position: int, found: int | None, reason: str) -> Damage:
    end = len(data) if found is None else found
    if not any(memoryview(data)[position : min(end, position + BATCH_HEADER_BYTES)]):
        reason = "zeros where a batch should begin"
    then = (
        f"the last {end - position} bytes of the file are no batches"
        if found is None
        else f"the next good batch is at {found}"
    )
    return Damage(f"{reason}; {then}", position)


def _check_batch(batch: "Batch", position: int, next_offset: int | None) -> Iterator[Finding]:
    if not batch.crc_valid():
        yield Damage(f"wrong CRC (offsets {batch.base_offset}..{batch.last_offset})", position)
        return
    delta = batch.last_offset - batch.base_offset
    if delta < 0 or not 0 <= batch.record_count <= delta + 1:
        yield Damage(
            f"{batch.record_count} records in offsets {batch.base_offset}..{batch.last_offset}",
            position,
        )
    if next_offset is not None and batch.base_offset < next_offset:
        yield Damage(
            f"base offset {batch.base_offset} where {next_offset} or a later one is due", position
        )


def _batch_entry(batch: "Batch", position: int) -> Entry:
    fields: dict[str, object] = {
        "base_offset": batch.base_offset,
        "last_offset": batch.last_offset,
        "record_count": batch.record_count,
        "size_bytes": batch.size_bytes,
        "codec": batch.codec_name,
        "timestamp_type": "log_append_time" if batch.timestamp_type else "create_time",
        "max_timestamp": batch.max_timestamp,
        "leader_epoch": batch.leader_epoch,
    }
    if batch.producer_id != _NO_ID:
        fields["producer_id"] = batch.producer_id
        fields["producer_epoch"] = batch.producer_epoch
        fields["base_sequence"] = batch.base_sequence
    if batch.has_delete_horizon:
        fields["delete_horizon"] = batch.base_timestamp
    return Entry(
        "batch",
        position,
        {
            **fields,
            "is_transactional": batch.is_transactional,
            "is_control": batch.is_control,
            "magic": batch.magic,
            "crc": batch.crc,
            "is_valid": batch.crc_valid(),
        },
    )


def _records(
    batch: "Batch", position: int, decode_record: RecordDecoder | None
) -> Iterator[Finding]:
    from barnabas._records import CorruptBatch

    try:
        records = batch.records()
    except CorruptBatch as error:
        yield Damage(f"records cannot be decoded: {error}", position)
        return
    if not batch.crc_valid():
        decode_record = None  # changed bytes mean nothing: shown as they are
    elif batch.is_control:
        decode_record = decode_control_record
    for record in records:
        fields: dict[str, object] = {"offset": record.offset, "timestamp": record.timestamp}
        if decode_record is None:
            fields.update(key=record.key, value=record.value)
        else:
            try:
                fields.update(decode_record(record))
            except ValueError as error:
                yield Damage(f"offset {record.offset}: {error}", position)
                fields.update(key=record.key, value=record.value)
        if record.headers:
            fields["headers"] = record.headers
        yield Entry("record", position, fields)
