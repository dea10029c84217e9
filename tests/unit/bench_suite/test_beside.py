"""`python -m bench.beside`: the broker of this checkout beside another's."""

import re
import sys
from pathlib import Path

import pytest
from bench.beside import Line
from bench.report.numbers import spread_of

from unit.bench_suite.commands import run_module


def test_it_drives_both_brokers(tmp_path: Path) -> None:
    program = tmp_path / ".venv" / "bin" / "barnabas"
    program.parent.mkdir(parents=True)
    this = Path(sys.executable).with_name("barnabas")
    program.write_text(f'#!/bin/sh\nsleep 3\nexec {this} "$@"\n')
    program.chmod(0o755)
    done = run_module(
        "bench.beside", str(tmp_path), "--only", "start-first-record", "--repetitions", "1"
    )
    assert done.returncode == 0, done.stderr
    found = re.search(r"start_s +([\d.]+) \(\) -> ([\d.]+) \(\) s", done.stdout)
    assert found is not None, done.stdout
    assert float(found[1]) > 3.0 > float(found[2])
    assert "worse by more than 5 %: none" in done.stdout


def test_a_checkout_that_is_not_built_is_refused(tmp_path: Path) -> None:
    done = run_module("bench.beside", str(tmp_path))
    assert done.returncode == 2
    assert "make build" in done.stderr


@pytest.mark.parametrize(
    ("metric", "before", "now", "is_worse"),
    [
        ("cpu_s_per_gb", [1.0, 1.01], [1.07, 1.1], True),
        ("cpu_s_per_gb", [1.0, 1.01], [1.03, 1.04], False),
        ("cpu_s_per_gb", [1.0, 1.2], [1.19, 1.3], False),
        ("requests_per_s", [1.0, 1.01], [1.07, 1.1], False),
        ("requests_per_s", [1.0, 1.01], [0.9, 0.95], True),
    ],
)
def test_worse_is_more_than_the_spread_says(
    metric: str, before: list[float], now: list[float], is_worse: bool
) -> None:
    spread_before, spread_now = spread_of(before), spread_of(now)
    assert spread_before is not None
    assert spread_now is not None
    assert Line("produce", metric, spread_before, spread_now).is_worse == is_worse
