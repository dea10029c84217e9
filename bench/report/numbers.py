"""Numbers and words as the report prints them: plain text, escaped by whoever puts it somewhere."""

import math
import re
import statistics
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bench.results import METRICS, Metric

DASH = "–"  # stands for what was not measured
LOG_SPAN = 30.0  # from here on the small ones would be slivers on a linear scale
SIGNIFICANT_DIGITS = 3  # more are noise in any benchmark


@dataclass(frozen=True)
class Spread:
    """The repetitions of one measurement: REQUIRES at least one."""

    median: float
    low: float
    high: float
    count: int

    def overlaps(self, other: "Spread") -> bool:
        """Whether some repetition of one could be one of the other."""
        return self.low <= other.high and other.low <= self.high


def spread_of(values: Iterable[float]) -> Spread | None:
    """The spread of the finite values; None when there are none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    return Spread(statistics.median(finite), min(finite), max(finite), len(finite))


def metric_of(name: str) -> Metric:
    """The meaning of a metric's name; a name that METRICS lacks means itself."""
    return METRICS.get(name) or Metric(name, "")


def decimals_of(value: float, digits: int) -> int:
    """How many decimals: the metric's, fewer for large values, more for those that would vanish."""
    if value == 0 or not math.isfinite(value):
        return digits
    magnitude = math.floor(math.log10(abs(value)))
    most = max(0, SIGNIFICANT_DIGITS - 1 - magnitude)
    least = max(0, 1 - magnitude) if magnitude < 0 else 0
    return max(min(digits, most), least)


def format_number(value: float, decimals: int) -> str:
    """With commas between thousands."""
    return f"{value:,.{decimals}f}"


def format_median(spread: Spread, metric: Metric) -> str:
    """The median alone."""
    return format_number(spread.median, decimals_of(spread.median, metric.digits))


def format_range(spread: Spread, metric: Metric) -> str:
    """`smallest – largest` in the median's decimals; empty when there was one repetition."""
    if spread.count == 1:
        return ""
    decimals = decimals_of(spread.median or spread.high, metric.digits)
    return f"{format_number(spread.low, decimals)} – {format_number(spread.high, decimals)}"


def format_ratio(value: float) -> str:
    """`0.27×`."""
    return f"{format_number(value, decimals_of(value, 2))}×"


def format_date(iso: str) -> str:
    """A date of ISO 8601 to the minute; as it came if it is none."""
    try:
        return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return iso


def format_axis_value(value: float) -> str:
    """Short enough for a tick: `100`, `1k`, `64Ki`, `2.5M`."""
    for factor, letter in ((2**20, "Mi"), (2**10, "Ki")):
        if value >= factor and value % factor == 0:
            return f"{value / factor:g}{letter}"
    for factor, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= factor:
            return f"{value / factor:g}{letter}"
    return f"{value:g}"


def slug(text: str) -> str:
    """Lower-case ASCII letters, digits and single hyphens, for the name of a file or an anchor."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")[:60] or "unnamed"


def unique(name: str, taken: set[str]) -> str:
    """The name, with a number behind it if it is taken; it is taken from now on."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free


def one_line(text: str) -> str:
    """Without line breaks, runs of blanks and characters that nobody sees."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
