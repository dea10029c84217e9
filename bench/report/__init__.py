"""What a run measured, for readers: a page, Markdown, charts.

    python -m bench.report RESULTS.json --out DIR [--markdown FILE --pictures DIR]

`numbers` and `summary` say what there is to tell; `style`, `bars`, `curves` and `charts` draw it;
`page` and `markdown` write it. Everything comes from the `Results`: nothing is measured here.
"""

from pathlib import Path

from bench.report.markdown import write_markdown
from bench.report.page import render_page
from bench.results import Results

PAGE, MARKDOWN, PICTURES = "index.html", "RESULTS.md", "pictures"

__all__ = ["write_markdown", "write_report"]


def write_report(results: Results, directory: Path) -> None:
    """Writes the page, the same as Markdown, and the charts as PNG files into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / PAGE).write_text(render_page(results))
    write_markdown(results, directory / MARKDOWN, directory / PICTURES)
