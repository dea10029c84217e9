"""The report of a load: rates, latencies, what client and broker used, who was the bottleneck.

Pure: everything measured is passed in. GB and MB are 10^9 and 10^6 bytes of record batches as
they crossed the wire.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from barnabas.bench.latency import summary_ms
from barnabas.bench.usage import Usage

_SATURATED: Final = 0.9  # of a core, by one thread
_HELD: Final = 0.95  # of the rate asked for; the last answers may take a little longer


@dataclass(frozen=True)
class Flow:
    """What went one way."""

    requests: int
    records: int
    size_bytes: int

    def __sub__(self, other: "Flow") -> "Flow":
        return Flow(
            self.requests - other.requests,
            self.records - other.records,
            self.size_bytes - other.size_bytes,
        )


@dataclass(frozen=True)
class Sample:
    """Counters and usage at one moment."""

    at_s: float  # monotonic
    flow: Flow  # all of it, so far
    client: Usage
    broker: Usage | None


@dataclass(frozen=True)
class Outcome:
    """All that a load measured."""

    measured: Flow
    total_records: int  # with the warm-up
    elapsed_s: float
    histogram: Any  # of measured latencies, in ns
    latency_of: str  # record or request
    rate: float  # asked for; 0: closed loop
    begin: Sample  # when the warm-up was over
    end: Sample
    busiest_thread: float  # the part of its time that it used a core
    errors: Mapping[str, int]  # Kafka's name of an error -> how often
    failed_requests: int
    unsent_records: int
    lost_records: int
    corrupt_batches: int
    is_interrupted: bool = False  # by the user, before its time was over


def build_report(outcome: Outcome) -> dict[str, Any]:
    """What --json prints of it."""
    measured = outcome.measured
    elapsed_s = max(outcome.elapsed_s, 1e-9)
    done = outcome.end.flow - outcome.begin.flow
    client_cpu_s = outcome.end.client.cpu_s - outcome.begin.client.cpu_s
    wall_s = max(outcome.end.at_s - outcome.begin.at_s, 1e-9)
    return {
        "elapsed_s": round(elapsed_s, 6),
        "requests": measured.requests,
        "records": measured.records,
        "bytes": measured.size_bytes,
        "total_records": outcome.total_records,
        "requests_per_s": round(measured.requests / elapsed_s, 1),
        "records_per_s": round(measured.records / elapsed_s, 1),
        "mb_per_s": round(measured.size_bytes / elapsed_s / 1e6, 3),
        "target_records_per_s": outcome.rate or None,
        "latency_of": outcome.latency_of,
        "latency_samples": outcome.histogram.get_total_count(),
        "latency_ms": summary_ms(outcome.histogram),
        "errors": dict(outcome.errors),
        "failed_requests": outcome.failed_requests,
        "unsent_records": outcome.unsent_records,
        "lost_records": outcome.lost_records,
        "corrupt_batches": outcome.corrupt_batches,
        "client": {
            **_cost(client_cpu_s, wall_s, done),
            "busiest_thread": round(outcome.busiest_thread, 3),
        },
        "broker": _broker(outcome, wall_s, done),
        "notes": notes(outcome, client_cpu_s),
    }


def _cost(cpu_s: float, wall_s: float, done: Flow) -> dict[str, float | None]:
    return {
        "cpu_s": round(cpu_s, 3),
        "cores": round(cpu_s / wall_s, 3),
        "cpu_us_per_request": round(cpu_s / done.requests * 1e6, 3) if done.requests else None,
        "cpu_s_per_gb": round(cpu_s / done.size_bytes * 1e9, 4) if done.size_bytes else None,
    }


def _broker(outcome: Outcome, wall_s: float, done: Flow) -> dict[str, Any] | None:
    begin, end = outcome.begin.broker, outcome.end.broker
    if begin is None or end is None:
        return None
    switches = end.context_switches - begin.context_switches
    return {
        **_cost(end.cpu_s - begin.cpu_s, wall_s, done),
        "rss_bytes": end.rss_bytes,
        "peak_rss_bytes": end.peak_rss_bytes,
        "context_switches_per_s": round(switches / wall_s, 1),
        "context_switches_per_request": (
            round(switches / done.requests, 4) if done.requests else None
        ),
    }


def notes(outcome: Outcome, client_cpu_s: float) -> list[str]:
    """What a reader must know before believing the figures."""
    said = []
    if outcome.is_interrupted and outcome.elapsed_s <= 0:
        said.append("interrupted while it warmed up: nothing was measured")
    elif outcome.is_interrupted:
        said.append(f"interrupted after {outcome.elapsed_s:.1f} s of what counts")
    begin, end = outcome.begin.broker, outcome.end.broker
    broker_cpu_s = None if begin is None or end is None else end.cpu_s - begin.cpu_s
    wanted = outcome.rate * outcome.elapsed_s
    is_behind = wanted > 0 and outcome.measured.records < _HELD * wanted
    if is_behind:
        said.append(
            f"the rate was not held: {outcome.measured.records / outcome.elapsed_s:,.0f} of "
            f"{outcome.rate:,.0f} records/s"
        )
    if outcome.busiest_thread > _SATURATED and (is_behind or not outcome.rate):
        said.append(
            "the client was the bottleneck: a thread of it was busy for "
            f"{outcome.busiest_thread:.0%} of the time (see --threads)"
        )
    elif broker_cpu_s is not None and client_cpu_s > broker_cpu_s and not outcome.rate:
        said.append(
            f"the client was the bottleneck: it used {client_cpu_s:.2f} CPU-s, "
            f"the broker {broker_cpu_s:.2f}"
        )
    if outcome.unsent_records:
        said.append(f"{outcome.unsent_records:,} records that were due were never sent")
    if outcome.lost_records:
        said.append(f"{outcome.lost_records:,} acknowledged records never came back")
    if outcome.corrupt_batches:
        said.append(f"{outcome.corrupt_batches:,} batches had a wrong CRC")
    return said


def report_rows(report: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """The report as names and values, for people."""
    rows = [
        ("elapsed", f"{report['elapsed_s']:.3f} s"),
        ("requests", f"{report['requests']:,} ({report['requests_per_s']:,.0f}/s)"),
        ("records", f"{report['records']:,} ({report['records_per_s']:,.0f}/s)"),
        ("data", f"{report['bytes'] / 1e6:,.1f} MB ({report['mb_per_s']:,.1f} MB/s)"),
    ]
    if report["latency_ms"] is not None:
        rows += [
            (f"latency of a {report['latency_of']}, {name}", f"{value:,.3f} ms")
            for name, value in report["latency_ms"].items()
        ]
    rows += [(f"error {name}", f"{count:,}") for name, count in report["errors"].items()]
    for who in ("client", "broker"):
        rows += [(f"{who} {name}", value) for name, value in _usage_rows(report[who])]
    return rows


def _usage_rows(used: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if used is None:
        return []
    rows = [("CPU", f"{used['cpu_s']:.2f} s ({used['cores']:.2f} cores)")]
    if used["cpu_us_per_request"] is not None:
        rows.append(("CPU a request", f"{used['cpu_us_per_request']:,.2f} µs"))
    if used["cpu_s_per_gb"] is not None:
        rows.append(("CPU a GB", f"{used['cpu_s_per_gb']:,.2f} s"))
    if "busiest_thread" in used:
        rows.append(("busiest thread", f"{used['busiest_thread']:.0%}"))
    if "rss_bytes" in used:
        rows += [
            ("memory", f"{used['rss_bytes'] / 1e6:,.1f} MB"),
            ("memory, peak", f"{used['peak_rss_bytes'] / 1e6:,.1f} MB"),
            ("context switches", f"{used['context_switches_per_s']:,.0f}/s"),
        ]
    return rows
