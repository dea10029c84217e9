"""What a report says, before it is a page or Markdown: chapters, their tables, cells and notes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from bench.figures import WIDE
from bench.report.numbers import DASH, LOG_SPAN, Spread, metric_of, slug, spread_of, unique
from bench.results import PEERS, Figure, Metric, OperationInfo, Results

PEER_TITLES = {
    "barnabas": "Barnabas",
    "kafka": "Apache Kafka",
    "tansu": "Tansu",
    "kernel": "Kernel",
}
OURS, RIVAL = "barnabas", "kafka"  # the two of the ratio
REFERENCE = "kernel"  # no broker: what the operating system alone takes for the same bytes


class Verdict(StrEnum):
    """How ours compares with the rival's, in words, because colour alone says nothing."""

    BETTER = "better"
    WORSE = "worse"
    ALIKE = "within the spread"


@dataclass(frozen=True)
class Ratio:
    """Ours over the rival's, of medians."""

    value: float
    verdict: Verdict


@dataclass(frozen=True)
class Cell:
    """One peer's repetitions of one metric, and the numbers of the notes on them."""

    peer: str
    spread: Spread | None
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """One metric of an operation."""

    metric: Metric
    cells: list[Cell]
    ratio: Ratio | None


@dataclass(frozen=True)
class Block:
    """One operation; no rows when nothing of it was measured."""

    operation: OperationInfo
    rows: list[Row]


@dataclass
class Chapter:
    """One group of operations."""

    title: str
    anchor: str
    peers: list[str]
    blocks: list[Block] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # note n is notes[n - 1]

    @property
    def is_measured(self) -> bool:
        return any(c.spread for block in self.blocks for row in block.rows for c in row.cells)


class FigureState(StrEnum):
    """What became of a figure, in words."""

    REACHED = "reached"
    MISSED = "not reached"
    UNDECIDED = "undecided"
    UNKNOWN = "not measured"


def peer_title(peer: str) -> str:
    """A peer's name as readers know it."""
    return PEER_TITLES.get(peer, peer)


def peers_of(results: Results) -> list[str]:
    """Every peer that was described or measured, in the order of PEERS, unknown ones last."""
    named = dict.fromkeys([*results.peers, *(sample.peer for sample in results.samples)])
    return [p for p in PEERS if p in named] + [p for p in named if p not in PEERS]


def shown_metrics(operations: list[OperationInfo]) -> list[str]:
    """The metrics that any of the operations shows, the most telling first."""
    return list(dict.fromkeys(name for operation in operations for name in operation.shown))


def ratio_of(ours: Spread | None, rival: Spread | None, metric: Metric) -> Ratio | None:
    """None when either is missing, or the rival's is nothing to divide by."""
    if ours is None or rival is None or rival.median == 0:
        return None
    value = ours.median / rival.median
    if ours.overlaps(rival):
        return Ratio(value, Verdict.ALIKE)
    is_better = (ours.median > rival.median) == metric.is_higher_better
    return Ratio(value, Verdict.BETTER if is_better else Verdict.WORSE)


def figure_state(figure: Figure) -> FigureState:
    """The state that `is_reached` stands for."""
    if not figure.is_decided:
        return FigureState.UNDECIDED
    if figure.is_reached is None:
        return FigureState.UNKNOWN
    return FigureState.REACHED if figure.is_reached else FigureState.MISSED


def symbol_of(state: FigureState) -> str:
    """A sign to find the state by."""
    signs = {FigureState.REACHED: "✓", FigureState.MISSED: "✗", FigureState.UNDECIDED: "?"}
    return signs.get(state, DASH)


def figure_title(results: Results, figure: Figure) -> str:
    """The title of the figure's operation; what it is called when there is no such operation."""
    titles = {operation.id: operation.title for operation in results.operations}
    return titles.get(figure.operation, figure.operation)


def notes_on(results: Results, operation: str, peer: str) -> list[str]:
    """The notes of an operation's repetitions; those not on all of them say on how many."""
    samples = [s for s in results.samples if (s.operation, s.peer) == (operation, peer)]
    counts = Counter(note for sample in samples for note in dict.fromkeys(sample.notes))
    return [
        note if count == len(samples) else f"{note} (in {count} of {len(samples)} repetitions)"
        for note, count in counts.items()
    ]


def chapters_of(results: Results) -> Iterator[Chapter]:
    """One chapter per group, in the list's order."""
    peers = peers_of(results)
    anchors: set[str] = set()
    for title, operations in results.groups():
        chapter = Chapter(title, unique(slug(title), anchors), peers)
        for operation in operations:
            rows = list(_rows(results, operation, peers, chapter.notes))
            chapter.blocks.append(Block(operation, rows))
        yield chapter


def _rows(
    results: Results, operation: OperationInfo, peers: list[str], notes: list[str]
) -> Iterator[Row]:
    """The metrics that any peer has; what is noted on them is added to `notes`."""
    numbers: dict[str, tuple[int, ...]] = {}
    for peer in peers:
        texts = notes_on(results, operation.id, peer)
        notes.extend(text for text in texts if text not in notes)
        numbers[peer] = tuple(notes.index(text) + 1 for text in texts)
    names = list(dict.fromkeys(operation.shown))
    table = {
        name: {peer: spread_of(results.values(operation.id, peer, name)) for peer in peers}
        for name in names
    }
    kept = [name for name in names if any(table[name].values())]
    if not kept and any(numbers.values()):
        kept = names[:1]  # dashes, and the notes that say why
    measured = {peer for name in kept for peer, spread in table[name].items() if spread}
    for name in kept:
        cells = [
            Cell(peer, spread, numbers[peer] if spread or peer not in measured else ())
            for peer, spread in table[name].items()
        ]
        metric = metric_of(name)
        yield Row(metric, cells, ratio_of(table[name].get(OURS), table[name].get(RIVAL), metric))


def repetitions_text(results: Results) -> str:
    """`5 repetitions`, or `3 to 5 repetitions` when not all were repeated alike."""
    counts = Counter((sample.operation, sample.peer) for sample in results.samples).values()
    if not counts:
        return "no repetitions"
    low, high = min(counts), max(counts)
    many = f"{low}" if low == high else f"{low} to {high}"
    return f"{many} repetition{'' if high == 1 else 's'}"


def explanations_of(results: Results) -> list[str]:
    """How to read what the run measured, a sentence or two each, the same for page and Markdown."""
    lines = [
        f"Numbers are medians of {repetitions_text(results)}; with them stand the smallest and the "
        "largest. Whiskers and bands in charts run from the smallest to the largest as well.",
        "A GB is 10^9 bytes and an MB 10^6: of batches as they cross the wire with `barnabas "
        "bench`, of values with other clients.",
        f"What was not measured, or cannot be, is a dash: {DASH}.",
        f"A figure is undecided when a peer's largest repetition is more than {WIDE:g} times its "
        "smallest, and the limit lies between the ratios that the repetitions allow.",
        "Barnabas / Kafka divides the medians. When the repetitions of the two overlap, the "
        "difference is called within the spread; otherwise it is better or worse for Barnabas.",
        "Charts say so where a scale is logarithmic, which it is when the largest median is more "
        f"than {LOG_SPAN:.0f} times the smallest. Bars are pale there: only their ends count.",
    ]
    if REFERENCE in peers_of(results):
        lines.append(
            "The kernel is a reference and no competitor: the same bytes without a broker. Charts "
            "show it as a thin line."
        )
    return lines
