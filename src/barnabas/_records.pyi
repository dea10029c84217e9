"""Record batches (magic 2) to Python objects and numpy columns, and back."""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from barnabas._columns import Columns, CorruptBatch, Record

__all__ = [
    "BATCH_SIZE",
    "CODEC_NAMES",
    "Batch",
    "CorruptBatch",
    "Record",
    "decode_records",
    "encode_batch",
    "iter_batches",
]

CODEC_NAMES: Final[tuple[str, ...]]
DEFAULT_EXPANSION_LIMIT_BYTES: Final[int]
BATCH_SIZE: Final[int]

class Batch:
    @property
    def base_offset(self) -> int: ...
    @property
    def last_offset(self) -> int: ...
    @property
    def next_offset(self) -> int: ...
    @property
    def leader_epoch(self) -> int: ...
    @property
    def magic(self) -> int: ...
    @property
    def crc(self) -> int: ...
    @property
    def attributes(self) -> int: ...
    @property
    def codec(self) -> int: ...
    @property
    def codec_name(self) -> str: ...
    @property
    def timestamp_type(self) -> int: ...
    @property
    def is_transactional(self) -> bool: ...
    @property
    def is_control(self) -> bool: ...
    @property
    def has_delete_horizon(self) -> bool: ...
    @property
    def base_timestamp(self) -> int: ...
    @property
    def max_timestamp(self) -> int: ...
    @property
    def producer_id(self) -> int: ...
    @property
    def producer_epoch(self) -> int: ...
    @property
    def base_sequence(self) -> int: ...
    @property
    def record_count(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def data(self) -> bytes: ...
    @property
    def columns(self) -> Columns: ...
    @property
    def keys(self) -> list[bytes | None]: ...
    @property
    def values(self) -> list[bytes | None]: ...
    @property
    def offsets(self) -> npt.NDArray[np.int64]: ...
    @property
    def timestamps(self) -> npt.NDArray[np.int64]: ...
    def crc_valid(self) -> bool: ...
    def records(self) -> list[Record]: ...
    def __len__(self) -> int: ...

def decode_records(
    data: Buffer, *, from_offset: int, check_crcs: bool = True
) -> tuple[Columns, int]: ...
def iter_batches(data: Buffer, *, limit_bytes: int = ...) -> Iterator[Batch]: ...
def encode_batch(
    records: Iterable[
        Record
        | tuple[bytes | None, bytes | None]
        | tuple[bytes | None, bytes | None, int]
        | tuple[bytes | None, bytes | None, int, Iterable[tuple[str, bytes | None]]]
    ],
    *,
    timestamp_ms: int = 0,
    codec: int = 0,
    level: int | None = None,
    base_offset: int = 0,
    leader_epoch: int = -1,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    transactional: bool = False,
    control: bool = False,
    log_append_time: bool = False,
) -> bytes: ...
