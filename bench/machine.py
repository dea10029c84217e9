"""The machine: what it is, and making it ready to be measured on."""

import mmap
import os
import platform
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

import confluent_kafka

from bench.librdkafka import FETCH_BACKOFF_MS, STATISTICS_MS

ROOT = Path(__file__).parents[1]


def facts() -> dict[str, str]:
    """For a report."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": f"{os.cpu_count()} cores of {_processor()}",
        "memory": f"{memory_gb:.0f} GB",
        "system": f"Linux {platform.release()}, {_file_system()}",
        "load": f"{os.getloadavg()[0]:.1f} at the start; clients and brokers share the cores",
        "clients": (
            f"Python {platform.python_version()}, confluent-kafka {version('confluent-kafka')}, "
            f"librdkafka {confluent_kafka.libversion()[0]} with its defaults but for "
            f"statistics.interval.ms={STATISTICS_MS} and, of consumers, "
            f"enable.auto.commit=false and fetch.queue.backoff.ms={FETCH_BACKOFF_MS}"
        ),
    }


def commit() -> str:
    """The checkout's, with a plus when it has changes."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def touch_memory(size_gb: float) -> None:
    """Writes to free memory and frees it again, so that it is what is taken next.

    A virtual machine's free memory may be with its host, which gives it back page by page at a
    cost of half a second of CPU per GB; whoever writes to the page cache then would pay for it,
    once more and once less.
    """
    size = int(size_gb * 1e9)
    if size == 0:
        return
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for position in range(0, size, mmap.PAGESIZE):
            memory[position] = 1


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system() -> str:
    words = ["stat", "-f", "-c", "%T", tempfile.gettempdir()]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
