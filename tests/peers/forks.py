"""Children that need no start: forks of a process that has imported a test's module.

To start Python and import what a test imports costs more than most of what is then killed, and a
sweep over the steps of something has hundreds of children. The process that forks runs nothing
else, so it has no threads, and each child begins as the first would.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from barnabas.closing import Closing

_SERVE = "import sys; from peers.forks import _serve; _serve(sys.argv[1])"


@dataclass(frozen=True)
class Ended:
    returncode: int  # negative: the signal that ended it
    output: str  # stdout and stderr


class ForkServer(Closing):
    """Calls functions of a module, each in a child process of its own."""

    def __init__(self, module: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="barnabas-forks-")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    def run(self, function: Callable[..., object], *args: str, timeout_s: int) -> Ended:
        """How the child ended: 0 when the function has returned, 1 when it has raised."""
        output = Path(self._directory.name) / "output"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = [function.__name__, args, str(output), timeout_s]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        return Ended(int(answer), output.read_text(errors="replace"))

    def close(self) -> None:
        self._process.communicate()
        self._directory.cleanup()


def _serve(module_name: str) -> None:
    module = import_module(module_name)
    for line in sys.stdin:
        function, args, output, timeout_s = json.loads(line)
        child = os.fork()
        if child == 0:
            _be_the_child(getattr(module, function), args, output, timeout_s)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _be_the_child(
    function: Callable[..., object], args: list[str], output: str, timeout_s: int
) -> NoReturn:
    signal.alarm(timeout_s)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, becomes in ((null, 0), (file, 1), (file, 2)):
        os.dup2(descriptor, becomes)
    code = 0
    try:
        function(*args)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)
