"""The Markdown and the command: tables like the page's, links to pictures that exist."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from bench.report import write_markdown, write_report
from bench.report.__main__ import main
from bench.report.markdown import escape
from bench.results import Figure, OperationInfo, Results, Sample

from unit.bench_report.made_up import made_up_results


def links(text: str) -> list[str]:
    return re.findall(r"^!\[.*\]\((.*)\)$", text, re.MULTILINE)


def test_links_lead_to_the_pictures_written(tmp_path: Path) -> None:
    path, pictures = tmp_path / "docs" / "RESULTS.md", tmp_path / "all (pictures)"
    write_markdown(made_up_results(), path, pictures)
    found = {(path.parent / unquote(link)).resolve() for link in links(path.read_text())}
    assert found == set(pictures.iterdir())
    assert len(found) == 13


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("report")
    write_markdown(made_up_results(), directory / "RESULTS.md", directory)
    return (directory / "RESULTS.md").read_text()


def test_exact_command_stands_on_top(text: str) -> None:
    assert text.splitlines()[2:5] == ["```", made_up_results().command, "```"]


def test_tables_have_medians_ranges_ratios_dashes_and_notes(text: str) -> None:
    rows = [line for line in text.splitlines() if "throughput, MB/s" in line]
    assert re.fullmatch(
        r"\| fetch 1000 B, one consumer \| throughput, MB/s \| 466<sup>1</sup> \(\d+ – \d+\) "
        r"\| 331 \(\d+ – \d+\) \| – \| 1,890 \([\d,]+ – [\d,]+\) \| 1.41× better \|",
        rows[1],
    )
    assert "1. the client was the bottleneck" in text


def test_rows_have_as_many_cells_as_their_heads(text: str) -> None:
    widths = [
        {line.count("|") for line in table.splitlines()}
        for table in text.split("\n\n")
        if table.startswith("|")
    ]
    assert len(widths) == 6
    assert all(len(width) == 1 for width in widths)


def test_figures_have_their_outcome_in_words(text: str) -> None:
    assert "| at most 0.2 CPU-s/GB | 0.25 CPU-s/GB | ✗ not reached |" in text
    assert "| 10,000 transactions a second | – | – not measured |" in text


def test_whatever_a_text_contains_is_text(tmp_path: Path) -> None:
    hostile = "<img src=x> | a * b\n# `head` [l](u)"
    results = Results(
        command="echo ```; true",
        date="yesterday",
        commit="c",
        machine={"m": hostile},
        peers={"kafka": hostile},
        operations=[OperationInfo("x", hostile, hostile, "", ("mb_per_s",))],
        samples=[Sample("x", "kafka", 0, {"mb_per_s": 1.0}, None, (hostile,))],
        figures=[Figure(hostile, hostile, hostile, None)],
    )
    write_markdown(results, tmp_path / "r.md", tmp_path)
    text = (tmp_path / "r.md").read_text()
    assert "````\necho ```; true\n````" in text
    assert "<img" not in text
    assert text.count("&lt;img src=x&gt; \\| a \\* b # \\`head\\` \\[l\\](u)") >= 7


def test_words_with_underscores_stay_readable() -> None:
    assert escape("max_bytes is _not_ 5") == "max_bytes is \\_not\\_ 5"


def test_run_without_measurements_says_so(tmp_path: Path) -> None:
    write_report(Results("true", "", "", {}, {}), tmp_path)
    assert "Nothing was measured in this run." in (tmp_path / "RESULTS.md").read_text()
    assert list((tmp_path / "pictures").iterdir()) == []


def test_command_writes_what_it_was_asked_for(tmp_path: Path) -> None:
    made_up_results("start", "idle").save(tmp_path / "run.json")
    markdown, pictures = tmp_path / "RESULTS.md", tmp_path / "shots"
    arguments = ["--out", str(tmp_path / "out"), "--markdown", str(markdown)]
    assert main([str(tmp_path / "run.json"), *arguments, "--pictures", str(pictures)]) == 0
    assert (tmp_path / "out" / "index.html").is_file()
    assert all(link.startswith("shots/") for link in links(markdown.read_text()))
    assert len(list(pictures.iterdir())) == 3


def test_pictures_without_markdown_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["run.json", "--out", str(tmp_path), "--pictures", str(tmp_path)])
