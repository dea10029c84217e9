"""Where a scan begins and ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeAlias

MS_PER_S: Final = 1_000

Bound: TypeAlias = "int | datetime | Mapping[int, int] | None"
"""An offset of every partition, offsets by partition, or a time: that of the first record at or
after it."""


def bound_of(bound: Bound, partition: int) -> int | datetime | None:
    """What a bound means for one partition."""
    if isinstance(bound, Mapping):
        return bound.get(partition)
    if bound is not None and not isinstance(bound, int | datetime):
        raise ValueError(
            f"a bound is an offset, offsets by partition, or a datetime, not {bound!r}"
        )
    return bound


def to_ms(time: datetime) -> int:
    """Ms since the epoch."""
    return int(time.timestamp() * MS_PER_S)
