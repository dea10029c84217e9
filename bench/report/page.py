"""The report as one HTML page that needs nothing beside it: no file, no network, no script."""

import base64
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from bench.report.charts import Chart, charts_of
from bench.report.numbers import DASH, format_date, format_median, format_range, format_ratio
from bench.report.style import DARK, LIGHT
from bench.report.summary import (
    FigureState,
    chapters_of,
    explanations_of,
    figure_state,
    figure_title,
    peer_title,
    peers_of,
    symbol_of,
)
from bench.results import Results

SHARPNESS = 2  # pixels of a picture per pixel of the page: phones' screens have two or three


@dataclass(frozen=True)
class Picture:
    """A chart in both colour schemes, as data URIs."""

    alt: str
    light: str
    dark: str
    width: int
    height: int


def render_page(results: Results) -> str:
    """The page's HTML."""
    states = Counter(figure_state(figure) for figure in results.figures)
    pictures = {
        group: [_picture(chart) for chart in charts] for group, charts in charts_of(results).items()
    }
    template = _environment().get_template("page.html.j2")
    return template.render(
        results=results,
        date=format_date(results.date),
        explanations=explanations_of(results),
        peers=peers_of(results),
        chapters=list(chapters_of(results)),
        pictures=pictures,
        figures=[(f, figure_title(results, f), figure_state(f)) for f in results.figures],
        figure_counts=[(state, states[state]) for state in FigureState if states[state]],
        light=LIGHT,
        dark=DARK,
        dash=DASH,
    )


def _picture(chart: Chart) -> Picture:
    light, dark = chart.png(LIGHT, scale=SHARPNESS), chart.png(DARK, scale=SHARPNESS)
    width, height = Image.open(io.BytesIO(light)).size
    return Picture(chart.alt, _data_uri(light), _data_uri(dark), width, height)


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        median=format_median,
        range=format_range,
        ratio=format_ratio,
        peer=peer_title,
        symbol=symbol_of,
    )
    return environment
