"""The judge of instruction counts, on made-up ones."""

from pathlib import Path

import pytest

import instructions
from instructions import Counts, compare

GCC, CLANG = ("gcc 12.2.0", "glibc 2.36"), ("clang 14.0.6", "glibc 2.36")
BASELINE = Counts(GCC, {"append": 1000.0, "fetch": 8000.0})


def measured(append: float, fetch: float = 8000.0, toolchain: tuple[str, ...] = GCC) -> Counts:
    return Counts(toolchain, {"append": append, "fetch": fetch})


def test_the_same_counts_pass() -> None:
    verdict = compare(BASELINE, measured(1000.0))
    assert not verdict.failed
    assert [line.split()[0] for line in verdict.lines] == ["operation", "append", "fetch"]


@pytest.mark.parametrize("append", [1049.0, 951.0])
def test_less_than_five_percent_either_way_is_nothing(append: float) -> None:
    verdict = compare(BASELINE, measured(append))
    assert not verdict.failed
    assert len(verdict.lines) == 3


def test_an_operation_that_needs_more_fails_and_is_named() -> None:
    verdict = compare(BASELINE, measured(1051.0, fetch=4000.0))
    assert verdict.failed
    assert verdict.lines[-1].startswith("append needs 5.1% more instructions, 5% are allowed")


def test_an_operation_that_needs_fewer_asks_for_a_lower_baseline() -> None:
    verdict = compare(BASELINE, measured(900.0))
    assert not verdict.failed
    assert verdict.lines[-1].startswith("append needs 10.0% fewer instructions: lower the baseline")


def test_counts_of_another_compiler_are_shown_and_not_judged() -> None:
    verdict = compare(BASELINE, measured(2000.0, toolchain=CLANG))
    assert not verdict.failed
    assert not verdict.is_judged
    assert "+100.00%" in verdict.lines[1]
    assert verdict.lines[-1].startswith("not judged: the baseline is of gcc 12.2.0, glibc 2.36")


@pytest.mark.parametrize("toolchain", [GCC, CLANG])
def test_operations_without_a_counterpart_fail(toolchain: tuple[str, ...]) -> None:
    verdict = compare(BASELINE, Counts(toolchain, {"append": 1000.0, "index": 5.0}))
    assert verdict.failed
    assert any(line.startswith("fetch is gone") for line in verdict.lines)
    assert any(line.startswith("index is new") for line in verdict.lines)


def test_what_is_stored_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    instructions.store(path, BASELINE)
    assert instructions.load(path) == BASELINE


def test_the_committed_baseline_has_six_operations() -> None:
    assert len(instructions.load(instructions.BASELINE).operations) == 6
