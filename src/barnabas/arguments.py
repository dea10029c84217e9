"""Arguments of the public API: a TypeError or ValueError names the one that is wrong, says what was
given, and what is taken; so does a ConfigError, of settings, and a KafkaError of a topic's name.
Imports `errors` and `state`.

For where a call begins. What every record goes through is looked at once it has failed.
"""

import inspect
import operator
import reprlib
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from numbers import Real
from pathlib import Path
from typing import Any, Final

from barnabas.errors import ConfigError, KafkaError
from barnabas.state.topics import MAX_NAME_LENGTH, topic_name_error

# isort: split
from kio.schema.errors import ErrorCode  # errors makes it quick

_SHOWN: Final = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 80

INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)
TEXT_BYTES_MAX: Final = 2**15 - 1
"""Of a text in Kafka's protocol, and in the records of groups and transactions."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
FINER_THAN_MS: Final = frozenset({"us", "ns", "ps", "fs", "as"})
"""Units of numpy's datetime64."""
_TIMES: Final = "ms since the epoch, a datetime with a time zone or a datetime64"
FOREVER_S: Final = 1e9
"""A timeout above this is none."""


def wrong_type(name: str, value: object, accepted: str, hint: str = "") -> TypeError:
    """To be raised: `value` is not what the argument takes. `hint`: what is meant, perhaps."""
    kind = "" if value is None else f" ({type(value).__name__})"
    end = f"; {hint}" if hint else ""
    return TypeError(f"{name} must be {accepted}, not {_SHOWN.repr(value)}{kind}{end}")


def imported(module: str, extra: str, what: str) -> Any:
    """A module that an extra brings. Raises ModuleNotFoundError, which says how to get it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        hint = f"{module} is needed for {what}: pip install 'barnabas[{extra}]'"
        raise ModuleNotFoundError(hint, name=error.name) from error


def check_text(name: str, value: object, accepted: str = "a str") -> None:
    """Raises TypeError for what is no str."""
    if not isinstance(value, str):
        raise wrong_type(name, value, accepted)


def check_name(name: str, value: str) -> None:
    """Raises ConfigError for what Kafka's protocol has no room for, or is no text."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name} {value!a} is no text: {error.reason}") from None
    if size > TEXT_BYTES_MAX:
        shown = _SHOWN.repr(value)
        raise ConfigError(f"{name} {shown} has {size:,} bytes: {TEXT_BYTES_MAX:,} at most")


def check_topic(name: str, value: object) -> None:
    """Raises TypeError for what is no str, KafkaError for what can be no topic's name."""
    if not isinstance(value, str):
        raise wrong_type(name, value, "the name of a topic")
    if topic_name_error(value) is not None:
        raise KafkaError(
            ErrorCode.invalid_topic_exception,
            f"{name} must be 1 to {MAX_NAME_LENGTH} of a-z, A-Z, 0-9, '.', '_' and '-', and "
            f"neither '.' nor '..', not {_SHOWN.repr(value)}",
        )


def check_optional_names(**values: Any) -> None:
    """As `check_name`, of arguments that may be None. Raises TypeError for what is neither that nor
    a str.
    """
    for name, value in values.items():
        if value is not None:
            check_text(name, value, "a str or None")
            check_name(name, value)


def check_call(name: str, value: object, accepted: str) -> None:
    """Raises TypeError for what cannot be called, and for what would only make a coroutine, which
    nobody awaits.
    """
    if not callable(value):
        raise wrong_type(name, value, accepted)
    makes = value if inspect.isroutine(value) else type(value).__call__
    for call in (value, makes):
        if inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call):
            raise wrong_type(name, value, accepted, "it is called, and not awaited")


def check_flags(**values: object) -> None:
    """Raises TypeError for what is no bool: a text "false" is not false."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise wrong_type(name, value, "True or False")


def check_optional_calls(**values: object) -> None:
    """As `check_call`, of arguments that may be None."""
    for name, value in values.items():
        if value is not None:
            check_call(name, value, "something to be called, or None")


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


def check_range(
    name: str,
    value: Any,
    lowest: int,
    highest: int = INT64_MAX,
    *,
    accepted: str = "an int",
    error: type[Exception] = ValueError,
    says: str = "",
) -> int:
    """As `check_integer`. Raises `error` for what is not within the two; what `says` so."""
    number = check_integer(name, value, accepted)
    if lowest == 0 and number < 0:
        raise error(f"{name} {number} is below zero")
    if not lowest <= number <= highest:
        why = f" ({says})" if says else ""
        raise error(f"{name} {number} is not within {lowest} and {highest}{why}")
    return number


def check_time(timestamp_ms: Any, name: str = "timestamp_ms") -> int:
    """Ms since the epoch. Raises TypeError, and ValueError for what is beyond an int64."""
    return check_range(name, timestamp_ms, INT64_MIN, accepted="ms since the epoch")


def time_in_ms(name: str, value: Any, *, rounds_up: bool = False) -> int:
    """Ms since the epoch, of an int, a datetime with a time zone, or numpy's datetime64, which is
    UTC; of what is finer than a ms the one before, or with `rounds_up` the one after. Raises as
    `check_time`, and ValueError for what is no point in time.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(
                f"{name} {value} has no time zone, so that it is no point in time: "
                "datetime.now(UTC) has one"
            )
        since = value - _EPOCH
        return -(-since // _MS) if rounds_up else since // _MS
    if getattr(getattr(value, "dtype", None), "kind", "") == "M" and value.ndim == 0:
        import numpy  # which the caller has

        try:
            ms = value.astype("datetime64[ms]")  # rounded down
            is_finer = numpy.datetime_data(value.dtype)[0] in FINER_THAN_MS
            is_one = not numpy.isnat(value) and (is_finer or ms.astype(value.dtype) == value)
        except OverflowError:
            is_one = False
        if not is_one:
            raise ValueError(f"{name} {value} is no time of int64 ms since the epoch")
        return int(ms.astype("int64")) + (rounds_up and bool(ms < value))
    return check_range(name, value, INT64_MIN, accepted=_TIMES)


def check_number(name: str, value: object, accepted: str = "a number") -> None:
    """Raises TypeError for what is neither an int nor a float; a bool is none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise wrong_type(name, value, accepted)


def check_timeout(timeout: Any) -> Any:
    """Seconds, or None for what waits for ever: None, and what is longer than a life. Raises
    TypeError for what is no timeout, ValueError for nan.
    """
    if timeout is None:
        return None
    if type(timeout) not in (float, int):
        check_number("timeout", timeout, "a number of seconds or None")
    if timeout > FOREVER_S:
        return None
    if timeout >= 0:
        return timeout
    if timeout < 0:
        return 0
    raise ValueError("timeout must be a number of seconds or None, not nan")


def deadline_after(timeout: Any) -> float | None:
    """When a timeout that begins now is over, of the monotonic clock. As `check_timeout`."""
    seconds = check_timeout(timeout)
    return None if seconds is None else time.monotonic() + float(seconds)


def check_delay(name: str, value: Any) -> int:
    """The ms of a time in seconds. Raises TypeError, and ValueError for one that is below zero or
    without end.
    """
    check_number(name, value)
    if not 0 <= value <= FOREVER_S:  # nor nan
        raise ValueError(f"{name}={value} is not within 0 and {FOREVER_S:,.0f}")
    return int(value * 1_000 + 0.5)


def check_mapping(name: str, value: object, accepted: str) -> None:
    """Raises TypeError for what is no mapping from texts."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise wrong_type(name, value, accepted)


def check_topics(name: str, values: Any) -> frozenset[str]:
    """The topics of a list. Raises TypeError for what is none, KafkaError as `check_topic`,
    ValueError when it is empty.
    """
    accepted = "a list of names, such as ['orders']"
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise wrong_type(name, values, accepted)
    topics = list(values)
    for topic in topics:
        check_topic(f"each of {name}", topic)
    if not topics:
        raise ValueError(f"{name} must be {accepted}, and is empty")
    return frozenset(topics)


def check_integers(name: str, values: Any, accepted: str) -> frozenset[int]:
    """The ints of a list. Raises TypeError for what is none."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise wrong_type(name, values, accepted)
    return frozenset(check_integer(f"each of {name}", value) for value in values)
