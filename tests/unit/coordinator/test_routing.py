import time

import pytest

from barnabas.coordinator import routing
from barnabas.coordinator.routing import java_hash, partition_for


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", 0),
        ("a", 97),
        ("abc", 96354),
        ("hello world", 1794106052),
        ("polygenelubricants", -(2**31)),
        ("café", 3045921),
        ("\N{GRINNING FACE}", 1772899),
    ],
)
def test_hash_is_javas(text: str, value: int) -> None:
    assert java_hash(text) == value


def test_groups_live_where_kafka_puts_them() -> None:
    assert partition_for("hello world", 50) == 1794106052 % 50
    assert partition_for("polygenelubricants", 50) == 0
    assert all(0 <= partition_for(f"group-{n}", 50) < 50 for n in range(1000))


def test_long_ids_hash_like_short_ones_and_are_not_kept() -> None:
    def by_definition(text: str) -> int:
        value = 0
        for character in text:
            value = (31 * value + ord(character)) & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value

    kept = routing._find_cached.cache_info().currsize
    for length in (256, 257, 1_000, 32_767):
        text = "grün" * 10_000
        assert java_hash(text[:length]) == by_definition(text[:length])
        assert 0 <= partition_for("x" * length, 50) < 50
    assert routing._find_cached.cache_info().currsize <= kept + 1


def test_the_longest_id_is_hashed_in_far_less_than_a_millisecond() -> None:
    text = "x" * 32_767
    java_hash(text)
    start_s = time.thread_time()
    for _ in range(20):
        java_hash(text)
    assert (time.thread_time() - start_s) / 20 < 0.001
