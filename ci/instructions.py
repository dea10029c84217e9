"""Counts the instructions of six operations of the data path; fails when one needs 5 % more.

`python ci/instructions.py PROGRAM` runs every operation of bench/native/instructions.cc under
callgrind and compares with ci/instructions.json; `--update` writes that file instead. Unlike time,
counts are the same on every run and every machine: what moves them is the code, the compiler and
the C library. A count of another toolchain than the baseline's says nothing of the change, so it is
shown and not judged: a failure as well, unless `--any-toolchain` says that this is known. What
valgrind shows of a processor (AVX2 or not) moves a count by less than 1 %, through the C library's
choice of memcpy.

Instructions of the kernel are not counted, and one instruction may cost a hundred others: this
guards against code that grows unseen, `make bench-native` measures time.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

BASELINE = Path(__file__).with_suffix(".json")
TOLERANCE = 0.05
COUNTED_FUNCTION = "count_here"  # of instructions.cc
UPDATE = "make instructions UPDATE=1"


@dataclass(frozen=True)
class Counts:
    """Instructions an iteration, by operation, and what they were counted with."""

    toolchain: tuple[str, ...]
    operations: dict[str, float]


class Verdict(NamedTuple):
    """What a comparison comes to: lines for people, and whether it fails."""

    lines: list[str]
    failed: bool
    is_judged: bool = True  # False: the counts are of another toolchain than the baseline


# -- judging


def compare(baseline: Counts, measured: Counts) -> Verdict:
    """A table, and below it what somebody has to do, if anything."""
    lines = [f"{'operation':<24}{'baseline':>12}{'now':>12}{'change':>10}"]
    worse, better, unknown = [], [], []
    for name in sorted(baseline.operations.keys() | measured.operations.keys()):
        before, now = baseline.operations.get(name), measured.operations.get(name)
        if before is None or now is None:
            unknown.append(f"{name} is {'new' if before is None else 'gone'}: {UPDATE}")
            continue
        change = now / before - 1
        lines.append(f"{name:<24}{before:>12,.1f}{now:>12,.1f}{change:>+10.2%}")
        if change > TOLERANCE:
            worse.append(
                f"{name} needs {change:.1%} more instructions, {TOLERANCE:.0%} are allowed: "
                f"mend it, or raise the baseline and say why ({UPDATE})"
            )
        elif change < -TOLERANCE:
            better.append(
                f"{name} needs {-change:.1%} fewer instructions: lower the baseline ({UPDATE})"
            )
    if baseline.toolchain != measured.toolchain:
        lines.append(
            f"not judged: the baseline is of {', '.join(baseline.toolchain)}, "
            f"this is {', '.join(measured.toolchain)}"
        )
        return Verdict(lines + unknown, bool(unknown), is_judged=False)
    return Verdict(lines + unknown + better + worse, bool(unknown or worse))


# -- counting


def output_of(*command: str | Path, directory: str | None = None) -> str:
    """What a command prints. Its environment says nothing of the user's."""
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd=directory,
        env={"PATH": os.environ["PATH"]},
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def count(program: Path, operation: str) -> int:
    """The instructions of all iterations of an operation."""
    with tempfile.TemporaryDirectory() as directory:
        counted = Path(directory) / "counted"
        output_of(
            "valgrind",
            "--tool=callgrind",
            f"--toggle-collect={COUNTED_FUNCTION}",
            f"--callgrind-out-file={counted}",
            program,
            operation,
            directory=directory,
        )
        total = re.search(r"^totals: (\d+)$", counted.read_text(), re.MULTILINE)
    if total is None or int(total[1]) == 0:
        raise SystemExit(f"callgrind counted nothing in {COUNTED_FUNCTION} of {operation}")
    return int(total[1])


def measure(program: Path) -> Counts:
    toolchain = [line.strip() for line in output_of(program, "toolchain").splitlines()]
    toolchain.append(output_of("valgrind", "--version").strip().replace("-", " "))
    operations = {}
    for line in output_of(program, "list").splitlines():
        name, times = line.split()
        operations[name] = round(count(program, name) / int(times), 1)
    return Counts(tuple(toolchain), operations)


# -- the baseline


def load(path: Path) -> Counts:
    stored = json.loads(path.read_text())
    return Counts(tuple(stored["toolchain"]), stored["instructions"])


def store(path: Path, counts: Counts) -> None:
    operations = dict(sorted(counts.operations.items()))
    stored = {"toolchain": counts.toolchain, "instructions": operations}
    path.write_text(json.dumps(stored, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program", type=Path, help="bench/native/instructions.cc, compiled")
    parser.add_argument("--update", action="store_true", help="write the baseline")
    parser.add_argument(
        "--any-toolchain", action="store_true", help="no failure when the baseline is of another"
    )
    arguments = parser.parse_args()
    measured = measure(arguments.program.resolve())
    if arguments.update:
        store(BASELINE, measured)
        print(BASELINE.read_text(), end="")
        return 0
    verdict = compare(load(BASELINE), measured)
    print(*verdict.lines, sep="\n")
    return 1 if verdict.failed or not (verdict.is_judged or arguments.any_toolchain) else 0


if __name__ == "__main__":
    sys.exit(main())
