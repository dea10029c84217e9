"""Where a scan begins and ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from barnabas.arguments import check_integer, time_in_ms

Bound: TypeAlias = "int | datetime | Mapping[int, int] | None"
"""An offset of every partition, offsets by partition, or a time: that of the first record at or
after it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read_bound(bound: Any) -> Bound:
    """A bound, numpy's ints as Python's. Raises ValueError for what is none."""
    if bound is None:
        return None
    if isinstance(bound, datetime):
        time_in_ms("a bound", bound)
        return bound
    if getattr(getattr(bound, "dtype", None), "kind", "") == "M":  # numpy's datetime64
        return _EPOCH + timedelta(milliseconds=time_in_ms("a bound", bound, rounds_up=True))
    try:
        if isinstance(bound, Mapping):
            return {
                check_integer("bound", partition): check_integer("bound", offset)
                for partition, offset in bound.items()
            }
        return check_integer("bound", bound)
    except TypeError:
        raise ValueError(
            f"a bound is an offset, offsets by partition, a datetime or datetime64, not {bound!r}"
        ) from None


def bounded(bounds: tuple[Bound, Bound]) -> frozenset[int]:
    """The partitions that have bounds of their own."""
    return frozenset().union(*(bound for bound in bounds if isinstance(bound, Mapping)))


def bound_of(bound: Bound, partition: int) -> int | datetime | None:
    """What a bound means for one partition."""
    return bound.get(partition) if isinstance(bound, Mapping) else bound


def to_ms(time: datetime) -> int:
    """Ms since the epoch, rounded up: what is at or after that is at or after `time`."""
    return time_in_ms("a bound", time, rounds_up=True)


def start_ms(bounds: tuple[Bound, Bound]) -> int | None:
    """The time before which there is nothing to be shown, None for any. Behind the first record at
    or after it there may be some that are late.
    """
    start = bounds[0]
    return to_ms(start) if isinstance(start, datetime) else None
