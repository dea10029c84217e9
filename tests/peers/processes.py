"""Child processes of tests: started with their output in a file, waited for, never left behind."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class ProcessFailedError(RuntimeError):
    """A child process ended, or did not get ready; the message holds the end of its output."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has now, nor gets by connecting to somebody.

    So whoever listens on it can be killed and started there again.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(10_000, max(lowest, 20_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def can_connect(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def wait_until(
    condition: Callable[[], object], timeout_s: float, what: str, poll_s: float = 0.02
) -> None:
    """Returns once `condition` holds; raises TimeoutError naming `what` when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(poll_s)


class Child:
    """One child process in a session of its own; stdout and stderr go to files in `directory`."""

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        name: str,
        env: Mapping[str, str] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.stdout_path = directory / f"{name}.out"
        self.stderr_path = directory / f"{name}.err"
        with self.stdout_path.open("wb") as out, self.stderr_path.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def stdout(self) -> str:
        return self.stdout_path.read_text(errors="replace")

    def stderr(self) -> str:
        return self.stderr_path.read_text(errors="replace")

    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        """As wait_until, but a child that ends early fails at once and with its output."""

        def ready() -> object:
            if condition():
                return True
            if not self.is_running():
                raise ProcessFailedError(f"ended before {what}: {self.describe()}")
            return False

        try:
            wait_until(ready, timeout_s, what)
        except TimeoutError as error:
            raise ProcessFailedError(f"{error}: {self.describe()}") from error

    def terminate(self, timeout_s: float = 20) -> int:
        """SIGTERM, then waits; returns the exit code."""
        return self._stop(signal.SIGTERM, timeout_s)

    def kill(self) -> int:
        """SIGKILL, the process gets no say; returns the exit code."""
        return self._stop(signal.SIGKILL, 20)

    def describe(self) -> str:
        tail = "\n".join((self.stdout()[-2000:], self.stderr()[-4000:])).strip()
        return f"{self.process.args!r} (exit code {self.process.poll()})\n{tail}"

    def _stop(self, number: signal.Signals, timeout_s: float) -> int:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise ProcessFailedError(
                f"did not stop within {timeout_s:g} s: {self.describe()}"
            ) from None
