"""The command line of this package; see its docstring."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from wheels import clean_room, libraries, rebuild, toolchain, wheel
from wheels.interpreters import TAGS, find
from wheels.places import ROOT

Result = TypeVar("Result")


def main() -> int:
    """Does that with wheels of the versions that are installed; says which are left out."""
    parser = argparse.ArgumentParser(prog="python -m wheels")
    parser.add_argument("action", choices=("build", "test", "rebuild", "smoke"))
    parser.add_argument("--only", action="append", choices=TAGS, help="by default all of them")
    parser.add_argument("--pytest", default="", help="options of pytest, for test")
    args = parser.parse_args()
    os.umask(0o022)  # a wheel has its files' modes
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if args.action == "smoke":
        print(timed("smoke", smoke))
        return 0
    interpreters = {tag: find(tag) for tag in args.only or TAGS}
    found = {tag: python for tag, python in interpreters.items() if python is not None}
    missing = ", ".join(sorted(interpreters.keys() - found.keys()))
    if missing and (args.only or not found):
        print(f"no interpreter with headers is installed: {missing}", file=sys.stderr)
        return 1
    if args.action == "build":
        build(found)
    elif args.action == "rebuild":
        for tag in found:
            print(timed(f"{tag} built again", partial(rebuild.check, tag)), flush=True)
    else:
        for tag, python in found.items():
            timed(f"{tag} tested", partial(clean_room.check, tag, python, args.pytest.split()))
    if missing:
        print(f"left out, as no interpreter with headers is installed: {missing}")
    return 0


def smoke() -> str:
    """What pip makes of the sdist here starts where nothing else is installed."""
    python = Path(sys.executable)
    source = wheel.unpack(wheel.make_sdist(python), "source-here")
    made = wheel.build_here(python, source)
    clean_room.smoke(python, made, "smoke")
    return f"a broker of {made.name} starts where nothing else is installed"


def build(interpreters: dict[str, Path]) -> None:
    """The sdist and the wheels, in dist/."""
    source = wheel.unpack(wheel.make_sdist(Path(sys.executable)), "source")
    environment = toolchain.install()
    prefix, components = timed("libraries", partial(libraries.build, environment))
    for tag, python in interpreters.items():
        made = timed(
            f"{tag} built",
            partial(wheel.build, tag, python, source, prefix, environment, components=components),
        )
        print(f"{made.relative_to(ROOT)}: {made.stat().st_size / 1e6:.2f} MB", flush=True)


def timed(what: str, step: Callable[[], Result]) -> Result:
    """Takes the step, and says how long it took."""
    begin_s = time.monotonic()
    result = step()
    print(f"{what}: {time.monotonic() - begin_s:.0f} s", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
