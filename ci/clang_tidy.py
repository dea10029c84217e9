"""clang-tidy over csrc/: clang's warnings, lock annotations and the chosen checks as errors.

`python ci/clang_tidy.py BUILD_DIR JOBS` configures BUILD_DIR with clang and checks every source of
its compile_commands.json that lies in csrc/. What costs is what sources include, so those of a
layer are read as one, several at a time: they are written one after another into a file. So all of
them are the file that is compiled, of which clang says more than of what that includes. Sources
that passed are not read again until something they include, the checks or the compiler's flags
change.
"""

import hashlib
import json
import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNIT_FILES = 12  # at most: a change of one has all of them read again


@dataclass(frozen=True)
class Source:
    file: Path
    flags: tuple[str, ...]  # the compiler first


@dataclass(frozen=True)
class Unit:
    """Sources of one layer that are read as one."""

    name: str
    sources: tuple[Source, ...]

    def text(self) -> str:
        return "".join(source.file.read_text() for source in self.sources)

    def place(self, line: int) -> str:
        """Which line of which source a line of the text is."""
        for source in self.sources:
            count = source.file.read_text().count("\n")
            if line <= count:
                break
            line -= count
        return f"{source.file}:{line}"


def configure(build: Path) -> None:
    options = [
        "-DCMAKE_CXX_COMPILER=clang++",
        "-DCCACHE=OFF",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    command = ["cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def sources_of(build: Path) -> list[Source]:
    """Those in csrc/."""
    entries = json.loads((build / "compile_commands.json").read_text())
    # The objects of the core with planted bugs are built of the same sources.
    own = [e for e in entries if "BARNABAS_PLANTED_BUGS" not in e["command"]]
    commands = {Path(e["file"]): shlex.split(e["command"]) for e in own}
    return [
        Source(file, tuple(command[: command.index("-o")]))
        for file, command in sorted(commands.items())
        if ROOT / "csrc" in file.parents
    ]


def units_of(sources: list[Source]) -> list[Unit]:
    units: list[Unit] = []
    for (layer, _), grouped in groupby(sources, key=lambda s: (s.file.parent, s.flags)):
        group = tuple(grouped)
        count = -(-len(group) // UNIT_FILES)
        for n in range(count):  # of about the same size
            part = group[n * len(group) // count : (n + 1) * len(group) // count]
            units.append(Unit(f"{layer.name}-{len(units) + 1}", part))
    return units


def fingerprint(build: Path, file: Path, flags: tuple[str, ...]) -> str:
    """Of everything that the check of a file depends on."""
    listing = subprocess.run(
        [*flags, "-MM", str(file)], cwd=build, check=True, capture_output=True, text=True
    ).stdout
    included = listing.replace("\\\n", " ").partition(":")[2].split()
    digest = hashlib.sha256(" ".join(flags).encode())
    for path in [ROOT / ".clang-tidy", *(build / name for name in sorted(included))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def check(build: Path, unit: Unit) -> str | None:
    """What is wrong with a unit; None when nothing is."""
    file = build / "units" / f"{unit.name}.cc"
    file.write_text(unit.text())
    flags = unit.sources[0].flags
    stamp = build / "passed" / f"{fingerprint(build, file, flags)}-{unit.name}"
    if stamp.exists():
        return None
    tidy = ["clang-tidy", "-quiet", f"--config-file={ROOT / '.clang-tidy'}", str(file), "--"]
    result = subprocess.run(
        [*tidy, *flags[1:]], cwd=build, check=False, capture_output=True, text=True
    )
    if result.returncode != 0:
        where = re.compile(re.escape(str(file)) + r":(\d+)")
        output = f"{result.stdout}{result.stderr}"
        return where.sub(lambda found: unit.place(int(found[1])), output)
    stamp.touch()
    return None


def main() -> int:
    build, jobs = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    configure(build)
    for directory in ("passed", "units"):
        (build / directory).mkdir(exist_ok=True)
    sources = sources_of(build)
    units = units_of(sources)
    with ThreadPoolExecutor(jobs) as pool:
        findings = pool.map(lambda unit: check(build, unit), units)
        failed = [finding for finding in findings if finding is not None]
    of = f"{len(sources)} files in {len(units)} units"
    print(*failed, f"clang-tidy: {of}, {len(failed)} with findings", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
