"""What a benchmark run measured: plain values, and the JSON file that keeps them.

A run is a list of samples. Each is one repetition of one operation against one peer, and a bag of
metrics; reports take medians and spreads of them.
"""

import dataclasses
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GZIP = ".gz"
PEERS = ("barnabas", "kafka", "tansu", "kernel")  # in the order reports show them


@dataclass(frozen=True)
class Metric:
    """What a number of a sample means."""

    title: str
    unit: str
    is_higher_better: bool = False
    digits: int = 2


METRICS = {
    "mb_per_s": Metric("throughput", "MB/s", is_higher_better=True, digits=0),
    "requests_per_s": Metric("requests", "1/s", is_higher_better=True, digits=0),
    "cpu_s_per_gb": Metric("broker CPU per GB", "s/GB", digits=3),
    "cpu_us_per_request": Metric("broker CPU a request", "µs"),
    "client_cpu_s_per_gb": Metric("client CPU per GB", "s/GB", digits=3),
    "client_thread": Metric("busiest thread of the client", "of a core"),
    "busy_cores": Metric("CPU of client and broker", "cores"),
    "mean_ms": Metric("latency, mean", "ms", digits=3),
    "p50_ms": Metric("latency, median", "ms", digits=3),
    "p99_ms": Metric("latency, p99", "ms", digits=3),
    "p999_ms": Metric("latency, p99.9", "ms", digits=3),
    "per_cpu_s": Metric("served by a core", "1/s", is_higher_better=True, digits=0),
    "idle_rss_mb": Metric("memory, idle", "MB", digits=1),
    "peak_rss_mb": Metric("memory, peak", "MB", digits=1),
    "rss_kb_per_connection": Metric("memory of an idle connection", "KB", digits=1),
    "context_switches_per_s": Metric("context switches", "1/s", digits=0),
    "transactions_per_s": Metric("transactions", "1/s", is_higher_better=True, digits=0),
    "cpu_ms_per_transaction": Metric("broker CPU a transaction", "ms", digits=3),
    "compaction_s": Metric("compaction", "s"),
    "start_s": Metric("start", "s", digits=3),
    "unflushed_gb": Metric("log behind the recovery point, all checked", "GB", digits=2),
    "checked_gb_per_s": Metric("log checked at the start", "GB/s", is_higher_better=True),
}


@dataclass(frozen=True)
class OperationInfo:
    """One operation of the list, as reports show it."""

    id: str
    title: str
    group: str  # operations of one group share a chapter
    generator: str  # what makes the load
    shown: tuple[str, ...]  # metrics, the most telling first
    axis: str | None = None  # operations of a group with one axis make a curve, …
    axis_value: float = 0  # … of which this is the place


@dataclass(frozen=True)
class Sample:
    """One repetition of one operation against one peer."""

    operation: str  # OperationInfo.id
    peer: str  # of PEERS
    repetition: int
    metrics: dict[str, float]  # by the names of METRICS
    percentiles_ms: list[tuple[float, float]] | None = None  # (percentile, latency), ascending
    notes: tuple[str, ...] = ()  # for instance that the client was the bottleneck


@dataclass(frozen=True)
class Figure:
    """A figure that was to be reached."""

    operation: str
    target: str
    measured: str
    is_reached: bool | None  # None: not measured in this run, or not decided
    is_decided: bool = True  # False: repetitions were so far apart that either may be true


@dataclass
class Results:
    """One run."""

    command: str
    date: str  # ISO 8601
    commit: str
    machine: dict[str, str]
    peers: dict[str, str]  # peer -> version and settings
    operations: list[OperationInfo] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def values(self, operation: str, peer: str, metric: str) -> list[float]:
        """A metric's values of all repetitions."""
        return [
            sample.metrics[metric]
            for sample in self.samples
            if (sample.operation, sample.peer) == (operation, peer) and metric in sample.metrics
        ]

    def groups(self) -> Iterator[tuple[str, list[OperationInfo]]]:
        """The operations by group, in the list's order."""
        for group in dict.fromkeys(operation.group for operation in self.operations):
            yield group, [operation for operation in self.operations if operation.group == group]

    def save(self, path: Path) -> None:
        """Writes the JSON file, compressed where its name ends so."""
        text = json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"
        data = text.encode()
        path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == GZIP else data)


def load_results(path: Path) -> Results:
    """Reads what `Results.save` wrote."""
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == GZIP else data
    fields: dict[str, Any] = json.loads(text)
    return Results(
        **{
            **fields,
            "operations": [
                OperationInfo(**{**item, "shown": tuple(item["shown"])})
                for item in fields["operations"]
            ],
            "samples": [
                Sample(
                    **{
                        **item,
                        "notes": tuple(item["notes"]),
                        "percentiles_ms": item["percentiles_ms"]
                        and [(p, ms) for p, ms in item["percentiles_ms"]],
                    }
                )
                for item in fields["samples"]
            ],
            "figures": [Figure(**item) for item in fields["figures"]],
        }
    )
