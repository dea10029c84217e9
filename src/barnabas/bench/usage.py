"""What processes use: CPU, memory and context switches, from /proc and getrusage."""

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NS_PER_S: Final = 1e9


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
    # Fields are counted from behind the command's name, which may hold anything.
    fields = (directory / "stat").read_text().rpartition(")")[2].split()
    memory = _status(directory / "status")
    switches = running_ns = 0
    for thread in (directory / "task").iterdir():
        try:
            status = _status(thread / "status")
            running_ns += int((thread / "schedstat").read_text().split()[0])
        except OSError:  # it has just ended
            continue
        switches += status["voluntary_ctxt_switches"] + status["nonvoluntary_ctxt_switches"]
    # The process's own time comes in ticks of 10 ms; that of its threads in ns, but only of those
    # that still run.
    ticks_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return Usage(
        cpu_s=max(ticks_s, running_ns / _NS_PER_S),
        rss_bytes=memory.get("VmRSS", 0) << 10,
        peak_rss_bytes=memory.get("VmHWM", 0) << 10,
        context_switches=switches,
    )


def _status(path: Path) -> dict[str, int]:
    """The numbers of a /proc status file; sizes are in KiB there."""
    numbers = {}
    for line in path.read_text().splitlines():
        name, _, text = line.partition(":")
        words = text.split()
        if words and words[0].isdigit():
            numbers[name] = int(words[0])
    return numbers
