"""Regular expressions of clients, which must not hold up the broker loop.

Java's re2j matches in linear time; Python's `re` may take exponentially long. What re2j does not
know (look-around, back references), what nests repetitions, and what repeats without a bound too
often is therefore refused.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

PATTERN_CHARACTERS_MAX: Final = 256
UNBOUNDED_MAX: Final = 3
_UNSUPPORTED: Final = re.compile(r"\(\?(?!:)|\\[1-9]|[*+?}][*+]")
_UNBOUNDED: Final = re.compile(r"[*+]|\{\d*,\d*\}")
_REPEATED_GROUP: Final = re.compile(r"\)[*+{]")
_LITERAL: Final = re.compile(r"\\[^1-9]|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


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
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadPattern(str(error)) from error
    return lambda text: compiled.fullmatch(text) is not None
