"""A made-up run with everything in it that a report shows, and a reader of pages."""

import math
import random

from bench.results import Figure, OperationInfo, Results, Sample

REPETITIONS = 5
PARTITION_COUNTS = (1, 10, 100, 1000, 10_000)
PERCENTILES = (0.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 100.0)

OPERATIONS = [
    OperationInfo(
        "produce_1k",
        "produce 1000 B, acks=all",
        "Throughput",
        "confluent-kafka",
        ("mb_per_s", "cpu_s_per_gb", "peak_rss_mb"),
    ),
    OperationInfo(
        "fetch_1k",
        "fetch 1000 B, one consumer",
        "Throughput",
        "confluent-kafka",
        ("mb_per_s", "cpu_s_per_gb", "peak_rss_mb"),
    ),
    OperationInfo(
        "fetch_native",
        "fetch big batches with the native client from the page cache",
        "Throughput",
        "native",
        ("mb_per_s", "cpu_s_per_gb"),
    ),
    *(
        OperationInfo(
            f"partitions_{count}",
            f"produce to {count} partitions",
            "Partitions",
            "native",
            ("requests_per_s", "cpu_us_per_request"),
            "partitions",
            count,
        )
        for count in PARTITION_COUNTS
    ),
    OperationInfo(
        "latency_10k",
        "produce at 10,000 records a second",
        "Latency",
        "native",
        ("p50_ms", "p99_ms", "p999_ms"),
    ),
    OperationInfo(
        "latency_full",
        "produce at full speed",
        "Latency",
        "native",
        ("p50_ms", "p99_ms", "p999_ms"),
    ),
    OperationInfo("start", "start with no topics", "At rest", "none", ("start_s", "idle_rss_mb")),
    OperationInfo("idle", "1000 idle connections", "At rest", "none", ("rss_kb_per_connection",)),
    OperationInfo("txn", "transactions", "Not done", "native", ("requests_per_s",)),
]

# Medians by operation and metric; a peer that is not named was not measured.
TRUTHS: dict[tuple[str, str], dict[str, float]] = {
    ("produce_1k", "mb_per_s"): {"barnabas": 342, "kafka": 171, "tansu": 96, "kernel": 1210},
    ("produce_1k", "cpu_s_per_gb"): {"barnabas": 1.24, "kafka": 5.4, "tansu": 4.1, "kernel": 0.42},
    ("produce_1k", "peak_rss_mb"): {"barnabas": 61, "kafka": 1180, "tansu": 122},
    ("fetch_1k", "mb_per_s"): {"barnabas": 466, "kafka": 331, "kernel": 1890},
    ("fetch_1k", "cpu_s_per_gb"): {"barnabas": 0.31, "kafka": 1.12, "kernel": 0.21},
    ("fetch_1k", "peak_rss_mb"): {"barnabas": 64, "kafka": 1210},
    ("fetch_native", "mb_per_s"): {"barnabas": 2650, "kafka": 1240, "tansu": 88, "kernel": 3010},
    ("fetch_native", "cpu_s_per_gb"): {
        "barnabas": 0.131,
        "kafka": 0.52,
        "tansu": 6.2,
        "kernel": 0.11,
    },
    ("latency_10k", "p50_ms"): {"barnabas": 0.212, "kafka": 0.91, "tansu": 1.4},
    ("latency_10k", "p99_ms"): {"barnabas": 0.871, "kafka": 5.3, "tansu": 9.1},
    ("latency_10k", "p999_ms"): {"barnabas": 2.31, "kafka": 41.0, "tansu": 55.0},
    ("latency_full", "p50_ms"): {"barnabas": 3.1, "kafka": 6.2},
    ("latency_full", "p99_ms"): {"barnabas": 9.2, "kafka": 28.0},
    ("latency_full", "p999_ms"): {"barnabas": 15.0, "kafka": 160.0},
    ("start", "start_s"): {"barnabas": 0.083, "kafka": 4.1, "tansu": 0.051},
    ("start", "idle_rss_mb"): {"barnabas": 38.4, "kafka": 412.0, "tansu": 21.3},
    ("idle", "rss_kb_per_connection"): {"barnabas": 4.2, "kafka": 31.0, "tansu": 14.0},
    **{
        (f"partitions_{count}", "requests_per_s"): {
            "barnabas": 61_000 / (1 + math.log10(count) * 0.12),
            "kafka": 24_000 / (1 + math.log10(count) * 0.5),
            **({"tansu": 6_400.0} if count < 1000 else {}),
            "kernel": 98_000,
        }
        for count in PARTITION_COUNTS
    },
    **{
        (f"partitions_{count}", "cpu_us_per_request"): {
            "barnabas": 11 + math.log10(count),
            "kafka": 52 + 17 * math.log10(count),
        }
        for count in PARTITION_COUNTS
    },
}


def made_up_results(*only: str) -> Results:
    """Repetitions scattered round the medians; one of the five is the median exactly.

    `only` names the operations to keep: drawing all of them takes seconds.
    """
    scatter = random.Random(7)
    samples: dict[tuple[str, str, int], dict[str, float]] = {}
    for (operation, metric), medians in TRUTHS.items():
        for peer, median in medians.items():
            factors = [1 - scatter.random() * 0.15, 1 - scatter.random() * 0.04, 1.0]
            factors += [1 + scatter.random() * 0.04, 1 + scatter.random() * 0.15]
            for repetition, factor in enumerate(factors):
                key = (operation, peer, repetition)
                samples.setdefault(key, {})[metric] = median * factor
    results = Results(
        command="python bench/run.py --repetitions 5 --peers barnabas,kafka,tansu,kernel",
        date="2026-11-26T19:12:00+00:00",
        commit="346ea77",
        machine={"processor": "AMD EPYC, 2 cores", "memory": "25 GB", "kernel": "Linux 6.18"},
        peers={
            "barnabas": "0.1.0, defaults",
            "kafka": "4.3.0, KRaft, openjdk 17.0.15, heap 1g",
            "tansu": "0.5.9, SQLite",
            "kernel": "sendfile and recv over loopback, no broker",
        },
        operations=OPERATIONS,
        samples=[
            Sample(op, peer, repetition, metrics, _percentiles(op, metrics), _notes(op, peer))
            for (op, peer, repetition), metrics in samples.items()
        ],
        figures=[
            Figure("produce_1k", "at least twice Kafka's MB/s", "342 against 171 MB/s", True),
            Figure("fetch_native", "at most 0.2 CPU-s/GB", "0.25 CPU-s/GB", False),
            Figure("txn", "10,000 transactions a second", "–", None),
        ],
    )
    if only:
        results.operations = [item for item in results.operations if item.id in only]
        results.samples = [sample for sample in results.samples if sample.operation in only]
    return results


def _notes(operation: str, peer: str) -> tuple[str, ...]:
    if operation == "fetch_1k" and peer == "barnabas":
        return ("the client was the bottleneck",)
    return ()


def _percentiles(operation: str, metrics: dict[str, float]) -> list[tuple[float, float]] | None:
    """A tail from the median through p99 and beyond."""
    if not operation.startswith("latency"):
        return None
    growth = math.log(metrics["p99_ms"] / metrics["p50_ms"]) / 1.7
    return [
        (p, metrics["p50_ms"] * math.exp(growth * (min(-math.log10(1 - p / 100), 5) - 0.3)))
        if p < 100
        else (p, metrics["p999_ms"] * 9)
        for p in PERCENTILES
    ]
