"""Options of the test run."""

import signal
from pathlib import Path

import pytest

from faults import rows

# A run in the background is started with SIGINT ignored, which all the processes it starts would
# inherit; the tests that interrupt them need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The files that take a minute or more, the longest first.
_LONGEST = [
    Path(__file__).parent / name
    for name in (
        "faults/test_kill.py",
        "faults/test_planted_bugs.py",
        "clients/test_adopt_round_trip.py",
        "faults/test_log_dirs.py",
        "faults/test_damaged_files.py",
        "clients/test_docs.py",
        "clients/test_adopt_kafka.py",
        "clients/test_cli_bench.py",
        "faults/test_every_tail.py",
    )
]
assert all(path.exists() for path in _LONGEST)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--peer",
        choices=("barnabas", "kafka"),
        default="barnabas",
        help="the broker that tests/clients runs against; kafka shows that the tests are right",
    )
    parser.addoption(
        "--kills",
        type=int,
        default=25,
        help="how many times tests/faults/test_kill.py kills the broker",
    )
    parser.addoption(
        "--copy-kills",
        type=int,
        default=6,
        help="how many times tests/faults/test_exactly_once.py kills the broker",
    )
    parser.addoption(
        "--images",
        type=int,
        default=100,
        help="how many disks tests/faults/test_power_loss.py makes of what a broker has written",
    )
    parser.addoption(
        "--every-step",
        action="store_true",
        help="kill at each step of what tests/faults kills in the middle, not at a sample of them",
    )
    parser.addoption(
        "--wheel",
        default=None,
        help="the file that the barnabas under test was installed from, for tests/installed",
    )
    parser.addoption(
        "--seed",
        type=int,
        default=None,
        help="seed of the randomised fault tests; each prints the one it used",
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have measured (the `measured` fixture of tests/faults), a line each; and how often
    they have made each storage fault (`count`).
    """
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {value}")
    for line in rows.lines(terminalreporter.getreports("passed")):
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, then what is slow: no worker is left alone with one at the end."""
    places = {path: place for place, path in enumerate(_LONGEST)}

    def key(item: pytest.Item) -> tuple[int, bool]:
        place = places.get(item.path, len(places))
        return place, item.get_closest_marker("slow") is None

    items.sort(key=key)
