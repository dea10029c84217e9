"""The command line of this package; see its docstring."""

import argparse
import os
import sys
import time
from pathlib import Path

from wheels import clean_room, libraries, toolchain, wheel
from wheels.interpreters import VERSIONS, find
from wheels.places import ROOT


def main() -> int:
    """Builds or tests wheels of the versions that can be had; says which could not."""
    tags = [version.tag for version in VERSIONS]
    parser = argparse.ArgumentParser(prog="python -m wheels")
    parser.add_argument("action", choices=("build", "test", "smoke"))
    parser.add_argument("--only", action="append", choices=tags, help="by default all of them")
    parser.add_argument("--pytest", default="", help="options of pytest, for test")
    args = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    if args.action == "smoke":
        wheel.unpack(wheel.make_sdist(Path(sys.executable)))
        made = wheel.build_here(Path(sys.executable))
        clean_room.smoke(Path(sys.executable), made, "smoke")
        print(f"{made.name}: a broker starts where nothing else is installed")
        return 0
    wanted = [version for version in VERSIONS if version.tag in (args.only or tags)]
    interpreters = {version: find(version) for version in wanted}
    if args.action == "build":
        wheel.unpack(wheel.make_sdist(Path(sys.executable)))
        environment = toolchain.install()
        prefix, components = libraries.build(environment)
    missing = [version.tag for version, python in interpreters.items() if python is None]
    for version, python in interpreters.items():
        if python is None:
            continue
        begin_s = time.monotonic()
        if args.action == "build":
            made = wheel.build(version, python, prefix, environment, components)
            said = f"{made.relative_to(ROOT)}, {made.stat().st_size / 1e6:.1f} MB"
        else:
            said = clean_room.check(version, python, args.pytest.split())
        print(f"{version.tag}: {said}, {time.monotonic() - begin_s:.0f} s", flush=True)
    if missing:
        print(f"no interpreter to be had: {', '.join(missing)}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
