"""Barnabas and Apache Kafka side by side: MB/s and broker CPU-seconds per GB.

    python bench/compare.py [--megabytes 300] [--repetitions 5] [--results bench/RESULTS.md]

Both brokers run at once, and the repetitions alternate between them, so that whatever else the
machine does meets both. The first pass of each is thrown away: it warms the JVM up.
"""

import argparse
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import confluent_kafka

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bench.operations import RECORD_BYTES, Measurement, measure_all  # noqa: E402
from peers.java import KAFKA_VERSION  # noqa: E402
from peers.servers import BarnabasServer, KafkaServer, Server  # noqa: E402

KAFKA_HEAP = "1g"


def run(megabytes: int, repetitions: int) -> list[Measurement]:
    measurements: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="barnabas-bench-") as temporary:
        directory = Path(temporary)
        kafka = KafkaServer(directory / "kafka", heap=KAFKA_HEAP)
        with kafka, BarnabasServer(directory / "barnabas") as barnabas:
            servers: list[Server] = [kafka, barnabas]
            for repetition in range(-1, repetitions):  # -1 warms up
                for record_bytes in RECORD_BYTES:
                    for server in servers:
                        measured = measure_all(server, record_bytes, megabytes * 1_000_000)
                        _show(measured, "warm-up" if repetition < 0 else f"{repetition + 1}")
                        if repetition >= 0:
                            measurements += measured
                servers.reverse()
    return measurements


def _show(measured: Sequence[Measurement], label: str) -> None:
    for m in measured:
        print(
            f"{label:8} {m.server:9} {m.operation:15} {m.mb_per_s:7.1f} MB/s "
            f"{m.cpu_s_per_gb:6.2f} CPU-s/GB",
            flush=True,
        )


def _spread(values: Sequence[float], digits: int) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f} – {max(values):.{digits}f})"


def table(measurements: Sequence[Measurement]) -> list[str]:
    """Markdown rows: medians, in brackets the smallest and the largest."""
    rows = [
        "| | Kafka MB/s | Barnabas MB/s | Kafka CPU-s/GB | Barnabas CPU-s/GB | CPU ratio |",
        "|---|---|---|---|---|---|",
    ]
    for operation in dict.fromkeys(m.operation for m in measurements):
        by_server = {
            name: [m for m in measurements if (m.operation, m.server) == (operation, name)]
            for name in ("kafka", "barnabas")
        }
        speed = {name: [m.mb_per_s for m in ms] for name, ms in by_server.items()}
        cpu = {name: [m.cpu_s_per_gb for m in ms] for name, ms in by_server.items()}
        ratio = statistics.median(cpu["barnabas"]) / statistics.median(cpu["kafka"])
        rows.append(
            f"| {operation} | {_spread(speed['kafka'], 0)} | {_spread(speed['barnabas'], 0)} "
            f"| {_spread(cpu['kafka'], 2)} | {_spread(cpu['barnabas'], 2)} | {ratio:.2f} |"
        )
    return rows


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {model}, {memory_gb:.0f} GB, Linux {platform.release()}, "
        f"load average {load:.1f} at the end (client and brokers share the cores)"
    )


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def report(measurements: Sequence[Measurement], megabytes: int, repetitions: int) -> str:
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr
    command = shlex.join(["python", "bench/compare.py", *sys.argv[1:]])
    lines = [
        "# Barnabas and Apache Kafka in one run",
        "",
        f"`{command}` on {datetime.now(UTC):%Y-%m-%d}: {megabytes} MB per pass, {repetitions} "
        "passes after a warm-up, medians with the smallest and largest in brackets. Payload bytes "
        "count; CPU is the broker's, user and system, all threads. One confluent-kafka client "
        "with librdkafka's default batches, acks=all, 4 partitions, no compression, loopback, "
        "fetch.queue.backoff.ms=5. The "
        "client is the bottleneck of MB/s; CPU-s/GB is what the broker costs. CPU ratio: Barnabas "
        "over Kafka, below 1 is less.",
        "",
        *table(measurements),
        "",
        f"- {_machine()}",
        f"- Barnabas {version('barnabas')} ({_commit()}), defaults",
        f"- Apache Kafka {KAFKA_VERSION}, KRaft, {java.splitlines()[0]}, heap {KAFKA_HEAP}",
        f"- confluent-kafka {version('confluent-kafka')}, "
        f"librdkafka {confluent_kafka.libversion()[0]}, Python {platform.python_version()}",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=300, help="payload of a pass")
    parser.add_argument("--repetitions", type=int, default=5, help="passes that count")
    parser.add_argument("--results", type=Path, help="write the report to this file, too")
    options = parser.parse_args()
    text = report(
        run(options.megabytes, options.repetitions), options.megabytes, options.repetitions
    )
    print(text)
    if options.results is not None:
        options.results.write_text(text)


if __name__ == "__main__":
    main()
