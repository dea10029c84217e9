"""Which partition of `__consumer_offsets` a group lives in: as Kafka computes it, so that a data
directory can move between the two.
"""

import struct
from functools import cache, lru_cache
from typing import Any

_HASH_BITS = 32
_HASH_MASK = (1 << _HASH_BITS) - 1
_CACHED_GROUPS = 65_536
_LONG_ID = 256  # characters: longer ids are not kept, and hashed by numpy
_LONGEST_ID = 0x7FFF


def java_hash(text: str) -> int:
    """`String.hashCode()`: over UTF-16 code units, as a signed 32-bit number."""
    data = text.encode("utf-16-be", "surrogatepass")
    value = _hash_long(data) if len(text) > _LONG_ID else _hash_short(data)
    return value - (1 << _HASH_BITS) if value >> (_HASH_BITS - 1) else value


def partition_for(group_id: str, partition_count: int) -> int:
    """The partition of a group."""
    find = _find if len(group_id) > _LONG_ID else _find_cached
    return find(group_id, partition_count)


def _find(group_id: str, partition_count: int) -> int:
    value = java_hash(group_id)
    # Kafka's Utils.abs: the one number whose absolute value is no 32-bit number becomes 0.
    return 0 if value == -(1 << (_HASH_BITS - 1)) else abs(value) % partition_count


_find_cached = lru_cache(_CACHED_GROUPS)(_find)


def _hash_short(data: bytes) -> int:
    value = 0
    for (unit,) in struct.iter_unpack(">H", data):
        value = (31 * value + unit) & _HASH_MASK
    return value


def _hash_long(data: bytes) -> int:
    import numpy  # for few: it takes a while to import

    units = numpy.frombuffer(data, dtype=">u2").astype(numpy.uint32)
    powers = _powers_of_31(max(_LONGEST_ID, len(units)))[-len(units) :]
    return int((units * powers).sum(dtype=numpy.uint32))


@cache
def _powers_of_31(count: int) -> Any:
    """31^(count-1) … 31, 1, modulo 2^32."""
    import numpy

    powers = numpy.full(count, 31, dtype=numpy.uint32)
    powers[-1] = 1
    return powers[::-1].cumprod(dtype=numpy.uint32)[::-1].copy()
