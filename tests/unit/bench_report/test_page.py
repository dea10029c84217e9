"""The page: everything measured is on it, nothing is loaded from elsewhere, nothing is markup."""

import re
from dataclasses import replace

import pytest
from bench.report.page import render_page
from bench.results import Figure, OperationInfo, Results, Sample

from unit.bench_report.made_up import made_up_results
from unit.bench_report.page_reader import Page

HOSTILE = "<script>alert('x')</script> & \"quoted\" $\\frac{1}$ {{ 7 * 7 }}"


def empty() -> Results:
    return Results("true", "2026-11-26T19:12:00+00:00", "abc", {}, {})


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_page(made_up_results()))


def test_page_needs_nothing_beside_it(page: Page) -> None:
    for element in page.elements:
        for name in ("src", "srcset", "href", "data", "action"):
            value = element.attributes.get(name)
            assert value is None or value.startswith(("data:image/png;base64,", "#")), value
    assert not page.all("script")
    assert not page.all("link")
    assert not re.search(r"https?://|@import|url\(", page.html)


def test_every_link_has_its_target(page: Page) -> None:
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(set(ids)) == len(ids)
    assert {e.attributes["href"] for e in page.all("a")} <= {f"#{name}" for name in ids}


def test_command_commit_machine_and_peers_are_said(page: Page) -> None:
    results = made_up_results()
    said = [results.command, results.commit, *results.machine.values(), *results.peers.values()]
    for text in [*said, "2026-11-26 19:12 UTC", "medians of 5 repetitions", "10^9 bytes"]:
        assert text in page.text
    assert page.all("pre")[0].text == results.command


def test_every_figure_has_its_outcome_in_words(page: Page) -> None:
    assert [row[-1] for row in page.rows if row[0] in {"produce 1000 B, acks=all"}][:1] == [
        "✓ reached"
    ]
    for figure in made_up_results().figures:
        words = {True: "✓ reached", False: "✗ not reached", None: "– not measured"}
        assert any(
            row[1:] == [figure.target, figure.measured, words[figure.is_reached]]
            for row in page.rows
        )


def test_cells_are_medians_with_smallest_and_largest(page: Page) -> None:
    values = sorted(made_up_results().values("produce_1k", "kafka", "mb_per_s"))
    cells = page.row("produce 1000 B, acks=all", "throughput")
    assert cells[1] == f"171 {values[0]:.0f} – {values[-1]:.0f}"
    assert cells[-1] == "2.00× better"


def test_peer_without_the_operation_is_a_dash(page: Page) -> None:
    ours, kafka, tansu, kernel, ratio = page.row("fetch 1000 B, one consumer", "throughput")
    assert tansu == "–"
    assert "–" not in (ours, kafka, kernel, ratio)


def test_note_stands_at_the_cells_it_concerns(page: Page) -> None:
    ours, kafka, *_ = page.row("fetch 1000 B, one consumer", "throughput")
    assert ours.startswith("4661 ")  # 466, and the note's number above the line
    assert kafka.startswith("331 ")
    assert [e.text for e in page.all("li")].count("the client was the bottleneck") == 1


def test_group_without_measurements_says_so(page: Page) -> None:
    assert "Not done Not measured in this run." in page.text
    assert ["not measured", "–", "–", "–", "–", "–"] in page.rows


def test_every_chart_has_both_schemes_and_says_what_it_is(page: Page) -> None:
    assert len(page.all("img")) == len(page.all("source")) == 13
    for image, dark in zip(page.all("img"), page.all("source"), strict=True):
        assert image.attributes["alt"]
        assert image.attributes["src"] != dark.attributes["srcset"]
        assert "dark" in (dark.attributes["media"] or "")


def test_run_without_measurements_gives_a_page_that_says_so() -> None:
    page = Page(render_page(empty()))
    assert "Nothing was measured in this run." in page.text
    assert not page.all("table")


def test_whatever_a_text_contains_is_text() -> None:
    results = Results(
        command=HOSTILE,
        date=HOSTILE,
        commit=HOSTILE,
        machine={HOSTILE: HOSTILE},
        peers={HOSTILE: HOSTILE},
        operations=[OperationInfo("x", HOSTILE, HOSTILE, HOSTILE, ("mb_per_s", HOSTILE))],
        samples=[Sample("x", HOSTILE, 0, {"mb_per_s": 1.0, HOSTILE: 2.0}, None, (HOSTILE,))],
        figures=[Figure(HOSTILE, HOSTILE, HOSTILE, False)],
    )
    page = Page(render_page(results))
    assert not page.all("script")
    assert page.all("pre")[0].text == HOSTILE
    assert page.text.count(HOSTILE) >= 12


def test_peer_that_nobody_foresaw_has_its_column() -> None:
    results = made_up_results("produce_1k")
    more = replace(results.samples[0], peer="redpanda", metrics={"mb_per_s": 77.0})
    results.samples.append(more)
    page = Page(render_page(results))
    assert page.row("produce 1000 B, acks=all", "throughput")[-2:] == ["77", "2.00× better"]


def test_run_of_one_peer_has_no_ratio() -> None:
    results = made_up_results("start")
    results.samples = [sample for sample in results.samples if sample.peer == "barnabas"]
    results.peers = {"barnabas": "defaults"}
    page = Page(render_page(results))
    assert page.row("start with no topics", "memory")[1:] == ["–"]
