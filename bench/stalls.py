"""When the whole machine stands still: a virtual one does, and no broker can help it.

A process that does nothing but sleep notes when it was woken much too late. Run as a program, it is
that process: it prints a line for each time.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

SLEEP_S = 0.002
LATE_S = 0.02  # ten times a scheduler's slice: work of other processes alone is not this slow


@dataclass(frozen=True)
class Stalls:
    """Those of a span of time: when each began, and how long it was."""

    found: tuple[tuple[float, float], ...] = ()

    @property
    def count(self) -> int:
        return len(self.found)

    @property
    def longest_s(self) -> float:
        return max((length_s for _, length_s in self.found), default=0.0)

    @property
    def total_s(self) -> float:
        return sum(length_s for _, length_s in self.found)

    def within(self, begin_s: float, end_s: float) -> float:
        """For how long of that span the machine stood still."""
        spans = ((at_s, at_s + SLEEP_S + length_s) for at_s, length_s in self.found)
        return sum(max(min(end, end_s) - max(begin, begin_s), 0.0) for begin, end in spans)

    def note(self) -> str:
        return (
            f"the machine stood still {self.count} time{'s'[: self.count > 1]}, "
            f"for up to {self.longest_s * 1000:.0f} ms"
        )


class StallWatch:
    """Watches from a process of its own while the block runs."""

    def __init__(self, late_s: float = LATE_S) -> None:
        self._late_s = late_s  # what counts

    def __enter__(self) -> "StallWatch":
        self._file = tempfile.NamedTemporaryFile(prefix="barnabas-bench-stalls-")
        command = [sys.executable, str(Path(__file__)), str(self._late_s)]
        self.process = subprocess.Popen(command, stdout=self._file)
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(FileNotFoundError):
            self._file.close()

    def since(self, begin_s: float) -> Stalls:
        """Those that began after that moment of the monotonic clock."""
        lines = Path(self._file.name).read_text().split("\n")[:-1]
        pairs = (map(float, line.split()) for line in lines)
        return Stalls(tuple((at_s, late_s) for at_s, late_s in pairs if at_s >= begin_s))


def watch(least_s: float) -> None:
    """Never returns."""
    while True:
        begin_s = time.monotonic()
        time.sleep(SLEEP_S)
        late_s = time.monotonic() - begin_s - SLEEP_S
        if late_s > least_s:
            print(f"{begin_s:.6f} {late_s:.6f}", flush=True)


if __name__ == "__main__":
    watch(float(sys.argv[1]))
