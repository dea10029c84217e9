"""Horizontal bars: one metric of the operations of a group, a bar per peer.

A bar is the median; its whisker runs from the smallest repetition to the largest. The kernel is no
competitor: it is a thin line through an operation's bars. On a logarithmic scale a length means
nothing, so the bars fade and a marker shows the place.
"""

import textwrap
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from bench.report.numbers import DASH, Spread, format_median, one_line
from bench.report.style import (
    DPI,
    PALE,
    SMALL_PT,
    TEXT_PT,
    WIDTH_IN,
    Canvas,
    Theme,
    better_text,
    drawing,
    is_log,
    look_of,
    mixed,
    scale_axis,
)
from bench.report.summary import REFERENCE
from bench.results import Metric

BAR_IN, GAP_IN, REFERENCE_IN, BETWEEN_IN = 0.17, 0.04, 0.15, 0.17
LABEL_WIDTH = 24  # characters of an operation's title in a line
MOST_LABEL_LINES = 3


@dataclass(frozen=True)
class Bar:
    """One peer's bar; without a spread it is a dash."""

    spread: Spread | None
    is_noted: bool = False


@dataclass(frozen=True)
class BarBand:
    """The bars of one operation, by peer."""

    label: str
    bars: dict[str, Bar]


@dataclass(frozen=True)
class BarChart:
    """What the chart shows. REQUIRES at least one spread."""

    title: str
    metric: Metric
    bands: list[BarBand]

    def peers(self) -> list[str]:
        """Those with any bar, in order."""
        named = dict.fromkeys(peer for band in self.bands for peer in band.bars)
        return [p for p in named if any(band.bars[p].spread for band in self.bands)]

    def spreads(self) -> list[Spread]:
        """All there are."""
        bars = [bar.spread for band in self.bands for bar in band.bars.values()]
        return [spread for spread in bars if spread]

    @property
    def is_noted(self) -> bool:
        return any(bar.is_noted and bar.spread for b in self.bands for bar in b.bars.values())


def draw_bars(chart: BarChart, theme: Theme) -> Figure:
    """The chart in the theme's colours."""
    with drawing():
        return _draw(chart, theme)


def _draw(chart: BarChart, theme: Theme) -> Figure:
    labels = [_label(band.label) for band in chart.bands]
    peers = chart.peers()
    competitors = [peer for peer in peers if peer != REFERENCE]
    bars_in = max(1, len(competitors)) * (BAR_IN + GAP_IN)
    reference_in = REFERENCE_IN if REFERENCE in peers else 0.0
    heights = [
        max(bars_in + reference_in, (label.count("\n") + 1) * TEXT_PT * 1.25 / 72) + BETWEEN_IN
        for label in labels
    ]
    log = is_log([s.median for s in chart.spreads()])
    canvas = Canvas(
        theme,
        one_line(chart.title),
        hint_of(chart.metric),
        body_in=sum(heights),
        left_in=_label_width_in(labels, theme) + 0.24,
    )
    axes = canvas.axes
    axes.set_ylim(sum(heights), 0)  # inches from the top
    low, high = _limits(chart, log)
    axes.set_xlim(low, high)
    scale_axis(axes.xaxis, log=log)
    axes.set_yticks([])
    axes.grid(axis="x", color=theme.grid, linewidth=0.7)
    top = 0.0
    for band, label, height in zip(chart.bands, labels, heights, strict=True):
        _draw_band(canvas, chart.metric, band, competitors, top + BETWEEN_IN / 2)
        middle = top + BETWEEN_IN / 2 + bars_in / 2
        _write_label(axes, theme, label, max(middle, top + _lines_in(label) / 2))
        top += height
    unit = f"{chart.metric.unit or chart.metric.title}{', log scale' if log else ''}"
    axes.set_xlabel(unit, size=SMALL_PT, color=theme.faint, loc="right", labelpad=2)
    if chart.is_noted:
        canvas.footnote("* see the notes under the table")
    canvas.legend(peers, bars=True)
    return canvas.figure


def hint_of(metric: Metric) -> str:
    """What the reader should look for."""
    return f"{better_text(metric)} · median, whiskers from the smallest to the largest repetition"


def _label(title: str) -> str:
    lines = textwrap.wrap(
        one_line(title), LABEL_WIDTH, max_lines=MOST_LABEL_LINES, placeholder=" …"
    )
    return "\n".join(lines)


def _lines_in(label: str) -> float:
    return (label.count("\n") + 1) * TEXT_PT * 1.25 / 72


def _label_width_in(labels: list[str], theme: Theme) -> float:
    figure = Canvas(theme, "", "", body_in=1).figure
    widths = [figure.text(0, 0, t, size=TEXT_PT).get_window_extent().width for t in labels]
    return max(widths) / DPI


def _write_label(axes: Axes, theme: Theme, label: str, y: float) -> None:
    axes.text(
        -0.1 / (axes.get_position().width * WIDTH_IN),
        y,
        label,
        transform=blended_transform_factory(axes.transAxes, axes.transData),
        ha="right",
        va="center",
        color=theme.ink,
        size=TEXT_PT,
    )


def _limits(chart: BarChart, log: bool) -> tuple[float, float]:
    """Room at the right for the longest whisker's value."""
    spreads = chart.spreads()
    high = max(spread.high for spread in spreads)
    if log:
        low = min(s.low if s.low > 0 else s.median for s in spreads) / 2
        return low, high * (high / low) ** 0.22
    low = min(0.0, *(spread.low for spread in spreads)) * 1.1
    return low, (high - low or 1.0) * 1.18 + low


def _draw_band(
    canvas: Canvas, metric: Metric, band: BarBand, competitors: list[str], top: float
) -> None:
    axes, theme = canvas.axes, canvas.theme
    log = axes.get_xscale() == "log"
    base = axes.get_xlim()[0] if log else 0.0
    for i, peer in enumerate(competitors):
        y = top + i * (BAR_IN + GAP_IN) + BAR_IN / 2
        bar, look = band.bars[peer], look_of(peer, theme)
        if bar.spread is None:
            _write_value(axes, theme, DASH, base, y, color=theme.faint)
            continue
        spread = bar.spread
        color = mixed(look.color, theme.paper, PALE) if log else look.color
        axes.barh(y, spread.median - base, BAR_IN, left=base, color=color, linewidth=0)
        if log:
            axes.plot(spread.median, y, look.marker, color=look.color, markersize=5.5, zorder=5)
        if spread.high > spread.low:
            _draw_whisker(axes, theme, spread, y)
        text = format_median(spread, metric) + ("*" if bar.is_noted else "")
        weight = "bold" if peer == "barnabas" else "normal"
        _write_value(axes, theme, text, max(spread.high, base), y, weight=weight)
    reference = band.bars.get(REFERENCE)
    if reference and reference.spread:
        bottom = top + max(1, len(competitors)) * (BAR_IN + GAP_IN) - GAP_IN
        _draw_reference(axes, theme, metric, reference, (top, bottom))


def _draw_whisker(axes: Axes, theme: Theme, spread: Spread, y: float) -> None:
    left = max(spread.low, axes.get_xlim()[0])
    cap = BAR_IN * 0.22
    style: dict[str, Any] = {
        "color": theme.ink,
        "linewidth": 0.9,
        "zorder": 4,
        "solid_capstyle": "butt",
    }
    axes.plot([left, spread.high], [y, y], **style)
    for x in (left, spread.high):
        axes.plot([x, x], [y - cap, y + cap], **style)


def _draw_reference(
    axes: Axes, theme: Theme, metric: Metric, bar: Bar, extent: tuple[float, float]
) -> None:
    assert bar.spread is not None
    look = look_of(REFERENCE, theme)
    top, bottom = extent
    x = bar.spread.median
    axes.plot([x, x], [top - 0.03, bottom + REFERENCE_IN], zorder=3, **look.line)
    text = format_median(bar.spread, metric) + ("*" if bar.is_noted else "")
    low, high = axes.get_xlim()
    is_far_right = x > low + (high - low) * 0.85 and axes.get_xscale() == "linear"
    axes.annotate(
        text,
        (x, bottom + REFERENCE_IN / 2 + 0.03),
        xytext=(-3 if is_far_right else 3, 0),
        textcoords="offset points",
        ha="right" if is_far_right else "left",
        va="center",
        size=SMALL_PT,
        color=theme.faint,
    )


def _write_value(axes: Axes, theme: Theme, text: str, x: float, y: float, **changes: Any) -> None:
    style = {"color": theme.ink, "size": SMALL_PT, "va": "center_baseline", "zorder": 6, **changes}
    box = {"boxstyle": "square,pad=0.12", "facecolor": theme.paper, "linewidth": 0}
    axes.annotate(text, (x, y), xytext=(4, 0), textcoords="offset points", bbox=box, **style)
