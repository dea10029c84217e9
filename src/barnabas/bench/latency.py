"""Latencies as HdrHistogram's histograms and log files.

The native core counts in the library's own bucket layout; here the counts become the library's
histograms, which know percentiles and the log format. Values are nanoseconds.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from barnabas.closing import Closing

LOWEST_NS: Final = 1
HIGHEST_NS: Final = 3600 * 10**9
DIGITS: Final = 3
PERCENTILES: Final = (50.0, 75.0, 90.0, 99.0, 99.9, 99.99)
_NS_PER_MS: Final = 1e6


def empty_histogram() -> Any:
    """An hdrh HdrHistogram of the layout that the core counts in."""
    from hdrh.histogram import HdrHistogram

    return HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)


def to_histogram(counts: bytes) -> Any:
    """The library's histogram of what `LoadGenerator.take_latencies` returned."""
    histogram = empty_histogram()
    array = np.frombuffer(counts, dtype=np.int64)
    if len(array) != histogram.counts_len:
        raise ValueError(f"{len(array)} counts, not the {histogram.counts_len} of the library")
    for index in np.flatnonzero(array):
        value = histogram.get_value_from_index(int(index))
        histogram.record_value(value, int(array[index]))
    return histogram


def summary_ms(histogram: Any) -> dict[str, float] | None:
    """Percentiles, mean and maximum in milliseconds; None of nothing."""
    if histogram.get_total_count() == 0:
        return None
    at = histogram.get_value_at_percentile
    values = {
        "mean": histogram.get_mean_value(),
        "min": histogram.get_min_value(),
        **{f"p{percentile:g}": at(percentile) for percentile in PERCENTILES},
        "max": histogram.get_max_value(),
    }
    return {name: round(value / _NS_PER_MS, 6) for name, value in values.items()}


class HdrLog(Closing):
    """A log file in HdrHistogram's format: one interval histogram a line."""

    def __init__(self, path: Path, comments: Mapping[str, object]) -> None:
        from hdrh.log import HistogramLogWriter

        self._file = path.open("w", encoding="utf-8")
        self._writer = HistogramLogWriter(self._file)
        self._writer.output_log_format_version()
        for name, value in comments.items():
            self._writer.output_comment(f"{name}: {value}")
        self._base_s = time.time()
        self._file.write(f"#[StartTime: {self._base_s:.3f} (seconds since epoch)]\n")
        self._file.write(f"#[BaseTime: {self._base_s:.3f} (seconds since epoch)]\n")
        self._writer.output_legend()
        self._begin_s = 0.0

    def restart(self) -> None:
        """The next interval begins now."""
        self._begin_s = time.time() - self._base_s

    def write(self, histogram: Any) -> None:
        """Logs an interval that ends now; its maximum is shown in milliseconds."""
        end_s = time.time() - self._base_s
        if histogram.get_total_count() > 0:
            begin_s = self._begin_s or 1e-6  # the library takes 0 for a time not given
            self._writer.output_interval_histogram(histogram, begin_s, end_s, _NS_PER_MS)
        self._begin_s = end_s

    def close(self) -> None:
        """Ends the file. May be repeated."""
        self._file.close()
