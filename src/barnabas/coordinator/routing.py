"""Which partition of `__consumer_offsets` a group lives in, and of `__transaction_state` a
transactional id: as Kafka computes it, so that a data directory can move between the two.
"""

from functools import lru_cache

from barnabas import _core

_CACHED_KEYS = 65_536
_LONG_KEY = 256  # characters: longer ones are not kept


def java_hash(text: str) -> int:
    """`String.hashCode()`: over UTF-16 code units, as a signed 32-bit number."""
    return _core.java_hash(text.encode("utf-16-be", "surrogatepass"))


def partition_for(key: str, partition_count: int) -> int:
    """The partition of a group id or transactional id."""
    find = _find if len(key) > _LONG_KEY else _find_cached
    return find(key, partition_count)


def _find(key: str, partition_count: int) -> int:
    value = java_hash(key)
    # Kafka's Utils.abs: the one number whose absolute value is no 32-bit number becomes 0.
    return 0 if value == -(1 << 31) else abs(value) % partition_count


_find_cached = lru_cache(_CACHED_KEYS)(_find)
