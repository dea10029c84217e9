"""Lines: a metric along an axis (partitions, connections, …), and latency by percentile.

A line is the median of the repetitions, one a peer, in a band from the smallest to the largest.
"""

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray

from bench.report.numbers import Spread, format_axis_value, one_line
from bench.report.style import (
    BAND,
    SMALL_PT,
    Canvas,
    Theme,
    better_text,
    drawing,
    is_log,
    look_of,
    scale_axis,
)
from bench.results import Metric

BODY_IN = 2.7
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999)
MOST_TICKS = 9

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One peer: places on the x axis, ascending, and the spread at each."""

    peer: str
    x: Floats
    median: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class CurveChart:
    """A metric against an axis. REQUIRES two places or more on the axis."""

    title: str
    metric: Metric
    axis: str
    lines: list[Line]
    is_noted: bool = False


@dataclass(frozen=True)
class PercentileChart:
    """Latency by percentile. REQUIRES a line."""

    title: str
    lines: list[Line]


def line_of(peer: str, points: list[tuple[float, Spread]]) -> Line:
    """A line through the points, which come in any order."""
    ordered = sorted(points, key=lambda point: point[0])
    columns = [(x, s.median, s.low, s.high) for x, s in ordered]
    return Line(peer, *np.array(columns, dtype=np.float64).T)


def percentile_line(peer: str, repetitions: list[list[tuple[float, float]]]) -> Line | None:
    """The repetitions on one grid, as far as all of them reach; None when that is nowhere.

    The grid is in HDR's scale, `-log10(1 - percentile / 100)`: as far from 90 to 99 as from there
    to 99.9. The 100th percentile has no place on it.
    """
    scaled = [_scaled(points) for points in repetitions]
    scaled = [curve for curve in scaled if len(curve[0])]
    if not scaled:
        return None
    first = max(x[0] for x, _ in scaled)
    last = min(x[-1] for x, _ in scaled)
    grid = np.unique(np.concatenate([x for x, _ in scaled]))
    grid = grid[(grid >= first) & (grid <= last)]
    if not len(grid):
        return None
    values = np.array([np.interp(grid, x, ms) for x, ms in scaled])
    return Line(peer, grid, np.median(values, axis=0), values.min(axis=0), values.max(axis=0))


def _scaled(points: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    kept = sorted((p, ms) for p, ms in points if 0 <= p < 100 and math.isfinite(ms))
    percentiles = np.array([p for p, _ in kept], dtype=np.float64)
    return hdr_scale(percentiles), np.array([ms for _, ms in kept], dtype=np.float64)


def hdr_scale(percentiles: Floats) -> Floats:
    """Where percentiles below 100 lie."""
    return -np.log10(1 - percentiles / 100)


def draw_curves(chart: CurveChart, theme: Theme) -> Figure:
    """The chart in the theme's colours."""
    hint = f"{better_text(chart.metric)} · median, band from the smallest to the largest repetition"
    with drawing():
        canvas = Canvas(theme, one_line(chart.title), hint, BODY_IN)
        unit = chart.metric.unit or chart.metric.title
        _draw_lines(canvas, chart.lines, unit)
        places = sorted({float(x) for line in chart.lines for x in line.x})
        if places[0] > 0:
            canvas.axes.set_xscale("log")
        else:
            nearest = min((abs(place) for place in places if place), default=1.0)
            canvas.axes.set_xscale("symlog", linthresh=nearest)
            canvas.axes.set_xlim(places[0] - nearest / 5, places[-1] * 1.5)
        ticks = places[:: math.ceil(len(places) / MOST_TICKS)]
        canvas.axes.xaxis.set_major_locator(FixedLocator(ticks))
        canvas.axes.xaxis.set_minor_locator(NullLocator())
        canvas.axes.xaxis.set_major_formatter(FixedFormatter([format_axis_value(t) for t in ticks]))
        _name_x(canvas, f"{one_line(chart.axis)} (log scale)")
        if chart.is_noted:
            canvas.footnote("see the notes under the table")
        return canvas.figure


def draw_percentiles(chart: PercentileChart, theme: Theme) -> Figure:
    """The chart in the theme's colours."""
    hint = "less is better · median, band from the smallest to the largest repetition"
    with drawing():
        canvas = Canvas(theme, one_line(chart.title), hint, BODY_IN)
        first = float(hdr_scale(np.array([PERCENTILES[0]]))[0])
        lines = [_from(line, first) for line in chart.lines]
        places = hdr_scale(np.array(PERCENTILES))
        _draw_lines(canvas, lines, "ms", markers_at=places)
        last = max(float(line.x[-1]) for line in lines)
        start = min(float(line.x[0]) for line in lines)
        shown = [i for i, x in enumerate(places) if start - 1e-9 <= x <= last + 1e-9]
        canvas.axes.xaxis.set_major_locator(FixedLocator([float(places[i]) for i in shown]))
        canvas.axes.xaxis.set_major_formatter(
            FixedFormatter([f"{PERCENTILES[i]:g}" for i in shown])
        )
        _name_x(canvas, "percentile")
        return canvas.figure


def _from(line: Line, first: float) -> Line:
    """Without what lies before `first`, unless all does."""
    kept = line.x >= first - 1e-9
    if not kept.any():
        return line
    return Line(line.peer, line.x[kept], line.median[kept], line.low[kept], line.high[kept])


def _draw_lines(
    canvas: Canvas, lines: list[Line], unit: str, *, markers_at: Floats | None = None
) -> None:
    """Markers at the points of a line, or at the given places along it."""
    axes, theme = canvas.axes, canvas.theme
    for depth, line in enumerate(reversed(lines)):  # the first peer on top
        look = look_of(line.peer, theme)
        axes.fill_between(
            line.x, line.low, line.high, color=look.color, alpha=BAND, linewidth=0, zorder=2
        )
        axes.plot(line.x, line.median, zorder=3 + depth, **look.line)
        if not look.marker:
            continue
        marked = line.x if markers_at is None or len(line.x) == 1 else markers_at
        marked = marked[(marked >= line.x[0] - 1e-9) & (marked <= line.x[-1] + 1e-9)]
        heights = np.interp(marked, line.x, line.median)
        axes.plot(marked, heights, look.marker, color=look.color, markersize=5, zorder=3 + depth)
    medians = [float(y) for line in lines for y in line.median]
    log = is_log(medians)
    highest = max(float(y) for line in lines for y in line.high)
    if log:
        lows = [float(y) for line in lines for y in line.low if y > 0]
        axes.set_ylim(min(lows) / 1.4, highest * 1.4)
    else:
        lowest = min(0.0, *(float(y) for line in lines for y in line.low))
        axes.set_ylim(lowest, lowest + (highest - lowest or 1.0) * 1.08)
    scale_axis(axes.yaxis, log=log)
    axes.grid(axis="both", color=theme.grid, linewidth=0.7)
    axes.annotate(
        f"{unit}, log scale" if log else unit,
        (0, 1),
        xytext=(-36, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        size=SMALL_PT,
        color=theme.faint,
    )
    canvas.legend([line.peer for line in lines], bars=False)


def _name_x(canvas: Canvas, name: str) -> None:
    canvas.axes.set_xlabel(name, size=SMALL_PT, color=canvas.theme.faint, loc="right", labelpad=2)
