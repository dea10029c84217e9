"""server.properties files, as Java reads them."""

import pytest

from barnabas.config.properties import parse_properties
from barnabas.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", {"a": "b"}),
        ("a = b c ", {"a": "b c"}),
        ("a:b", {"a": "b"}),
        ("a b", {"a": "b"}),
        ("a", {"a": ""}),
        ("  a=", {"a": ""}),
        ("# c\n! d\n\n a=b\n", {"a": "b"}),
        ("a=b,\\\n   c,\\\n   d\ne=f", {"a": "b,c,d", "e": "f"}),
        ("a=b\\\n# no comment", {"a": "b# no comment"}),
        ("a=\\\\\nb=c", {"a": "\\", "b": "c"}),
        ("a=\\u0041\\tb", {"a": "A\tb"}),
        ("a\\=b=c", {"a=b": "c"}),
        ("a=1\na=2", {"a": "2"}),
        ("a=b=c", {"a": "b=c"}),
        ("listeners=PLAINTEXT://h:9092\r\nb=1\r\n", {"listeners": "PLAINTEXT://h:9092", "b": "1"}),
        ("a=end\\", {"a": "end"}),
    ],
)
def test_lines_become_entries(text: str, expected: dict[str, str]) -> None:
    assert parse_properties(text) == expected


def test_a_value_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="line 2: '=b' has no key"):
        parse_properties("a=1\n=b")


def test_lines_are_counted_as_an_editor_does() -> None:
    text = "# comment\n\na=1,\\\n  2\r\nb=1\na=3\\\n4"
    assert parse_properties(text).lines == {"b": 5, "a": 6}
