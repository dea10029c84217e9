"""`python -m bench` as a user runs it."""

import json
from pathlib import Path

import pytest
from bench.results import load_results

from unit.bench_suite.commands import run_module


def test_the_list_names_each_operation_once() -> None:
    listed = run_module("bench", "--list").stdout.splitlines()
    ids = [line.split()[0] for line in listed]
    assert len(ids) == len(set(ids)) > 50
    core = run_module("bench", "--list", "--quick").stdout.splitlines()
    assert set(core) < set(listed)


@pytest.mark.parametrize(
    "options", [("--only", "no-such-operation"), ("--peers", "kafka"), ("--peers", "nobody")]
)
def test_a_choice_of_nothing_is_refused(options: tuple[str, ...], tmp_path: Path) -> None:
    done = run_module("bench", *options, "--out", str(tmp_path))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "--list" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_run_measures_and_writes_its_report(tmp_path: Path) -> None:
    out, markdown = tmp_path / "out", tmp_path / "RESULTS.md"
    done = run_module(
        "bench",
        "--only",
        "requests-flushed,start-first-record",
        "--peers",
        "barnabas",
        "--repetitions",
        "1",
        "--out",
        str(out),
        "--markdown",
        str(markdown),
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "results.json").read_text())
    samples = {s["operation"]: s for s in results["samples"] if s["peer"] == "barnabas"}
    assert not any(
        sample["notes"] and "failed" in str(sample["notes"]) for sample in samples.values()
    )
    requests = samples["requests-flushed"]["metrics"]
    assert requests["requests_per_s"] > 0  # how fast a disk fsyncs beside other tests is open
    # A request is served by the core that its CPU time was measured of.
    assert requests["cpu_us_per_request"] * requests["requests_per_s"] < 2.5e6
    assert 0 < samples["start-first-record"]["metrics"]["start_s"] < 20
    assert load_results(tmp_path / "RESULTS.json.gz") == load_results(out / "results.json")
    page = (out / "index.html").read_text()
    assert "the same with flush.messages=1" in page
    assert "64 connections, flush.messages=1" in markdown.read_text()
