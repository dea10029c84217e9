import pytest

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
