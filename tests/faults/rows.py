"""The storage faults that a broker must survive, and how often this run made each of them.

A test says so with the `count` fixture; the end of the run prints a line for each fault.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum

import pytest

PROPERTY = "storage fault"


class Row(StrEnum):
    POWER_LOSS = "power loss"
    NO_ROOM = "no room, a limit, a short write"
    FAILED_SYNC = "EIO on fsync"
    FAILED_READ = "EIO on read"
    WRONG_BIT = "a wrong bit in an old segment"
    DAMAGED_FILE = "a damaged or missing file"
    KILL = "SIGKILL at a step"
    STALL = "writes that stall for 5 s"
    CLOCK = "a clock that is an hour off"


def lines(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """A line for each row, if there was any: a row of which this run shows nothing says so."""
    times: Counter[str] = Counter()
    tests: Counter[str] = Counter()
    for report in reports:
        for name, value in report.user_properties:
            if name == PROPERTY:
                assert isinstance(value, list | tuple)
                row, number = value
                times[row] += int(number)
                tests[row] += 1
    if times:
        for row in Row:
            yield f"storage faults: {row}: {times[row]} in {tests[row]} tests"
