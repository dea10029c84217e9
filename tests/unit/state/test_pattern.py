"""Patterns of clients: what re2j takes, in Python's terms."""

import pytest

from barnabas.state.pattern import BadPattern, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("(?i)x-0", ["x-0", "X-0"], ["x-1"]),
        (".*(?i)X-0|.*3", ["ax-0", "aX-0", "a3"], ["a", "x-1"]),
        ("a(?i)b|c", ["ab", "aB", "c", "C"], ["Ab", "ac", "a"]),
        ("(a(?i)b|c)d", ["abd", "aBd", "Cd"], ["abD", "Abd", "CD"]),
        ("(?i)a(?-i)b|c", ["ab", "Ab", "c"], ["aB", "C"]),
        ("(?i:a)b", ["ab", "Ab"], ["aB"]),
        ("(?i)a(?s)b.", ["AB\n", "abc"], ["ab"]),
        (r"(?i)\(a[(|)]b", ["(A|B", "(a)b"], ["a|b", "(ab"]),
        ("a(?i)", ["a"], ["A", ""]),
        ("(?i)(?-i)a|b", ["a", "b"], ["A", "B"]),
    ],
)
def test_flags_hold_to_the_end_of_their_group(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    matches = compile_pattern(pattern)
    assert [text for text in matching + others if matches(text)] == matching


@pytest.mark.parametrize(
    "pattern",
    ["(?i", "((?i)a", "(?i)a)", "(?i)a)(b", "(?i)*", "(?i)(a", "(?x)a", "(?=a)", "(?i)(a+)+"],
)
def test_what_is_no_pattern_of_either_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        compile_pattern(pattern)
