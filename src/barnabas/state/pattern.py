"""Regular expressions of clients, which must not hold up the broker loop.

Java's re2j matches in linear time; Python's `re` may take exponentially long. What re2j does not
know (look-around, back references), what nests repetitions, and what repeats without a bound too
often is therefore refused. Flags, `i`, `m` and `s`, may be set anywhere, as in re2j.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

PATTERN_CHARACTERS_MAX: Final = 256
UNBOUNDED_MAX: Final = 3
_UNSUPPORTED: Final = re.compile(r"\(\?(?![ims]*(?:-[ims]+)?[:)])|\\[1-9]|[*+?}][*+]")
_UNBOUNDED: Final = re.compile(r"[*+]|\{\d*,\d*\}")
_REPEATED_GROUP: Final = re.compile(r"\)[*+{]")
_LITERAL: Final = re.compile(r"\\[^1-9]|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_SCOPE: Final = re.compile(
    rf"{_LITERAL.pattern}|\(\?(?P<on>[ims]*)(?:-(?P<off>[ims]+))?\)|[()|]", re.DOTALL
)


class BadPattern(ValueError):
    """No regular expression, or one that is not matched here."""


@lru_cache(16)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """What tells whether a whole text matches the pattern. Raises BadPattern."""
    syntax = _LITERAL.sub("x", pattern)  # without what only looks like syntax
    is_costly = (
        len(pattern) > PATTERN_CHARACTERS_MAX
        or _UNSUPPORTED.search(syntax)
        or _REPEATED_GROUP.search(syntax)
        or len(_UNBOUNDED.findall(syntax)) > UNBOUNDED_MAX
    )
    if is_costly:
        raise BadPattern("the pattern may take long to match")
    try:
        compiled = re.compile(_scope_flags(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise BadPattern(str(error)) from error
    return lambda text: compiled.fullmatch(text) is not None


def _scope_flags(pattern: str) -> str:
    """What begins in the middle of a group, and ends with it, as Python says it: `a(?i)b|c` is
    `a(?i:b)|(?i:c)`.
    """
    groups: list[dict[str, bool]] = [{}]  # the open ones: which flags were set in each, or cleared

    def begin() -> str:
        on = "".join(flag for flag, is_set in groups[-1].items() if is_set)
        off = "".join(flag for flag, is_set in groups[-1].items() if not is_set)
        return f"(?{on}-{off}:" if off else f"(?{on}:" if on else ""

    def end() -> str:
        return ")" if groups[-1] else ""

    def scope(found: re.Match[str]) -> str:
        before = end()
        if found["on"] is not None:
            groups[-1].update(dict.fromkeys(found["on"], True))
            groups[-1].update(dict.fromkeys(found["off"] or "", False))
            return before + begin()
        match found[0]:
            case "(":
                groups.append({})
            case ")":
                if len(groups) > 1:  # otherwise `re` finds one too many
                    groups.pop()
                return before + ")"
            case "|":
                return before + "|" + begin()
        return found[0]

    return _SCOPE.sub(scope, pattern) + end()
