"""Arguments of the public API: a TypeError or ValueError names the one that is wrong, says what was
given, and what is taken; so does a ConfigError, of settings. Imports `errors` only.

For where a call begins. What every record goes through is looked at once it has failed.
"""

import operator
import reprlib
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, Final

from barnabas.errors import ConfigError

_SHOWN: Final = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 80


def wrong_type(name: str, value: object, accepted: str, hint: str = "") -> TypeError:
    """To be raised: `value` is not what the argument takes. `hint`: what is meant, perhaps."""
    kind = "" if value is None else f" ({type(value).__name__})"
    end = f"; {hint}" if hint else ""
    return TypeError(f"{name} must be {accepted}, not {_SHOWN.repr(value)}{kind}{end}")


def check_text(name: str, value: object, accepted: str = "a str") -> None:
    """Raises TypeError for what is no str."""
    if not isinstance(value, str):
        raise wrong_type(name, value, accepted)


def check_optional_texts(**values: object) -> None:
    """Raises TypeError for an argument that is neither a str nor None."""
    for name, value in values.items():
        if value is not None:
            check_text(name, value, "a str or None")


def check_optional_calls(**values: object) -> None:
    """Raises TypeError for an argument that is not None and cannot be called."""
    for name, value in values.items():
        if value is not None and not callable(value):
            raise wrong_type(name, value, "something to be called, or None")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises ConfigError for what is not one of them, TypeError for what is no str."""
    check_text(name, value, f"one of {', '.join(choices)}")
    if value not in choices:
        raise ConfigError(f"{name} {value!r} is not one of {', '.join(choices)}")


def check_integer(name: str, value: Any, accepted: str = "an int") -> int:
    """The int, numpy's included. Raises TypeError for what is none; a bool is none."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise wrong_type(name, value, accepted)
    return operator.index(value)


def check_port(port: Any) -> int:
    """The port to listen on. Raises TypeError, ValueError for what is none."""
    number = check_integer("port", port)
    if not 0 <= number < 1 << 16:
        raise ValueError(f"port must be 1 to 65535, or 0 for any that is free, not {number}")
    return number


def check_directory(name: str, value: object) -> None:
    """Raises TypeError, ValueError for what is neither a directory nor None, a temporary one."""
    if value is not None and not isinstance(value, str | Path):
        raise wrong_type(name, value, "a str, a Path or None")
    if value == "":
        raise ValueError(f"{name} must be a directory, and is empty; None is a temporary one")


def check_number(name: str, value: object, accepted: str = "a number") -> None:
    """Raises TypeError for what is neither an int nor a float; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise wrong_type(name, value, accepted)


def check_timeout(timeout: object) -> None:
    """Raises TypeError for what is no timeout; None is one."""
    if timeout is not None:
        check_number("timeout", timeout, "a number of seconds or None")


def check_mapping(name: str, value: object, accepted: str) -> None:
    """Raises TypeError for what is no mapping from texts."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise wrong_type(name, value, accepted)


def check_texts(name: str, values: Any, accepted: str) -> frozenset[str]:
    """The texts of a list. Raises TypeError for what is none, ValueError when it is empty."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise wrong_type(name, values, accepted)
    texts = list(values)
    for text in texts:
        if not isinstance(text, str):
            raise wrong_type(f"each of {name}", text, "a str")
    if not texts:
        raise ValueError(f"{name} must be {accepted}, and is empty")
    return frozenset(texts)


def check_integers(name: str, values: Any, accepted: str) -> frozenset[int]:
    """The ints of a list. Raises TypeError for what is none."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise wrong_type(name, values, accepted)
    return frozenset(check_integer(f"each of {name}", value) for value in values)
