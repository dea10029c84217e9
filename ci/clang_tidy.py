"""clang-tidy over csrc/: clang's warnings, lock annotations and the chosen checks as errors.

`python ci/clang_tidy.py BUILD_DIR JOBS` configures BUILD_DIR with clang and checks every source of
its compile_commands.json that lies in csrc/. A file that passed is not read again until something
it includes, the checks or the compiler's flags change.
"""

import hashlib
import json
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]


def configure(build: Path) -> None:
    options = [
        "-DCMAKE_CXX_COMPILER=clang++",
        "-DCCACHE=OFF",
        f"-DPython_EXECUTABLE={sys.executable}",
    ]
    command = ["cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def compile_commands(build: Path) -> dict[Path, list[str]]:
    """Source to the command that compiles it, for csrc/."""
    entries = json.loads((build / "compile_commands.json").read_text())
    # The objects of the core with planted bugs are built of the same sources.
    own = [e for e in entries if "BARNABAS_PLANTED_BUGS" not in e["command"]]
    commands = {Path(e["file"]): shlex.split(e["command"]) for e in own}
    return {file: command for file, command in commands.items() if ROOT / "csrc" in file.parents}


def fingerprint(build: Path, file: Path, command: list[str]) -> str:
    """Of everything that the check of a file depends on."""
    flags = command[: command.index("-o")]
    listing = subprocess.run(
        [*flags, "-MM", str(file)], cwd=build, check=True, capture_output=True, text=True
    ).stdout
    included = listing.replace("\\\n", " ").partition(":")[2].split()
    digest = hashlib.sha256(" ".join(flags).encode())
    for path in [ROOT / ".clang-tidy", *(build / name for name in sorted(included))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def check(build: Path, file: Path, command: list[str]) -> str | None:
    """What is wrong with a file; None when nothing is."""
    stamp = build / "passed" / f"{fingerprint(build, file, command)}-{file.name}"
    if stamp.exists():
        return None
    tidy = ["clang-tidy", "-quiet", "-p", str(build), str(file)]
    result = subprocess.run(tidy, check=False, capture_output=True, text=True)
    if result.returncode != 0:
        return f"{file.relative_to(ROOT)}:\n{result.stdout}{result.stderr}"
    stamp.touch()
    return None


def main() -> int:
    build, jobs = Path(sys.argv[1]).resolve(), int(sys.argv[2])
    configure(build)
    (build / "passed").mkdir(exist_ok=True)
    commands = compile_commands(build)
    with ThreadPoolExecutor(jobs) as pool:
        findings = pool.map(lambda item: check(build, *item), sorted(commands.items()))
        failed = [finding for finding in findings if finding is not None]
    print(*failed, f"clang-tidy: {len(commands)} files, {len(failed)} with findings", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
