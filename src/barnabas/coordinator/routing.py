"""Which partition of `__consumer_offsets` a group lives in: as Kafka computes it, so that a data
directory can move between the two.
"""

from functools import lru_cache

from barnabas import _core

_CACHED_GROUPS = 65_536
_LONG_ID = 256  # characters: longer ids are not kept


def java_hash(text: str) -> int:
    """`String.hashCode()`: over UTF-16 code units, as a signed 32-bit number."""
    return _core.java_hash(text.encode("utf-16-be", "surrogatepass"))


def partition_for(group_id: str, partition_count: int) -> int:
    """The partition of a group."""
    find = _find if len(group_id) > _LONG_ID else _find_cached
    return find(group_id, partition_count)


def _find(group_id: str, partition_count: int) -> int:
    value = java_hash(group_id)
    # Kafka's Utils.abs: the one number whose absolute value is no 32-bit number becomes 0.
    return 0 if value == -(1 << 31) else abs(value) % partition_count


_find_cached = lru_cache(_CACHED_GROUPS)(_find)
