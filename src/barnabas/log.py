"""The bare segment log: one partition in Kafka's own format, without a broker.

    with barnabas.Log("orders-0") as log:
        log.append([(b"key", b"value"), (None, b"another")])
        for record in log:
            print(record.offset, record.value)

May import: `_core`, `_records`, `arguments`, `bulk`, `config`. One process writes to a log at a
time (the directory is locked); any number may read it with `read_only=True`, which changes no file
and ends where the log ended when it was opened.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from barnabas import _core
from barnabas._records import (
    BATCH_SIZE,
    CODEC_NAMES,
    Batch,
    CorruptBatch,
    Record,
    encode_batch,
    iter_batches,
)
from barnabas.arguments import INT64_MIN, check_mapping, check_range, check_time, wrong_type
from barnabas.closing import Closing
from barnabas.directories import make_directory

__all__ = ["Log", "LogStat"]

READ_CHUNK_BYTES = 1 << 20
_RECORDS = (
    "a list of (key, value), (key, value, timestamp), (key, value, timestamp, headers), Record"
)
# What a log's directory may hold, and still be empty of records.
_OF_A_LOG = re.compile(r"\d{20}\..+|\..*|leader-epoch-checkpoint|partition\.metadata|lost\+found")

Headers: TypeAlias = Iterable[tuple[str, bytes | None]]
RecordTuple: TypeAlias = (
    tuple[bytes | None, bytes | None]
    | tuple[bytes | None, bytes | None, int]
    | tuple[bytes | None, bytes | None, int, Headers]
)


@dataclass(frozen=True, slots=True)
class LogStat:
    """What a log holds: offsets from `start_offset` up to, not including, `end_offset`."""

    start_offset: int
    end_offset: int
    size_bytes: int
    segment_count: int


class Log(Closing):
    """The segment log of one directory.

    `config` takes Kafka's topic keys (`segment.bytes`, `compression.type`, `max.message.bytes`, …).
    A key that is no topic's, or a bad value, is a ConfigError that names it.
    Opening repairs what an unclean stop left behind; `recovery` says what was found. Errors are
    `CoreError` with Kafka's `code`, and `errno` when the system refused; using a closed log, and
    opening a directory that holds other files and no log, is a ValueError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        config: Mapping[str, int | str | bool] | None = None,
        read_only: bool = False,
    ) -> None:
        if not isinstance(path, str | os.PathLike):
            raise wrong_type("path", path, "a str or a Path")
        if path == "":
            raise ValueError("path must be a directory, and is empty")
        _refuse_foreign_files(path)
        self._path = os.fspath(path)
        effective = _effective_config(config or {})
        if not read_only:
            with suppress(OSError):  # the core tells why it cannot be made
                make_directory(Path(path))
        self._core = _core.Log(os.fspath(path), effective, read_only)
        self._is_read_only = read_only

    # -- writing

    def append(
        self,
        records: Iterable[Record | RecordTuple],
        *,
        timestamp_ms: int | None = None,
        codec: str = "none",
    ) -> int:
        """Appends the records as one batch and returns the offset of the first.

        A record is (key, value), (key, value, timestamp) or (key, value, timestamp, headers);
        `timestamp_ms`, by default now, is for those that name none. A Record, of another log
        perhaps, gets a new offset. `codec` is none, gzip, snappy, lz4 or zstd. Raises TypeError and
        ValueError for what is no record.
        """
        if isinstance(records, str | bytes | Record) or not isinstance(records, Iterable):
            raise wrong_type("records", records, _RECORDS)
        records = [
            (record.key, record.value, record.timestamp, record.headers)
            if isinstance(record, Record)
            else record
            for record in records
        ]
        timestamp_ms = _now_ms() if timestamp_ms is None else check_time(timestamp_ms)
        codec_id = _codec_id(codec)
        try:
            batch = encode_batch(records, timestamp_ms=timestamp_ms, codec=codec_id)
        except (AttributeError, OverflowError, TypeError, ValueError):
            _check_records(records)  # it knows the place
            raise
        return self._core.append_batch(batch)

    def append_many(
        self,
        values: Any,
        keys: Any = None,
        *,
        headers: Any = None,
        timestamps: Any = None,
        timestamp_ms: int | None = None,
        codec: str = "none",
        batch_size: int = BATCH_SIZE,
    ) -> range:
        """Appends columns of records in batches, and returns the offsets that they have.

        `values`, `keys`, `headers` and `timestamps` are what `Producer.send_many` takes: lists,
        numpy and Arrow arrays, a RecordBatch. `timestamp_ms`, by default now, is one for all, in
        the place of `timestamps`. A batch has `batch_size` bytes at most before compression, and no
        more than `max.message.bytes`, unless one record alone is larger. Raises TypeError and
        ValueError before anything is written; after a CoreError the batches before it are in the
        log.
        """
        # Imported where it is used: a log that is only read needs none of it.
        from barnabas.bulk import records_input

        check_range("batch_size", batch_size, 0)
        records = records_input(values, keys, headers, timestamps)
        records.check_one_time("timestamp_ms", timestamp_ms)
        timestamp_ms = _now_ms() if timestamp_ms is None else check_time(timestamp_ms)
        start = end = self._core.log_end_offset
        for batch in records.batches(
            timestamp_ms=timestamp_ms,
            codec=_codec_id(codec),
            limit_bytes=min(batch_size, self._core.max_message_bytes),
        ):
            self._core.append_batch(batch)
            end = self._core.log_end_offset
        return range(start, end)

    def append_batch(self, batch: bytes) -> int:
        """Appends one encoded batch, checked as a broker checks it; returns its base offset.

        A retry of one of an idempotent producer's last five batches writes nothing and returns the
        offset of the first time.
        """
        if not isinstance(batch, bytes):
            raise wrong_type("batch", batch, "bytes, one encoded batch")
        return self._core.append_batch(batch)

    def flush(self) -> int:
        """Waits until all is on disk (fdatasync); returns the offset up to which it is."""
        return self._core.flush()

    def roll(self) -> None:
        """Starts a new segment."""
        self._core.roll()

    def compact(self, *, dedupe_buffer_bytes: int = 128 << 20) -> int:
        """Keeps of each key the last record alone, in the segments that are not written to any
        more; offsets stay as they are. Returns the offset up to which the log is compacted: what
        fits into the memory for keys, 24 bytes each.

        Needs `cleanup.policy` with `compact` in `config`; otherwise nothing happens. Tombstones
        (records without a value) go with the first compaction after `delete.retention.ms`.
        """
        check_range("dedupe_buffer_bytes", dedupe_buffer_bytes, 0)
        end_offset, _, _ = self._core.compact(dedupe_buffer_bytes)
        return end_offset

    def truncate(self, offset: int) -> None:
        """Removes the batch that holds `offset`, and all that follow."""
        self._core.truncate(check_range("offset", offset, 0))

    # -- reading

    def read(self, offset: int, *, max_bytes: int = READ_CHUNK_BYTES) -> list[Batch]:
        """The batches from the one that holds `offset` on, at most `max_bytes` but one at least.

        Empty at the end of the log. Kafka's OFFSET_OUT_OF_RANGE outside of it.
        """
        return list(iter_batches(self.read_bytes(offset, max_bytes=max_bytes)))

    def read_bytes(self, offset: int, *, max_bytes: int = READ_CHUNK_BYTES) -> bytes:
        """As `read`, in Kafka's format; may end in the middle of a batch."""
        offset = check_range("offset", offset, INT64_MIN)
        return self._core.read_batches(offset, check_range("max_bytes", max_bytes, 0))

    def batches(self, start: int | None = None) -> Iterator[Batch]:
        """Every batch from the one that holds `start` on (default: all), up to the end that the log
        has when the first is asked for: what is appended meanwhile is not among them.
        """
        offset = self._first(start)
        end = self._core.log_end_offset
        while offset < min(end, self._core.log_end_offset):
            failure: Exception = CorruptBatch(f"nothing can be read at offset {offset}")
            try:
                batches = self.read(offset)
            except _core.CoreError as error:
                batches, failure = [], error
            if not batches:
                if self._is_cut_off(offset):
                    return
                raise failure
            for batch in batches:
                if batch.base_offset >= end:
                    return
                yield batch
            offset = batches[-1].next_offset

    def _first(self, start: int | None) -> int:
        if start is None:
            return self._core.log_start_offset
        return check_range("start", start, INT64_MIN)

    def _is_cut_off(self, offset: int) -> bool:
        """Whether the writer of a log that is only read here has truncated it meanwhile."""
        if not self._is_read_only:
            return False
        try:
            now = _core.Log(self._path, {}, True)
        except _core.CoreError:
            return False
        try:
            return now.log_end_offset <= offset
        finally:
            now.close()

    def records(self, start: int | None = None) -> Iterator[Record]:
        """Every record from `start` on (default: all), up to the end of the log, as `batches`.

        Raises CorruptBatch at a batch whose CRC is wrong; `batches` gives that one too.
        """
        first = self._first(start)
        for batch in self.batches(first):
            if not batch.crc_valid():
                raise CorruptBatch(
                    f"the CRC of the batch at offset {batch.base_offset} is wrong; its records, up "
                    f"to offset {batch.next_offset - 1}, cannot be trusted"
                )
            for record in batch.records():
                if record.offset >= first:
                    yield record

    def __iter__(self) -> Iterator[Record]:
        return self.records()

    def offset_for_timestamp(self, timestamp_ms: int) -> int | None:
        """The offset of the first record at or after `timestamp_ms`; None when there is none."""
        _, offset, _ = self._core.offset_for_timestamp(check_time(timestamp_ms))
        return None if offset < 0 else offset

    # -- state

    @property
    def start_offset(self) -> int:
        """The first offset that can be read."""
        return self._core.log_start_offset

    @property
    def end_offset(self) -> int:
        """The offset that the next record gets."""
        return self._core.log_end_offset

    @property
    def recovery(self) -> _core.RecoveryReport:
        """What opening the log found, and did."""
        return self._core.recovery

    def stat(self) -> LogStat:
        """Offsets, bytes and segments at this moment."""
        core = self._core
        return LogStat(
            core.log_start_offset, core.log_end_offset, core.size_bytes, core.segment_count
        )

    # -- life

    def close(self) -> None:
        """Flushes and closes, so that the next open need not check anything. May be repeated."""
        self._core.close()

    def __repr__(self) -> str:
        try:
            state = f"offsets {self.start_offset} up to {self.end_offset}"
        except ValueError:
            state = "closed"
        return f"<barnabas.Log at {self._path}, {state}>"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _codec_id(codec: str) -> int:
    if codec not in CODEC_NAMES:
        raise ValueError(f"codec {codec!r} is not one of {', '.join(CODEC_NAMES)}")
    return CODEC_NAMES.index(codec)


def _check_records(records: Iterable[Any]) -> None:
    """Raises TypeError for the first record that is none, for whatever reason that is known."""
    for number, record in enumerate(records):
        name = f"records[{number}]"
        if isinstance(record, str | bytes):
            return  # said already
        if not isinstance(record, tuple | list) or not 2 <= len(record) <= 4:
            raise wrong_type(name, record, f"one of {_RECORDS.removeprefix('a list of ')}")
        for what, data in zip(("key", "value"), record, strict=False):
            if not _is_bytes(data):
                raise wrong_type(f"the {what} of {name}", data, "bytes or None")
        if len(record) > 2:
            check_time(record[2], f"the timestamp of {name}")
        headers = record[3] if len(record) > 3 else ()
        if not isinstance(headers, Iterable):
            raise wrong_type(f"the headers of {name}", headers, "a list of (str, bytes or None)")
        for header in headers:
            is_pair = isinstance(header, tuple | list) and len(header) == 2
            if not (is_pair and isinstance(header[0], str) and _is_bytes(header[1])):
                raise wrong_type(f"each header of {name}", header, "(str, bytes or None)")


def _is_bytes(data: object) -> bool:
    return data is None or isinstance(data, bytes)


def _refuse_foreign_files(path: str | os.PathLike[str]) -> None:
    """A mistyped path must not fill somebody's directory with segments."""
    try:
        names = os.listdir(path)
    except OSError:
        return  # it is not there yet, or the core says what is wrong with it
    foreign = sorted(name for name in names if not _OF_A_LOG.fullmatch(name))
    if foreign and not any(name.endswith(".log") for name in names if name not in foreign):
        raise ValueError(f"{os.fspath(path)} holds no log, but other files: {foreign[0]!r}")


def _effective_config(config: Mapping[str, int | str | bool]) -> dict[str, int | str | bool]:
    """Kafka's topic configuration with `config` on top, as the core takes it."""
    if not config:
        return {}  # the core's own defaults are Kafka's
    check_mapping("config", config, "a dict of Kafka's keys to values")
    # Imported where it is used: the keys' descriptions take half a second.
    from barnabas.config.broker_config import BrokerConfig, validate_topic_config
    from barnabas.config.keys import config_texts

    texts = config_texts("config", config)
    broker = BrokerConfig({})
    validate_topic_config(texts, broker)
    return broker.core_topic_config(texts)
