"""What the tables say: medians, verdicts, notes, and numbers one can read."""

from dataclasses import replace
from pathlib import Path

import pytest
from bench.report.numbers import (
    Spread,
    format_axis_value,
    format_median,
    format_range,
    metric_of,
    slug,
    spread_of,
)
from bench.report.summary import (
    Verdict,
    chapters_of,
    notes_on,
    peers_of,
    ratio_of,
    repetitions_text,
)
from bench.results import Metric, Results, Sample, load_results

from unit.bench_report.made_up import TRUTHS, made_up_results


def test_medians_are_those_of_the_repetitions() -> None:
    medians = {
        (block.operation.id, row.metric, cell.peer): cell.spread and cell.spread.median
        for chapter in chapters_of(made_up_results())
        for block in chapter.blocks
        for row in block.rows
        for cell in row.cells
    }
    for (operation, metric), truths in TRUTHS.items():
        for peer in ("barnabas", "kafka", "tansu", "kernel"):
            assert medians[operation, metric_of(metric), peer] == truths.get(peer)


def test_values_that_are_no_numbers_are_left_out() -> None:
    assert spread_of([float("nan"), 3.0, 1.0, float("inf")]) == Spread(2.0, 1.0, 3.0, 2)
    assert spread_of([float("nan")]) is None


@pytest.mark.parametrize(
    ("ours", "kafka", "is_higher_better", "verdict"),
    [
        (4.0, 2.0, True, Verdict.BETTER),
        (4.0, 2.0, False, Verdict.WORSE),
        (1.0, 2.0, False, Verdict.BETTER),
        (1.0, 2.0, True, Verdict.WORSE),
        (2.1, 2.0, True, Verdict.ALIKE),
    ],
)
def test_verdict_knows_which_way_is_better(
    ours: float, kafka: float, is_higher_better: bool, verdict: Verdict
) -> None:
    metric = Metric("m", "", is_higher_better=is_higher_better)
    one, other = (Spread(median, median * 0.9, median * 1.1, 3) for median in (ours, kafka))
    ratio = ratio_of(one, other, metric)
    assert ratio is not None
    assert (ratio.value, ratio.verdict) == (ours / kafka, verdict)


def test_nothing_is_divided_by_nothing() -> None:
    one, zero = Spread(1, 1, 1, 1), Spread(0, 0, 0, 1)
    for ours, kafka in [(one, zero), (None, one), (one, None)]:
        assert ratio_of(ours, kafka, Metric("m", "")) is None


def test_note_on_some_repetitions_says_on_how_many() -> None:
    results = made_up_results()
    results.samples = [
        replace(sample, notes=("swapping",) if sample.repetition < 2 else ())
        for sample in results.samples
    ]
    assert notes_on(results, "start", "kafka") == ["swapping (in 2 of 5 repetitions)"]


def test_note_on_a_peer_that_measured_nothing_stands_at_its_dash() -> None:
    results = made_up_results()
    results.samples.append(Sample("fetch_1k", "tansu", 0, {}, None, ("cannot fetch",)))
    chapter = next(chapters_of(results))
    for row in chapter.blocks[1].rows:
        cell = row.cells[2]
        assert cell.spread is None
        assert [chapter.notes[number - 1] for number in cell.notes] == ["cannot fetch"]


def test_peers_come_in_the_order_of_reports() -> None:
    results = Results("", "", "", {}, {"zeta": "", "kernel": "", "kafka": "", "barnabas": ""})
    assert peers_of(results) == ["barnabas", "kafka", "kernel", "zeta"]


def test_unequal_repetitions_are_said() -> None:
    results = made_up_results()
    assert repetitions_text(results) == "5 repetitions"
    results.samples.pop()
    assert repetitions_text(results) == "4 to 5 repetitions"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (12345.6, 0, "12,346"),
        (12345.6, 3, "12,346"),
        (5.4, 3, "5.40"),
        (0.0831, 3, "0.083"),
        (0.00042, 3, "0.00042"),
        (0.4, 0, "0.40"),
        (0.0, 2, "0.00"),
    ],
)
def test_numbers_have_the_digits_that_tell(value: float, digits: int, text: str) -> None:
    assert format_median(Spread(value, value, value, 1), Metric("m", "", digits=digits)) == text


def test_single_repetition_has_no_range() -> None:
    assert format_range(Spread(1.0, 1.0, 1.0, 1), Metric("m", "")) == ""
    assert format_range(Spread(1.0, 0.5, 1.5, 3), Metric("m", "")) == "0.50 – 1.50"


def test_axis_values_are_short() -> None:
    texts = [format_axis_value(v) for v in (1, 100, 1000, 1024, 65536, 50_000, 2_500_000, 2**20)]
    assert texts == ["1", "100", "1k", "1Ki", "64Ki", "50k", "2.5M", "1Mi"]


def test_file_names_are_plain_ascii() -> None:
    assert slug("Größe: ../p99.9 (%)") == "groe-p99-9"
    assert slug("日本") == "unnamed"


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    results = made_up_results()
    results.save(tmp_path / "results.json")
    assert load_results(tmp_path / "results.json") == results
