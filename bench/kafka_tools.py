"""The load of Kafka's own benchmarks: ProducerPerformance, ConsumerPerformance, EndToEndLatency."""

import re
import resource
import subprocess
import time
import uuid

from bench.peer import Cost, Measured, Peer
from peers.java import CONSUMER_PERFORMANCE, PRODUCER_PERFORMANCE, tool_command

END_TO_END_LATENCY = "org.apache.kafka.tools.EndToEndLatency"
MIB = 1 << 20
RUN_TIMEOUT_S = 300.0


class Load:
    """What broker and tool used together while the block ran a tool."""

    def __init__(self, peer: Peer) -> None:
        self._cost = Cost(peer)

    def __enter__(self) -> "Load":
        self._begin_s, self._children_s = time.monotonic(), _children_cpu_s()
        self._cost.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._cost.__exit__()
        wall_s = time.monotonic() - self._begin_s
        self.broker_cpu_s = self._cost.cpu_s
        self.busy_cores = (self.broker_cpu_s + _children_cpu_s() - self._children_s) / wall_s


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class UnexpectedOutputError(RuntimeError):
    """A tool has printed something else than its result."""


def _run(tool: str, *args: str) -> str:
    """What the tool prints, in a JVM with its default compilers and collector."""
    words = [word for word in tool_command(tool, *args, heap="1g") if not word.startswith("-XX:")]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise UnexpectedOutputError(f"exit code {done.returncode}: {done.stdout} {done.stderr}")
    return done.stdout


def producer_performance(peer: Peer, topic: str, records: int, record_bytes: int) -> Measured:
    """As fast as it goes, acks=all, the Java client's default batches."""
    args = ["--topic", topic, "--num-records", str(records), "--record-size", str(record_bytes)]
    args += ["--throughput", "-1", "--producer-props", f"bootstrap.servers={peer.bootstrap}"]
    with Load(peer) as load:
        out = _run(PRODUCER_PERFORMANCE, *args, "acks=all")
    last = out.strip().splitlines()[-1]
    found = re.search(
        r"\(([\d.]+) MB/sec\).* ([\d.]+) ms 50th, [\d.]+ ms 95th, ([\d.]+) ms 99th, ([\d.]+) ms",
        last,
    )
    if found is None:
        raise UnexpectedOutputError(last)
    speed, p50, p99, p999 = map(float, found.groups())
    return Measured(
        {
            "mb_per_s": speed * MIB / 1e6,
            "cpu_s_per_gb": load.broker_cpu_s / (records * record_bytes / 1e9),
            "busy_cores": load.busy_cores,
            "p50_ms": p50,
            "p99_ms": p99,
            "p999_ms": p999,
        }
    )


def consumer_performance(peer: Peer, topic: str, records: int, record_bytes: int) -> Measured:
    """All records of the topic, by a group of one; its speed while it fetches."""
    args = ["--topic", topic, "--num-records", str(records), "--group", f"bench-{uuid.uuid4().hex}"]
    args += ["--bootstrap-server", peer.bootstrap, "--hide-header", "--timeout", "60000"]
    with Load(peer) as load:
        out = _run(CONSUMER_PERFORMANCE, *args)
    last = out.strip().splitlines()[-1].split(", ")
    # start, end, MiB, MiB/s, records, records/s, rebalance ms, fetch ms, fetch MiB/s, …
    if len(last) != 10 or float(last[4]) < records:
        raise UnexpectedOutputError(out)
    return Measured(
        {
            "mb_per_s": float(last[8]) * MIB / 1e6,
            "cpu_s_per_gb": load.broker_cpu_s / (records * record_bytes / 1e9),
            "busy_cores": load.busy_cores,
        }
    )


def end_to_end_latency(peer: Peer, topic: str, records: int, record_bytes: int) -> Measured:
    """One record at a time: produced, acknowledged and consumed before the next."""
    args = ["--bootstrap-server", peer.bootstrap, "--topic", topic, "--producer-acks", "1"]
    args += ["--num-records", str(records), "--record-size", str(record_bytes)]
    out = _run(END_TO_END_LATENCY, *args)
    mean = re.search(r"Avg latency: ([\d.]+) ms", out)
    tail = re.search(r"50th = \d+, 99th = (\d+), 99\.9th = (\d+)", out)  # whole milliseconds
    if mean is None or tail is None:
        raise UnexpectedOutputError(out)
    return Measured(
        {"mean_ms": float(mean[1]), "p99_ms": float(tail[1]), "p999_ms": float(tail[2])}
    )
