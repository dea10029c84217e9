"""A short mixed run (`make mixed-asan` is the long one)."""

from collections.abc import Callable

import pytest

from faults.mixed.run import mixed_run

SECONDS = 40.0


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_all_at_once_loses_nothing_and_keeps_no_memory(measured: Callable[[str], None]) -> None:
    report = mixed_run(SECONDS)
    report.check()
    assert all(count > 0 for count in report.counts.values()), report.counts
    measured(str(report))
