"""Which charts a run has, what they are called, and their files.

Per group and shown metric: a curve where operations share an axis, bars for the others. Per
operation with percentiles: latency by percentile.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from bench.report.bars import Bar, BarBand, BarChart, draw_bars
from bench.report.curves import (
    CurveChart,
    PercentileChart,
    draw_curves,
    draw_percentiles,
    line_of,
    percentile_line,
)
from bench.report.numbers import metric_of, slug, spread_of, unique
from bench.report.style import DPI, LIGHT, Theme, drawing, palette_of
from bench.report.summary import notes_on, peers_of, shown_metrics
from bench.results import OperationInfo, Results


@dataclass(frozen=True)
class Chart:
    """One picture, drawn when asked for."""

    name: str  # of its file, without a suffix: ASCII, from the group and what is shown
    title: str
    kind: str  # what alternative text calls it
    draw: Callable[[Theme], Figure]

    @property
    def alt(self) -> str:
        return f"{self.kind}: {self.title}. The table of the chapter has the numbers."

    def png(self, theme: Theme, *, scale: int = 1) -> bytes:
        """The picture, `scale` times its pixels; the same bytes for the same results."""
        drawn, file = io.BytesIO(), io.BytesIO()
        with drawing():
            self.draw(theme).savefig(drawn, format="png", dpi=DPI * scale)
        # A palette takes a third of the bytes, and these are kept in the repository.
        palette = Image.new("P", (1, 1))
        palette.putpalette(palette_of(theme))
        picture = Image.open(drawn).convert("RGB")
        picture.quantize(palette=palette, dither=Image.Dither.NONE).save(
            file, format="png", optimize=True
        )
        return file.getvalue()

    def write_png(self, directory: Path) -> Path:
        """The picture for Markdown, in light colours."""
        path = directory / f"{self.name}.png"
        path.write_bytes(self.png(LIGHT))
        return path


def charts_of(results: Results) -> dict[str, list[Chart]]:
    """The charts of each group, in the order they are shown in."""
    taken: set[str] = set()
    charts: dict[str, list[Chart]] = {}
    for group, operations in results.groups():
        curves = _curves(operations)
        on_curves = {operation.id for curve in curves for operation in curve}
        others = [operation for operation in operations if operation.id not in on_curves]
        found = _bar_charts(results, group, others)
        for curve in curves:
            found += _curve_charts(results, group, curve, is_only=len(curves) == 1)
        found += _percentile_charts(results, group, operations)
        charts[group] = [
            Chart(unique(chart.name, taken), chart.title, chart.kind, chart.draw) for chart in found
        ]
    return charts


def _curves(operations: list[OperationInfo]) -> list[list[OperationInfo]]:
    """Operations on one axis with one load generator, when they have a place each on it."""
    by_axis: dict[tuple[str, str], list[OperationInfo]] = {}
    for operation in operations:
        if operation.axis is not None:
            by_axis.setdefault((operation.axis, operation.generator), []).append(operation)
    return [
        curve
        for curve in by_axis.values()
        if len(curve) > 1 and len({operation.axis_value for operation in curve}) == len(curve)
    ]


def _bar_charts(results: Results, group: str, operations: list[OperationInfo]) -> list[Chart]:
    charts = []
    for name in shown_metrics(operations):
        bands = [
            BarBand(operation.title, _bars(results, operation, name))
            for operation in operations
            if name in operation.shown
        ]
        bands = [band for band in bands if any(bar.spread for bar in band.bars.values())]
        if not bands:
            continue
        title = f"{group}: {metric_of(name).title}"
        draw = partial(draw_bars, BarChart(title, metric_of(name), bands))
        charts.append(Chart(f"{slug(group)}-{slug(name)}", title, "Bars", draw))
    return charts


def _bars(results: Results, operation: OperationInfo, metric: str) -> dict[str, Bar]:
    return {
        peer: Bar(
            spread_of(results.values(operation.id, peer, metric)),
            bool(notes_on(results, operation.id, peer)),
        )
        for peer in peers_of(results)
    }


def _curve_charts(
    results: Results, group: str, curve: list[OperationInfo], *, is_only: bool
) -> list[Chart]:
    axis = curve[0].axis or ""
    charts = []
    for name in shown_metrics(curve):
        lines, noted = [], False
        for peer in peers_of(results):
            spreads = {
                operation: spread_of(results.values(operation.id, peer, name))
                for operation in curve
                if name in operation.shown
            }
            points = [(o.axis_value, spread) for o, spread in spreads.items() if spread]
            noted |= any(notes_on(results, o.id, peer) for o, spread in spreads.items() if spread)
            if points:
                lines.append(line_of(peer, points))
        if len({float(x) for line in lines for x in line.x}) < 2:
            continue
        generator = "" if is_only else f" ({curve[0].generator})"
        title = f"{group}: {metric_of(name).title} by {axis}{generator}"
        draw = partial(draw_curves, CurveChart(title, metric_of(name), axis, lines, noted))
        file = f"{slug(group)}-{slug(name)}-by-{slug(axis)}"
        charts.append(Chart(file, title, "Curves", draw))
    return charts


def _percentile_charts(
    results: Results, group: str, operations: list[OperationInfo]
) -> list[Chart]:
    charts = []
    for operation in operations:
        lines = []
        for peer in peers_of(results):
            repetitions = [
                sample.percentiles_ms
                for sample in results.samples
                if (sample.operation, sample.peer) == (operation.id, peer) and sample.percentiles_ms
            ]
            line = percentile_line(peer, repetitions)
            if line:
                lines.append(line)
        if not lines:
            continue
        title = f"{operation.title}: latency by percentile"
        draw = partial(draw_percentiles, PercentileChart(title, lines))
        file = f"{slug(group)}-percentiles-{slug(operation.id)}"
        charts.append(Chart(file, title, "Curves", draw))
    return charts
