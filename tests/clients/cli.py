"""Runs the `barnabas` command as its users do: as a process, in pipes and on a terminal."""

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BARNABAS = str(Path(sys.executable).with_name("barnabas"))
TIMEOUT_S = 60


@dataclass(frozen=True)
class CliRun:
    """What a command did."""

    exit_code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a tab-separated table, without its header."""
        return [line.split("\t") for line in self.lines[1:]]

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


class Cli:
    """The command, with the cluster to talk to."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def command(self, *args: str) -> list[str]:
        return [BARNABAS, *args, "--bootstrap-server", self.bootstrap]

    def run(self, *args: str, stdin: bytes = b"") -> CliRun:
        """Runs it in pipes."""
        return run_command(self.command(*args), stdin)

    def ok(self, *args: str, stdin: bytes = b"") -> CliRun:
        """Runs it in pipes; it has to succeed."""
        run = self.run(*args, stdin=stdin)
        assert run.exit_code == 0, run.stderr
        return run

    def fails(self, *args: str, stdin: bytes = b"", exit_code: int = 1) -> str:
        """Runs it in pipes; it has to fail and to say why in one line, which is returned."""
        run = self.run(*args, stdin=stdin)
        assert run.exit_code == exit_code, run
        assert "Traceback" not in run.stderr
        assert run.stderr.count("\n") == 1, run.stderr
        return run.stderr

    def new_topic(self, partitions: int = 1, *options: str) -> str:
        name = f"cli-{uuid.uuid4().hex[:12]}"
        self.ok("topic", "create", name, "--partitions", str(partitions), *options)
        return name


def run_command(command: Sequence[str], stdin: bytes = b"") -> CliRun:
    """Runs a command in pipes."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False)
    return CliRun(done.returncode, done.stdout, done.stderr.decode())


def run_on_terminal(command: Sequence[str], columns: int = 120) -> tuple[int, str]:
    """Runs a command on a terminal of its own; returns the exit code and all that it showed."""
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "40"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, env=env
    )
    os.close(follower)
    shown = bytearray()
    deadline = time.monotonic() + TIMEOUT_S
    with contextlib.suppress(OSError):  # EIO: the other side is closed
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 1)[0]:
                chunk = os.read(leader, 1 << 16)
                if not chunk:
                    break
                shown += chunk
    os.close(leader)
    try:
        return process.wait(TIMEOUT_S), shown.decode()
    except subprocess.TimeoutExpired:
        process.kill()
        raise
