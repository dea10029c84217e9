"""`barnabas serve` that takes file faults by a socket, and may be made of the core with bugs.

`served.py [--faults SOCKET] [--core DIRECTORY] [--bug NAME] serve …`. A line to the socket is JSON:
["fault", call, pattern, effect, value, times], ["heal"] or ["struck"]. The answer is how many calls
were struck so far.
"""

import argparse
import json
import os
import socket
import sys
import threading
from pathlib import Path


def serve_faults(path: str) -> None:
    """A thread that puts faults into force as it is told."""
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
                control.sendall(str(sum(fault.struck for fault in in_force)).encode())

    threading.Thread(target=work, daemon=True).start()


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--faults")
    parser.add_argument("--core")
    parser.add_argument("--bug")
    own, rest = parser.parse_known_args()
    import barnabas

    if own.core is not None:
        barnabas.__path__.insert(0, own.core)
    if own.bug is not None:
        os.environ["BARNABAS_BUG"] = own.bug
    if own.faults is not None:
        serve_faults(own.faults)
    from barnabas.cli.main import main as run

    return run(rest)


if __name__ == "__main__":
    sys.exit(main())
