"""Which partition of `__consumer_offsets` a group lives in: as Kafka computes it, so that a data
directory can move between the two.
"""

from functools import lru_cache

_HASH_BITS = 32
_CACHED_GROUPS = 65_536


def java_hash(text: str) -> int:
    """`String.hashCode()`: over UTF-16 code units, as a signed 32-bit number."""
    data = text.encode("utf-16-be", "surrogatepass")
    value = 0
    for high, low in zip(data[::2], data[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value - (1 << _HASH_BITS) if value >> (_HASH_BITS - 1) else value


@lru_cache(_CACHED_GROUPS)
def partition_for(group_id: str, partition_count: int) -> int:
    """The partition of a group."""
    value = java_hash(group_id)
    # Kafka's Utils.abs: the one number whose absolute value is no 32-bit number becomes 0.
    return 0 if value == -(1 << (_HASH_BITS - 1)) else abs(value) % partition_count
