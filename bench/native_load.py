"""The load of `barnabas bench`, in a process of its own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.peer import Measured, Peer

BARNABAS = str(Path(sys.executable).with_name("barnabas"))
CURVE = (0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999)
RUN_TIMEOUT_S = 300.0


class LoadFailedError(RuntimeError):
    """`barnabas bench` did not measure what it was to."""


def command(peer: Peer, operation: str, topic: str, options: dict[str, Any]) -> list[str]:
    """Options are those of the command line, with underscores for hyphens."""
    words = [BARNABAS, "bench", operation, "--json", "--quiet", "-b", peer.bootstrap]
    words += ["--topic", topic, "--broker-pid", str(peer.server.pid), "--connect-timeout", "30"]
    for name, value in options.items():
        words.append("--" + name.replace("_", "-"))
        words += [] if value is True else [str(value)]
    return words


def run(peer: Peer, operation: str, topic: str, **options: Any) -> dict[str, Any]:
    """The report of a load that has ended."""
    done = subprocess.run(
        command(peer, operation, topic, options),
        check=False,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    return _report(peer, operation, done.returncode, done.stdout, done.stderr)


def _report(peer: Peer, operation: str, code: int, out: str, err: str) -> dict[str, Any]:
    if not out.strip():
        raise LoadFailedError(f"{operation} at {peer.name}: exit code {code}: {err.strip()}")
    report: dict[str, Any] = json.loads(out)
    if code or report["requests"] == 0:  # errors, lost records, corrupt batches
        why = report["errors"] or report["notes"] or "no request"
        raise LoadFailedError(f"{operation} at {peer.name}: exit code {code}: {why}")
    return report


def measured(report: dict[str, Any]) -> Measured:
    """A report's metrics under the names of results.METRICS."""
    broker, client = report["broker"], report["client"]
    latency = report["latency_ms"] or {}
    found = {
        "mb_per_s": report["mb_per_s"],
        "requests_per_s": report["requests_per_s"],
        "cpu_s_per_gb": broker["cpu_s_per_gb"],
        "cpu_us_per_request": broker["cpu_us_per_request"],
        "client_cpu_s_per_gb": client["cpu_s_per_gb"],
        "client_thread": client["busiest_thread"],
        "busy_cores": client["cores"] + broker["cores"],
        "p50_ms": latency.get("p50"),
        "p99_ms": latency.get("p99"),
        "p999_ms": latency.get("p99.9"),
        "peak_rss_mb": broker["peak_rss_bytes"] / 1e6,
        "context_switches_per_s": broker["context_switches_per_s"],
    }
    metrics = {name: float(value) for name, value in found.items() if value is not None}
    return Measured(metrics, notes=tuple(report["notes"]))


def load(peer: Peer, operation: str, topic: str, **options: Any) -> Measured:
    """Runs a load and takes its metrics."""
    return measured(run(peer, operation, topic, **options))


def load_with_curve(peer: Peer, operation: str, topic: str, **options: Any) -> Measured:
    """The same, with percentiles fit for a curve."""
    with tempfile.TemporaryDirectory(prefix="barnabas-bench-") as directory:
        log = Path(directory) / "latency.hdr"
        found = load(peer, operation, topic, hdr_out=log, **options)
        return Measured(found.metrics, _curve(log), found.notes)


def _curve(log: Path) -> list[tuple[float, float]]:
    from hdrh.log import HistogramLogReader

    from barnabas.bench.latency import empty_histogram

    total = empty_histogram()
    reader = HistogramLogReader(str(log), empty_histogram())
    while (interval := reader.get_next_interval_histogram()) is not None:
        total.add(interval)
    return [(p, total.get_value_at_percentile(p) / 1e6) for p in CURVE]
