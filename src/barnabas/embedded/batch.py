"""What a consumer hands out: consecutive records of one partition, as columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from barnabas._columns import Columns, Record

Header = tuple[str, bytes | None]


class ConsumedBatch:
    """Records of one partition, in order. Iterating gives them one by one.

    `offsets` and `timestamps` (ms since the epoch) are read-only numpy arrays; `values`, `keys` and
    `headers` are made when they are asked for, as lists; `to_arrow` shares the memory.
    """

    __slots__ = ("columns", "next_offset", "partition", "topic")

    def __init__(self, topic: str, partition: int, columns: Columns, next_offset: int) -> None:
        self.topic = topic
        self.partition = partition
        self.columns = columns
        self.next_offset = next_offset
        """Where reading goes on: behind these records, and what is not to be seen after them."""

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """The offsets, a numpy array of int64."""
        return self.columns.offsets

    @property
    def timestamps(self) -> npt.NDArray[np.int64]:
        """The timestamps, ms since the epoch, a numpy array of int64."""
        return self.columns.timestamps

    @property
    def values(self) -> list[bytes | None]:
        """The values; None for a tombstone."""
        return self.columns.values

    @property
    def keys(self) -> list[bytes | None]:
        """The keys."""
        return self.columns.keys

    @property
    def headers(self) -> list[tuple[Header, ...]]:
        """The headers of each record."""
        return self.columns.headers

    def records(self) -> list[Record]:
        """The records."""
        return self.columns.records()

    def __len__(self) -> int:
        return len(self.columns)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.columns.records())

    def to_arrow(self, *, binary: str = "view") -> Any:
        """A pyarrow.RecordBatch: see `barnabas.arrow.record_batch`."""
        from barnabas.arrow import record_batch

        return record_batch(self.columns, self.topic, self.partition, binary=binary)

    def __repr__(self) -> str:
        return (
            f"<barnabas.ConsumedBatch of {self.topic}-{self.partition}, {len(self)} records up to "
            f"offset {self.next_offset}>"
        )
