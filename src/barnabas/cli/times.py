"""Times and durations as people type them, in milliseconds."""

import argparse
import re
import time
from datetime import UTC, datetime

_ISO_DURATION = re.compile(
    r"P(?:(?P<w>\d+)W)?(?:(?P<d>\d+)D)?"
    r"(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)
_SHORT_DURATION = re.compile(
    r"(?:(?P<w>\d+)w)?(?:(?P<d>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m(?!s))?"
    r"(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+)ms)?"
)
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999, the last that ISO 8601 can name
_LATEST_DIGITS = 15
_DATE_DIGITS = 8  # 20261124; longer numbers are ms
_UNIT_MS = {
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}


def datetime_ms(text: str) -> int:
    """An argument type: ISO 8601, UTC when it names no zone, or ms since the epoch.

    A time before 1970 is 0: the protocol's negative times mean something else, such as the end.
    """
    if text.isdecimal() and len(text) > _DATE_DIGITS:
        if len(text) > _LATEST_DIGITS or int(text) > _LATEST_MS:
            raise argparse.ArgumentTypeError(f"{text!r} is a time after the year 9999")
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 2026-11-24T18:00:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, round(moment.timestamp() * 1000))


def duration_ms(text: str) -> int:
    """An argument type: `90s`, `1h30m`, `7d`, or ISO 8601: `PT1H30M`, `P7D`."""
    pattern = _ISO_DURATION if text[:1] in ("P", "p") else _SHORT_DURATION
    found = pattern.fullmatch(text)
    parts = {} if found is None else {k: v for k, v in found.groupdict().items() if v is not None}
    if not parts:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 90s, 1h30m or PT2H")
    total_ms = sum(float(number) * _UNIT_MS[unit] for unit, number in parts.items())
    if total_ms > _LATEST_MS:
        raise argparse.ArgumentTypeError(f"{text!r} is longer than there have been records")
    return round(total_ms)


def iso_time(timestamp_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds; the bare number when no calendar has it."""
    try:
        moment = datetime.fromtimestamp(timestamp_ms // 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return str(timestamp_ms)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{timestamp_ms % 1000:03d}Z"


def since_ms(text: str) -> int:
    """An argument type: a time, or a duration before now."""
    if text and (text[0] in "Pp" or _SHORT_DURATION.fullmatch(text)):
        return max(0, int(time.time() * 1000) - duration_ms(text))
    if text.isdecimal() and len(text) > _DATE_DIGITS:
        return datetime_ms(text)
    try:
        return datetime_ms(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time such as 2026-11-24T18:00:00Z nor a duration such as 10m"
        ) from None
