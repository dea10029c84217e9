"""The kernel as a peer: bench/native/kernel_loop, which does only a broker's system calls."""

import json
import subprocess
import tempfile
from pathlib import Path

from bench.machine import touch_memory
from bench.peer import Measured

LARGE_BYTES = 4096
LARGE_SECONDS = 0.5
LARGE_WRITES_GB = 2.5
PROGRAM = Path(__file__).parents[1] / "build" / "bench" / "kernel_loop"


class Kernel:
    """Runs the loops. `memo` is what the brokers of the same repetition have told."""

    name = "kernel"

    def __init__(self) -> None:
        self.memo: dict[str, float] = {}

    def produce(
        self, request_bytes: float, connections: int = 1, in_flight: int = 1, seconds: float = 2
    ) -> Measured:
        """recv, crc32c, pwrite and an answer for each request."""
        if request_bytes >= LARGE_BYTES:  # no longer than its memory lasts, see touch_memory
            seconds = LARGE_SECONDS
            touch_memory(LARGE_WRITES_GB)
        options = ("--request-bytes", str(round(request_bytes)))
        return self._run("produce", *options, *_load(connections, in_flight, seconds))

    def fetch(
        self, answer_bytes: float, write_bytes: float, connections: int = 1, seconds: float = 2
    ) -> Measured:
        """recv of a request, sendfile of the answer out of a file written in such pieces."""
        sizes = (
            "--answer-bytes",
            str(round(answer_bytes)),
            "--write-bytes",
            str(round(write_bytes)),
        )
        return self._run("fetch", *sizes, *_load(connections, 1, seconds))

    @staticmethod
    def _run(mode: str, *options: str) -> Measured:
        with tempfile.TemporaryDirectory(prefix="barnabas-bench-kernel-") as directory:
            command = [str(PROGRAM), mode, *options, "--file", f"{directory}/data"]
            run = subprocess.run(command, check=True, capture_output=True, text=True)
        return Measured(json.loads(run.stdout))


def _load(connections: int, in_flight: int, seconds: float) -> tuple[str, ...]:
    values = {
        "connections": connections,
        "in-flight": in_flight,
        "seconds": seconds,
        "warm-up": 0.2,
    }
    return tuple(word for name, value in values.items() for word in (f"--{name}", str(value)))
