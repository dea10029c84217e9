"""`barnabas serve` with a clock of its own that takes file faults by a socket, and may be made of
the core with bugs.

`served.py --faults SOCKET [--clock-ms AHEAD] [--core DIRECTORY] [--bug NAME] serve …`. A line to
the socket is JSON: ["fault", call, pattern, effect, value, times], ["heal"], ["step", clock by ms]
or ["struck"]. The answer is how many calls were struck so far.
"""

import argparse
import json
import os
import socket
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import barnabas

NS_PER_MS = 1_000_000
TICK_S = 0.02


def keep_going(clock: "barnabas.VirtualClock") -> None:
    """A thread that lets the calendar go on; timeouts, which do so anyway, go twice as fast."""

    def work() -> None:
        before = time.monotonic_ns()
        while True:
            time.sleep(TICK_S)
            now = time.monotonic_ns()
            clock.native.advance(now - before)
            before = now

    threading.Thread(target=work, daemon=True).start()


def serve_control(path: str, clock: "barnabas.VirtualClock") -> None:
    """A thread that puts faults into force, and sets the clock, as it is told."""
    from barnabas.testing import faults

    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    in_force: list[faults.Fault] = []

    def work() -> None:
        while True:
            control, _ = listener.accept()
            with control, control.makefile("r") as lines:
                what, *arguments = json.loads(lines.readline())
                if what == "fault":
                    call, pattern, effect, value, times = arguments
                    if effect == "fail":
                        made = faults.fail(call, pattern, error=value, times=times)
                    elif effect == "short":
                        made = faults.short(call, pattern, size=value, times=times)
                    elif effect == "tear":
                        made = faults.tear(pattern, size=value, times=times)
                    elif effect == "delay":
                        made = faults.delay(call, pattern, seconds=value / 1000, times=times)
                    else:
                        raise ValueError(f"no effect {effect}")
                    in_force.append(made)
                elif what == "heal":
                    for fault in in_force:
                        fault.remove()
                elif what == "step":
                    clock.native.step(arguments[0] * NS_PER_MS)
                control.sendall(str(sum(fault.struck for fault in in_force)).encode())

    threading.Thread(target=work, daemon=True).start()


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--faults", required=True)
    parser.add_argument("--clock-ms", type=int, default=0)
    parser.add_argument("--core")
    parser.add_argument("--bug")
    own, rest = parser.parse_known_args()
    import barnabas

    if own.core is not None:
        barnabas.__path__.insert(0, own.core)
    if own.bug is not None:
        os.environ["BARNABAS_BUG"] = own.bug
    from barnabas import node
    from barnabas.cli.main import main as run

    now = datetime.now(UTC)
    clock = barnabas.VirtualClock(now + timedelta(milliseconds=own.clock_ms))
    keep_going(clock)
    serve_control(own.faults, clock)
    # Where `barnabas serve` looks for it, which has no option for a clock.
    node.Node = partial(node.Node, clock=clock)  # type: ignore[assignment, misc]
    return run(rest)


if __name__ == "__main__":
    sys.exit(main())
