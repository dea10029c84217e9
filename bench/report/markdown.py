"""The report as Markdown, for a repository's own pages: the same tables, pictures in files."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from bench.report.charts import Chart, charts_of
from bench.report.numbers import (
    DASH,
    format_date,
    format_median,
    format_range,
    format_ratio,
    one_line,
)
from bench.report.summary import (
    Cell,
    Chapter,
    Row,
    chapters_of,
    explanations_of,
    figure_state,
    figure_title,
    peer_title,
    symbol_of,
)
from bench.results import Results

# What Markdown or its HTML would take for more than text. Underscores inside a word are safe.
SPECIAL = re.compile(r"[\\`*\[\]|~<>&$]|(?<![^\W_])_|_(?![^\W_])")
HTML = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def write_markdown(results: Results, path: Path, pictures: Path) -> None:
    """Writes the page, and its charts into the directory `pictures`, which it links to."""
    pictures.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    charts = charts_of(results)
    for chart in (chart for group in charts.values() for chart in group):
        chart.write_png(pictures)
    prefix = Path(os.path.relpath(pictures, path.parent)).as_posix()
    path.write_text("\n".join(_lines(results, charts, prefix)) + "\n")


def escape(text: str) -> str:
    """Text as Markdown that shows it, in one line."""
    return SPECIAL.sub(lambda match: HTML.get(match[0], f"\\{match[0]}"), one_line(text))


def _lines(results: Results, charts: dict[str, list[Chart]], prefix: str) -> Iterator[str]:
    yield from ("# Benchmarks", "", *_code_block(results.command), "")
    yield f"On {escape(format_date(results.date))}, commit {escape(results.commit)}."
    if not results.samples:
        yield from ("", "**Nothing was measured in this run.**")
    peers = {peer_title(peer): text for peer, text in results.peers.items()}
    for title, facts in (("Machine", results.machine), ("Peers", peers)):
        if facts:
            yield from ("", f"{title}:", "")
            yield from (f"- {escape(name)}: {escape(fact)}" for name, fact in facts.items())
    yield from _figures(results)
    for chapter in chapters_of(results):
        yield from ("", f"## {escape(chapter.title)}", "")
        for chart in charts[chapter.title]:
            yield from (f"![{escape(chart.alt)}]({quote(f'{prefix}/{chart.name}.png')})", "")
        yield from _table(chapter)
    yield from ("", "## How to read this", "")
    yield from (f"- {escape(line)}" for line in explanations_of(results))


def _code_block(text: str) -> Iterator[str]:
    """A fence longer than any in the text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (fence, text, fence)


def _figures(results: Results) -> Iterator[str]:
    if not results.figures:
        return
    yield from ("", "## Figures aimed at", "")
    yield from ("| operation | target | measured | outcome |", "|---|---|---|---|")
    for figure in results.figures:
        state = figure_state(figure)
        texts = (figure_title(results, figure), figure.target, figure.measured or DASH)
        yield f"| {' | '.join(map(escape, texts))} | {symbol_of(state)} {state} |"


def _table(chapter: Chapter) -> Iterator[str]:
    if not chapter.is_measured:
        yield from ("Not measured in this run.", "")
    heads = ["operation", "metric", *(escape(peer_title(p)) for p in chapter.peers)]
    yield f"| {' | '.join([*heads, 'Barnabas / Kafka'])} |"
    yield f"|---|---|{'---:|' * (len(chapter.peers) + 1)}"
    for block in chapter.blocks:
        title = escape(block.operation.title)
        if not block.rows:
            yield f"| {title} | {' | '.join([DASH] * (len(chapter.peers) + 2))} |"
        for row in block.rows:
            unit = f", {row.metric.unit}" if row.metric.unit else ""
            cells = [escape(f"{row.metric.title}{unit}"), *(_cell(c, row) for c in row.cells)]
            yield f"| {title} | {' | '.join([*cells, _ratio(row)])} |"
            title = ""  # said once
    if chapter.notes:
        yield ""
        yield from (f"{n}. {escape(note)}" for n, note in enumerate(chapter.notes, 1))


def _cell(cell: Cell, row: Row) -> str:
    notes = f"<sup>{', '.join(map(str, cell.notes))}</sup>" if cell.notes else ""
    if cell.spread is None:
        return DASH + notes
    extent = format_range(cell.spread, row.metric)
    return f"{format_median(cell.spread, row.metric)}{notes}{f' ({extent})' if extent else ''}"


def _ratio(row: Row) -> str:
    return f"{format_ratio(row.ratio.value)} {row.ratio.verdict}" if row.ratio else DASH
