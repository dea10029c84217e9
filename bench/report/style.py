"""How charts look: two themes of one style, a fixed look per peer, and figures laid out in inches.

Colours keep their distance in hue and in lightness for the usual kinds of colour blindness, and
each peer has a marker and a line of its own besides. Matplotlib's state is touched only inside
`drawing()`.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import sub
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bench.report.numbers import LOG_SPAN
from bench.report.summary import REFERENCE, peer_title
from bench.results import Metric

WIDTH_IN = 6.2  # narrow enough that a phone shows the text at a size one can read
DPI = 110
COLOR_DISTANCE = 10  # of any two in a palette, in red, green or blue of 255
BAND = 0.16  # how much of a line's colour its band has
PALE = 0.4  # of the colour of a bar on a logarithmic scale
TITLE_PT, TEXT_PT, SMALL_PT = 11.0, 8.5, 7.5
HEAD_IN = 0.9  # title, what is better, legend


@dataclass(frozen=True)
class Theme:
    """The colours of a scheme."""

    paper: str
    ink: str
    faint: str
    grid: str
    reference: str
    peers: dict[str, str]
    spare: tuple[str, ...]  # for peers that nobody foresaw


LIGHT = Theme(
    paper="#ffffff",
    ink="#1c2127",
    faint="#5d6771",
    grid="#e3e7eb",
    reference="#3c444c",
    peers={"barnabas": "#d1480f", "kafka": "#3b6ea5", "tansu": "#58a495"},
    spare=("#b58fc2", "#c9b458"),
)
DARK = Theme(
    paper="#1a1e23",
    ink="#e8ebee",
    faint="#a0aab4",
    grid="#333a42",
    reference="#d5dade",
    peers={"barnabas": "#ff7a3d", "kafka": "#6ea3d6", "tansu": "#3f8f82"},
    spare=("#a77fb5", "#a8963f"),
)
MARKERS = {"barnabas": "o", "kafka": "s", "tansu": "^"}
SPARE_MARKERS = ("D", "v")


@dataclass(frozen=True)
class Look:
    """How one peer is drawn, in every chart alike."""

    title: str
    color: str
    marker: str
    width: float
    dashes: tuple[float, ...] = ()

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments of a line."""
        style = (0, self.dashes) if self.dashes else "-"
        return {"color": self.color, "linewidth": self.width, "linestyle": style}


def look_of(peer: str, theme: Theme) -> Look:
    """A peer's look; ours is the heaviest, the reference the thinnest."""
    title = peer_title(peer)
    if peer == REFERENCE:
        return Look(f"{title} (reference)", theme.reference, "", 1.0, (3.0, 2.0))
    if peer in theme.peers:
        width = 2.4 if peer == "barnabas" else 1.5
        return Look(title, theme.peers[peer], MARKERS[peer], width)
    place = sum(peer.encode()) % len(theme.spare)
    return Look(title, theme.spare[place], SPARE_MARKERS[place], 1.5, (6.0, 1.5))


@contextmanager
def drawing() -> Iterator[None]:
    """Where figures are made and written: same text and same files wherever it runs."""
    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": TEXT_PT,
        "text.parse_math": False,  # a dollar sign in a title is a dollar sign
    }
    with mpl.rc_context(settings):
        yield


@dataclass
class Canvas:
    """A figure with a head (title, hint, legend) and one pair of axes below it."""

    theme: Theme
    title: str
    hint: str
    body_in: float
    foot_in: float = 0.46
    left_in: float = 0.62
    right_in: float = 0.2
    figure: Figure = field(init=False)
    axes: Axes = field(init=False)

    def __post_init__(self) -> None:
        height = HEAD_IN + self.body_in + self.foot_in
        self.figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, facecolor=self.theme.paper)
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes(
            (
                self.left_in / WIDTH_IN,
                self.foot_in / height,
                1 - (self.left_in + self.right_in) / WIDTH_IN,
                self.body_in / height,
            ),
            facecolor=self.theme.paper,
        )
        self._write(self.title, 0.24, TITLE_PT, self.theme.ink, weight="bold")
        self._write(self.hint, 0.43, SMALL_PT, self.theme.faint)
        self._quieten()

    def _write(
        self, text: str, top_in: float, size: float, color: str, weight: str = "normal"
    ) -> None:
        height = self.figure.get_figheight()
        written = self.figure.text(
            0.12 / WIDTH_IN, 1 - top_in / height, text, color=color, size=size, weight=weight
        )
        widest = (WIDTH_IN - 0.3) * DPI
        while written.get_window_extent().width > widest and size > SMALL_PT:
            size -= 0.5
            written.set_fontsize(size)
        while written.get_window_extent().width > widest:
            text = text[:-1].rstrip()
            written.set_text(f"{text}…")

    def _quieten(self) -> None:
        for side in ("top", "right", "left"):
            self.axes.spines[side].set_visible(False)
        self.axes.spines["bottom"].set_color(self.theme.faint)
        self.axes.tick_params(
            colors=self.theme.faint, labelsize=SMALL_PT, length=0, which="both", pad=4
        )
        self.axes.set_axisbelow(True)

    def footnote(self, text: str) -> None:
        """A line in the left corner below."""
        x, y = 0.12 / WIDTH_IN, 0.1 / self.figure.get_figheight()
        self.figure.text(x, y, text, color=self.theme.faint, size=SMALL_PT)

    def legend(self, peers: list[str], *, bars: bool) -> None:
        """One entry a peer, in a line under the hint."""
        handles = [_legend_handle(look_of(peer, self.theme), bars) for peer in peers]
        legend = self.figure.legend(
            handles=handles,
            loc="center left",
            bbox_to_anchor=(0.12 / WIDTH_IN, 1 - 0.62 / self.figure.get_figheight()),
            ncols=max(1, len(handles)),
            frameon=False,
            fontsize=TEXT_PT,
            labelcolor=self.theme.ink,
            borderpad=0,
            borderaxespad=0,
            handlelength=1.6,
            handletextpad=0.5,
            columnspacing=1.6,
        )
        for text, peer in zip(legend.get_texts(), peers, strict=True):
            text.set_fontweight("bold" if peer == "barnabas" else "normal")


def _legend_handle(look: Look, is_bar: bool) -> Line2D:
    if is_bar and look.marker:
        return Line2D(
            [], [], color=look.color, linewidth=7, solid_capstyle="butt", label=look.title
        )
    return Line2D([], [], marker=look.marker, markersize=5, label=look.title, **look.line)


def mixed(color: str, paper: str, share: float) -> str:
    """The colour thinned with the paper's, opaque: no grid shines through."""
    (r, g, b), (paper_r, paper_g, paper_b) = to_rgb(color), to_rgb(paper)
    rest = 1 - share
    return to_hex(
        (r * share + paper_r * rest, g * share + paper_g * rest, b * share + paper_b * rest)
    )


def palette_of(theme: Theme) -> list[int]:
    """The theme's colours, then their steps to the paper: red, green and blue of each in turn.

    An exact palette, because one guessed from a picture loses the colours of small areas. Colours
    keep a distance: Pillow takes those that differ by less than four for one another.
    """
    whole = [theme.ink, theme.faint, theme.grid, theme.reference, *theme.peers.values()]
    whole += theme.spare
    palette: list[tuple[int, ...]] = []
    for share in (1.0, PALE, BAND, 0.8, 0.6, 0.28, 0.9, 0.7, 0.5):
        for name in (theme.paper, *(mixed(color, theme.paper, share) for color in whole)):
            color = tuple(bytes.fromhex(name[1:]))
            if all(max(map(abs, map(sub, color, c))) >= COLOR_DISTANCE for c in palette):
                palette.append(color)
    return [part for color in palette for part in color]


def better_text(metric: Metric) -> str:
    """Where the reader should wish the values to be."""
    return "more is better" if metric.is_higher_better else "less is better"


def is_log(values: list[float]) -> bool:
    """Whether the values need a logarithmic scale, and allow for one."""
    positive = [value for value in values if value > 0]
    return len(positive) == len(values) > 1 and max(positive) > LOG_SPAN * min(positive)


def scale_axis(axis: Axis, *, log: bool) -> None:
    """Plain numbers as ticks, never powers, and few of them; `log` only where all are positive."""
    if log:
        set_scale = axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale
        set_scale("log")
        low, high = sorted(axis.get_view_interval())
        decades = math.log10(high / low)
        subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0, 3.0) if decades < 3.5 else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs))
    else:
        axis.set_major_locator(MaxNLocator(5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def tick_text(value: float) -> str:
    """`0.005`, `2,500`, `25k`, `3M`."""
    for factor, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if abs(value) >= max(factor, 10**4):
            return f"{value / factor:.4g}{letter}"
    return f"{value:,.6g}"
