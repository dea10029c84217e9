"""The figures that are to be reached: ratios and limits of one run's medians."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bench.results import Figure, Results


@dataclass(frozen=True)
class Bound:
    """One number and what it may be at most, or at least."""

    label: str
    value: float | None  # None: not measured
    limit: float
    is_least: bool = False

    @property
    def holds(self) -> bool:
        if self.value is None:
            return False
        return self.value >= self.limit if self.is_least else self.value <= self.limit

    def __str__(self) -> str:
        measured = "–" if self.value is None else f"{self.value:,.3g}"
        if self.value is not None and abs(self.value) >= 1000:
            measured = f"{self.value:,.0f}"
        return f"{self.label} {measured} ({'≥' if self.is_least else '≤'} {self.limit:,g})"


def figures(results: Results) -> list[Figure]:
    """All of them; those of which nothing was measured say so."""
    return [_figure(text, bounds(_Medians(results))) for text, bounds in _FIGURES]


def _figure(text: str, bounds: Iterable[Bound]) -> Figure:
    found = list(bounds)
    known = [bound for bound in found if bound.value is not None]
    return Figure(
        operation=text,
        target="; ".join(
            f"{bound.label} {'≥' if bound.is_least else '≤'} {bound.limit:,g}" for bound in found
        ),
        measured="; ".join(str(bound) for bound in known) or "–",
        is_reached=_is_reached(found),
    )


def _is_reached(bounds: list[Bound]) -> bool | None:
    """One that does not hold decides; while one is not known, the others do not."""
    if any(bound.value is not None and not bound.holds for bound in bounds):
        return False
    return None if any(bound.value is None for bound in bounds) else True


class _Medians:
    """Medians of a run, and ratios of them. None where something was not measured."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self.ids = [operation.id for operation in results.operations]

    def of(self, operation: str, metric: str, peer: str = "barnabas") -> float | None:
        values = self._results.values(operation, peer, metric)
        return statistics.median(values) if values else None

    def over(self, operation: str, metric: str, peer: str) -> float | None:
        """Barnabas's over another's."""
        return _ratio(self.of(operation, metric), self.of(operation, metric, peer))

    def between(self, above: str, below: str, metric: str) -> float | None:
        """Barnabas's at one operation over its own at another."""
        return _ratio(self.of(above, metric), self.of(below, metric))

    def lowest_over(self, prefix: str, metric: str, peer: str) -> tuple[float | None, str]:
        """The smallest ratio of all operations whose id begins so, and of which. A cell that
        Barnabas failed is the worst there is.
        """
        names = [name for name in self.ids if name.startswith(prefix)]
        ratios = {name: self.over(name, metric, peer) for name in names}
        ratios |= {name: 0.0 for name in names if self.of(name, metric) is None}
        known = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        worst = min(known, key=known.__getitem__, default="")
        return known.get(worst), worst.removeprefix(prefix).strip("-")


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below


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
    for prefix in ("librdkafka-produce", "librdkafka-fetch", "java-produce", "java-fetch"):
        for peer in ("kafka", "tansu"):
            if prefix.startswith("java") and peer == "tansu":
                continue
            lowest, size = m.lowest_over(f"{prefix}-", "mb_per_s", peer)
            label = f"{prefix} ({size} B) over {peer.title()}'s"
            yield Bound(label, lowest, 0.97, is_least=True)


def _client_matrix(m: _Medians) -> Iterable[Bound]:
    for what in ("produce", "fetch"):
        for peer in ("kafka", "tansu"):
            lowest, cell = m.lowest_over(f"client-{what}-", "mb_per_s", peer)
            label = f"{what}, worst cell ({cell}) over {peer.title()}'s"
            yield Bound(label, lowest, 0.97, is_least=True)


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
        (value, name)
        for name in m.ids
        if name.startswith("connections-") and (value := m.of(name, "cpu_s_per_gb")) is not None
    ]
    first = m.of("connections-1", "cpu_s_per_gb")
    worst = _ratio(max(costs)[0], first) if costs else None
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
