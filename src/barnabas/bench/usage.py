"""What processes use: CPU from their clocks, memory and context switches from /proc."""

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SCHEDULER_CLOCK: Final = 2  # of the three that a process has: what it ran, in ns


@dataclass(frozen=True)
class Usage:
    """Of a process since its start; memory is that of the moment."""

    cpu_s: float  # user and system, all threads
    rss_bytes: int = 0
    peak_rss_bytes: int = 0
    context_switches: int = 0  # of the threads that run now


def own_usage() -> Usage:
    """This process's CPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(used.ru_utime + used.ru_stime)


def process_usage(pid: int) -> Usage:
    """That of another process. Raises OSError when there is none, or it may not be read."""
    directory = Path(f"/proc/{pid}")
    memory = _status(directory / "status")
    switches = 0
    for thread in (directory / "task").iterdir():
        try:
            status = _status(thread / "status")
        except OSError:  # it has just ended
            continue
        switches += status["voluntary_ctxt_switches"] + status["nonvoluntary_ctxt_switches"]
    return Usage(
        cpu_s=time.clock_gettime(_cpu_clock(pid)),
        rss_bytes=memory.get("VmRSS", 0) << 10,
        peak_rss_bytes=memory.get("VmHWM", 0) << 10,
        context_switches=switches,
    )


def _cpu_clock(pid: int) -> int:
    """clock_getcpuclockid(3): ns of all threads, those that have ended as well."""
    return ~pid << 3 | _SCHEDULER_CLOCK


def _status(path: Path) -> dict[str, int]:
    """The numbers of a /proc status file; sizes are in KiB there."""
    numbers = {}
    for line in path.read_text().splitlines():
        name, _, text = line.partition(":")
        words = text.split()
        if words and words[0].isdigit():
            numbers[name] = int(words[0])
    return numbers
