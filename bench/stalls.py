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
    """Those of a span of time."""

    count: int
    longest_s: float
    total_s: float

    def note(self) -> str:
        return (
            f"the machine stood still {self.count} time{'s'[: self.count > 1]}, "
            f"for up to {self.longest_s * 1000:.0f} ms"
        )


class StallWatch:
    """Watches from a process of its own while the block runs."""

    def __enter__(self) -> "StallWatch":
        self._file = tempfile.NamedTemporaryFile(prefix="barnabas-bench-stalls-")
        command = [sys.executable, str(Path(__file__))]
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
        found = [length_s for at_s, length_s in pairs if at_s >= begin_s]
        return Stalls(len(found), max(found, default=0.0), sum(found))


def watch() -> None:
    """Never returns."""
    while True:
        begin_s = time.monotonic()
        time.sleep(SLEEP_S)
        late_s = time.monotonic() - begin_s - SLEEP_S
        if late_s > LATE_S:
            print(f"{begin_s:.6f} {late_s:.6f}", flush=True)


if __name__ == "__main__":
    watch()
