"""The core's counts are those of the HdrHistogram library, bucket by bucket."""

import random
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from barnabas._core import latency_index
from barnabas.bench.latency import (
    DIGITS,
    HIGHEST_NS,
    LOWEST_NS,
    HdrLog,
    empty_histogram,
    summary_ms,
    to_histogram,
)


def counts_of(*values: int) -> bytes:
    counts = np.zeros(empty_histogram().counts_len, dtype=np.int64)
    for value in values:
        counts[latency_index(value)] += 1
    return counts.tobytes()


def test_every_value_is_counted_where_the_library_counts_it() -> None:
    library = empty_histogram()
    rng = random.Random(1)
    values = [0, 1, HIGHEST_NS]
    values += [(1 << bits) + delta for bits in range(1, 41) for delta in (-1, 0, 1)]
    values += [int(2 ** rng.uniform(0, 41.7)) for _ in range(5000)]
    for value in values:
        assert latency_index(value) == library.get_counts_array_index(value), value


@pytest.mark.parametrize("value", [-1, HIGHEST_NS + 1])
def test_what_no_histogram_holds_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="one hour"):
        latency_index(value)


def test_counts_become_a_histogram_with_its_percentiles() -> None:
    histogram = to_histogram(counts_of(*range(1_000_000, 101_000_000, 1_000_000)))
    assert histogram.get_total_count() == 100
    summary = summary_ms(histogram)
    assert summary is not None
    assert summary["p50"] == pytest.approx(50, rel=0.002)
    assert summary["p99"] == pytest.approx(99, rel=0.002)
    assert summary["max"] == pytest.approx(100, rel=0.002)
    assert summary["mean"] == pytest.approx(50.5, rel=0.002)


def test_nothing_has_no_summary() -> None:
    assert summary_ms(to_histogram(counts_of())) is None


def test_counts_of_another_layout_are_refused() -> None:
    with pytest.raises(ValueError, match="counts"):
        to_histogram(b"\0" * 80)


def test_the_log_can_be_read_back_by_the_library(tmp_path: Path) -> None:
    path = tmp_path / "latency.hdr"
    with HdrLog(path, {"unit": "ns"}) as log:
        log.restart()
        log.write(to_histogram(counts_of(1000, 2000)))
        log.write(to_histogram(counts_of()))
        log.write(to_histogram(counts_of(3_000_000)))
    reader = HistogramLogReader(str(path), HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS))
    total = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
    intervals = []
    while (interval := reader.get_next_interval_histogram()) is not None:
        intervals.append(interval.get_total_count())
        total.add(interval)
    reader.close()
    assert intervals == [2, 1]
    assert total.get_max_value() == pytest.approx(3_000_000, rel=0.001)
