"""The figures that are to be reached: ratios and limits of one run's medians."""

import os
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.results import Figure, Results

WIDE = 1.5  # the largest of the repetitions over the smallest: they do not agree


@dataclass(frozen=True)
class Span:
    """A median, and the smallest and largest that the repetitions allow in its place."""

    median: float
    low: float
    high: float
    is_wide: bool = False  # some peer's repetitions do not agree

    def over(self, other: "Span") -> "Span | None":
        """The ratio; its ends pair the smallest with the largest."""
        if not (other.median and other.low and other.high):
            return None
        return Span(
            self.median / other.median,
            self.low / other.high,
            self.high / other.low,
            self.is_wide or other.is_wide,
        )


@dataclass(frozen=True)
class Bound:
    """One number and what it may be at most, or at least."""

    label: str
    span: Span | None  # None: not measured
    limit: float
    is_least: bool = False

    @property
    def value(self) -> float | None:
        return None if self.span is None else self.span.median

    @property
    def limit_text(self) -> str:
        number = f"{self.limit:,.3g}" if self.limit < 1000 else f"{self.limit:,g}"
        return f"{'≥' if self.is_least else '≤'} {number}"

    @property
    def holds(self) -> bool:
        return self.span is not None and self._allows(self.span.median)

    @property
    def is_decided(self) -> bool:
        """False where repetitions were far apart and the limit is between what they say."""
        span = self.span
        return span is None or not span.is_wide or self._allows(span.low) == self._allows(span.high)

    def _allows(self, value: float) -> bool:
        return value >= self.limit if self.is_least else value <= self.limit

    def __str__(self) -> str:
        measured = "–" if self.value is None else f"{self.value:,.3g}"
        if self.value is not None and abs(self.value) >= 1000:
            measured = f"{self.value:,.0f}"
        limit = f"({self.limit_text})"
        if self.span is None or self.is_decided:
            return f"{self.label} {measured} {limit}"
        between = f"undecided, {self.span.low:,.3g} – {self.span.high:,.3g}"
        return f"{self.label} {measured} {limit[:-1]}; {between})"


def figures(results: Results) -> list[Figure]:
    """All of them; those of which nothing was measured say so."""
    return [_figure(text, bounds(_Medians(results))) for text, bounds in _FIGURES]


def _figure(text: str, bounds: Iterable[Bound]) -> Figure:
    found = list(bounds)
    known = [bound for bound in found if bound.value is not None]
    return Figure(
        operation=text,
        target="; ".join(f"{bound.label} {bound.limit_text}" for bound in found),
        measured="; ".join(str(bound) for bound in known) or "–",
        is_reached=_is_reached(found),
        is_decided=all(bound.is_decided for bound in found)
        or any(bound.is_decided and not bound.holds for bound in known),
    )


def _is_reached(bounds: list[Bound]) -> bool | None:
    """One that does not hold decides; while one is not known or decided, the others do not."""
    if any(b.value is not None and b.is_decided and not b.holds for b in bounds):
        return False
    return None if any(b.value is None or not b.is_decided for b in bounds) else True


class _Medians:
    """Medians of a run, and ratios of them. None where something was not measured."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self.ids = [operation.id for operation in results.operations]

    def of(self, operation: str, metric: str, peer: str = "barnabas") -> Span | None:
        values = self._results.values(operation, peer, metric)
        if not values:
            return None
        low, high = min(values), max(values)
        return Span(statistics.median(values), low, high, is_wide=high > low * WIDE)

    def over(self, operation: str, metric: str, peer: str) -> Span | None:
        """Barnabas's over another's."""
        return _ratio(self.of(operation, metric), self.of(operation, metric, peer))

    def between(self, above: str, below: str, metric: str) -> Span | None:
        """Barnabas's at one operation over its own at another."""
        return _ratio(self.of(above, metric), self.of(below, metric))

    def lowest_over(self, prefix: str, metric: str, peer: str) -> tuple[Span | None, str]:
        """The smallest ratio of all operations whose id begins so, and of which. A cell that
        Barnabas failed is the worst there is.
        """
        names = [name for name in self.ids if name.startswith(prefix)]
        ratios = {name: self.over(name, metric, peer) for name in names}
        ratios |= {name: FAILED for name in names if self.of(name, metric) is None}
        known = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        worst = min(known, key=lambda name: known[name].median, default="")
        return known.get(worst), worst.removeprefix(prefix).strip("-")

    def cells_over(self, prefixes: tuple[str, ...], peer: str) -> list["ClientCell"]:
        """The MB/s of all operations of real clients whose id begins so."""
        return [
            ClientCell(name, peer, ratio, self._is_client_bound(name, peer))
            for name in self.ids
            if name.startswith(prefixes) and (ratio := self.over(name, "mb_per_s", peer))
        ] + [
            ClientCell(name, peer, FAILED, is_client_bound=False)
            for name in self.ids
            if name.startswith(prefixes) and self.of(name, "mb_per_s") is None
        ]

    def _is_client_bound(self, operation: str, peer: str) -> bool:
        """Whether the client was the bottleneck with both brokers: it has a core to itself, or
        there is no core left.
        """
        return all(
            any(
                (used := self.of(operation, metric, one)) is not None and used.median >= full
                for metric, full in (("client_thread", CLIENT_FULL), ("busy_cores", cores_full()))
            )
            for one in ("barnabas", peer)
        )


FAILED = Span(0.0, 0.0, 0.0)
CLIENT_FULL = 0.9  # of a core
CLIENT_BOUND = 0.97  # what a ratio has to reach where the client is the bottleneck


def cores_full() -> float:
    """CPU that client and broker use together when there is none left."""
    return CLIENT_FULL * (os.cpu_count() or 1)


@dataclass(frozen=True)
class ClientCell:
    """What a real client reached with Barnabas over what it reached with another broker."""

    operation: str
    peer: str
    ratio: Span
    is_client_bound: bool

    def bound(self) -> Bound:
        """Of its own limit. Sorting by how far it is from that finds the worst."""
        limit = CLIENT_BOUND if self.is_client_bound else 1.0
        who = "the client is the bottleneck" if self.is_client_bound else "it is not the client"
        label = f"{self.operation} over {self.peer.title()}'s ({who})"
        return Bound(label, self.ratio, limit, is_least=True)


def _ratio(above: Span | None, below: Span | None) -> Span | None:
    return None if above is None or below is None else above.over(below)


def _librdkafka_produce(m: _Medians) -> Iterable[Bound]:
    for size in (100, 1000):
        name = f"librdkafka-produce-{size}"
        yield Bound(f"{size} B: over Kafka's", m.over(name, "cpu_s_per_gb", "kafka"), 1 / 3)
        yield Bound("over the kernel's", m.over(name, "cpu_s_per_gb", "kernel"), 2)


def _librdkafka_fetch(m: _Medians) -> Iterable[Bound]:
    for size in (100, 1000):
        name = f"librdkafka-fetch-{size}"
        yield Bound(f"{size} B: over sendfile's", m.over(name, "cpu_s_per_gb", "kernel"), 1.25)
        yield Bound("over Kafka's", m.over(name, "cpu_s_per_gb", "kafka"), 0.85)


def _native_fetch(m: _Medians) -> Iterable[Bound]:
    over = m.over("fetch-16p-none", "cpu_s_per_gb", "kernel")
    yield Bound("over sendfile's", over, 1.25)
    yield Bound("over Kafka's", m.over("fetch-16p-none", "cpu_s_per_gb", "kafka"), 0.85)


def _matrix(m: _Medians) -> Iterable[Bound]:
    for prefix, least in (("produce-acks", 2.0), ("fetch", 1.3)):
        for peer, limit in (("kafka", least), ("tansu", 1.0)):
            lowest, cell = m.lowest_over(f"{prefix}-", "mb_per_s", peer)
            label = f"{prefix.partition('-')[0]}, worst cell ({cell}) over {peer.title()}'s"
            yield Bound(label, lowest, limit, is_least=True)


def _clients(m: _Medians) -> Iterable[Bound]:
    clients = [
        f"{client}-{what}-" for client in ("librdkafka", "java") for what in ("produce", "fetch")
    ]
    yield from _worst_and_missed(m, tuple(clients))


def _client_matrix(m: _Medians) -> Iterable[Bound]:
    yield from _worst_and_missed(m, ("client-",))


def _worst_and_missed(m: _Medians, prefixes: tuple[str, ...]) -> Iterable[Bound]:
    """Of each other broker the worst cell, and besides every one that does not hold."""
    for peer in ("kafka", "tansu"):
        cells = [cell.bound() for cell in m.cells_over(prefixes, peer)]
        cells.sort(key=lambda bound: (bound.value or 0.0) / bound.limit)
        yield from (b for n, b in enumerate(cells) if n == 0 or not b.holds)
        if not cells:
            yield Bound(f"over {peer.title()}'s", None, 1.0, is_least=True)


def _requests(m: _Medians) -> Iterable[Bound]:
    for shape in ("64x1", "1x64"):
        name = f"requests-{shape}"
        speed = m.over(name, "requests_per_s", "kafka")
        yield Bound(f"{shape}: requests/s over Kafka's", speed, 4, is_least=True)
        yield Bound("CPU µs", m.of(name, "cpu_us_per_request"), 8)
        yield Bound("CPU over Kafka's", m.over(name, "cpu_us_per_request", "kafka"), 1 / 6)


def _single(m: _Medians) -> Iterable[Bound]:
    over = m.over("requests-librdkafka", "cpu_us_per_request", "kafka")
    yield Bound("librdkafka: CPU over Kafka's", over, 0.25)
    over = m.over("requests-1x1", "cpu_us_per_request", "kafka")
    yield Bound("synchronous: CPU over Kafka's", over, 0.25)
    yield Bound(
        "median latency over the bare loop's", m.over("requests-1x1", "p50_ms", "kernel"), 1.5
    )


def _flushed(m: _Medians) -> Iterable[Bound]:
    over = m.over("requests-flushed", "requests_per_s", "kafka")
    yield Bound("requests/s over Kafka's", over, 3, is_least=True)


def _end_to_end(m: _Medians) -> Iterable[Bound]:
    name = "end-to-end"
    yield Bound("p50 over Kafka's", m.over(name, "p50_ms", "kafka"), 0.6)
    yield Bound("p99 over Kafka's", m.over(name, "p99_ms", "kafka"), 1 / 3)
    yield Bound("p99.9 over Kafka's", m.over(name, "p999_ms", "kafka"), 1 / 3)


def _cold(m: _Medians) -> Iterable[Bound]:
    over = m.between("half-load-cold-reader", "half-load-alone", "p99_ms")
    yield Bound("p99 over that without", over, 1.5)


def _transactions(m: _Medians) -> Iterable[Bound]:
    speed = m.over("transactions", "transactions_per_s", "kafka")
    yield Bound("transactions/s over Kafka's", speed, 1.5, is_least=True)


def _compaction(m: _Medians) -> Iterable[Bound]:
    yield Bound("time over Kafka's", m.over("compaction", "compaction_s", "kafka"), 1)


def _partitions(m: _Medians) -> Iterable[Bound]:
    most, one = "partitions-10000", "partitions-1"
    yield Bound("MB/s at 10,000 over 1", m.between(most, one, "mb_per_s"), 0.7, is_least=True)
    yield Bound("CPU a GB at 10,000 over 1", m.between(most, one, "cpu_s_per_gb"), 1.6)
    yield Bound("clean start, s", m.of("start-10000-partitions", "start_s"), 2)


def _connections(m: _Medians) -> Iterable[Bound]:
    costs = [
        cost
        for name in m.ids
        if name.startswith("connections-")
        and (cost := m.between(name, "connections-1", "cpu_s_per_gb")) is not None
    ]
    worst = max(costs, key=lambda cost: cost.median, default=None)
    yield Bound("CPU a GB, dearest over one connection's", worst, 1.5)
    yield Bound("KB of an idle one", m.of("idle-connections", "rss_kb_per_connection"), 8)


def _crash(m: _Medians) -> Iterable[Bound]:
    speed = m.of("start-after-kill", "checked_gb_per_s")
    yield Bound("GB/s checked", speed, 1, is_least=True)
    yield Bound("time over Kafka's", m.over("start-after-kill", "start_s", "kafka"), 1 / 3)


def _start(m: _Medians) -> Iterable[Bound]:
    yield Bound("s", m.of("start-first-record", "start_s"), 0.2)
    yield Bound("over Kafka's", m.over("start-first-record", "start_s", "kafka"), 0.1)


def _memory(m: _Medians) -> Iterable[Bound]:
    yield Bound("idle, MB", m.of("idle-memory", "idle_rss_mb"), 45)
    yield Bound("after 10 GB, MB", m.of("start-after-kill", "peak_rss_mb"), 120)


def _control(m: _Medians) -> Iterable[Bound]:
    for name, limit in (("heartbeats", 15_000), ("offset-commits", 10_000), ("metadata", 5_000)):
        speed = m.of(f"control-{name}", "per_cpu_s")
        yield Bound(f"{name} a CPU second", speed, limit, is_least=True)
    loaded = m.between("control-produce-latency-loaded", "control-produce-latency-alone", "p99_ms")
    yield Bound("produce p99 beside a fifth", loaded, 1.2)
    speed = m.between("control-produce-speed-loaded", "control-produce-speed-alone", "mb_per_s")
    yield Bound("produce MB/s at saturation", speed, 0.5, is_least=True)


_FIGURES: tuple[tuple[str, Callable[[_Medians], Iterable[Bound]]], ...] = (
    ("produce, librdkafka's default batches: broker CPU per GB", _librdkafka_produce),
    ("fetch of the same, from the page cache: broker CPU per GB", _librdkafka_fetch),
    ("fetch by the native generator: broker CPU per GB", _native_fetch),
    ("throughput of real clients, worst record size", _clients),
    ("throughput of one librdkafka client, every cell", _client_matrix),
    ("throughput at saturation, every cell, native generator", _matrix),
    ("requests of one 100 B record at saturation", _requests),
    ("requests of one 100 B record, one client", _single),
    ("the same with flush.messages=1 from 64 connections", _flushed),
    ("end to end at 10,000 records/s, linger 0, 60 s after 30 s", _end_to_end),
    ("produce at half load beside a reader of cold data", _cold),
    ("transactions of 100 records", _transactions),
    ("compaction of 1 GB with 1,000,000 keys, the same buffer", _compaction),
    ("1 to 10,000 partitions, batches of 16 KiB", _partitions),
    ("1 to 8,000 connections, the same load", _connections),
    ("start after a kill with 10 GB of log, 1 GB of it unflushed", _crash),
    ("start to the first acknowledged record", _start),
    ("memory", _memory),
    ("control plane", _control),
)
