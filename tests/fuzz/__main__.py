"""Runs every native fuzzer for an equal part of the time: `python tests/fuzz BUILD_DIR [SECONDS]`.

SECONDS are those of one processor; `--jobs N` runs N fuzzers at a time.

Each starts from generated seeds, under the sanitizers of the build, with a cap on memory and on the
time of one input. Exit code 1 when one found something; its input is kept and named.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMORY_LIMIT_MB = 1024
INPUT_TIMEOUT_S = 10
MAX_INPUT_BYTES = 8192


def run_fuzzer(binary: Path, seconds: int, findings: Path) -> bool:
    """Whether the fuzzer found nothing."""
    from fuzz.seeds import SEEDS, shapes_file

    with tempfile.TemporaryDirectory(prefix="barnabas-fuzz-") as directory:
        shapes = Path(directory) / "shapes"
        shapes.write_bytes(shapes_file())
        corpus = Path(directory) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(SEEDS[binary.name]()):
            (corpus / f"seed-{number}").write_bytes(seed)
        command = [
            str(binary),
            str(corpus),
            f"-max_total_time={seconds}",
            f"-max_len={MAX_INPUT_BYTES}",
            f"-rss_limit_mb={MEMORY_LIMIT_MB}",
            f"-timeout={INPUT_TIMEOUT_S}",
            f"-artifact_prefix={findings}/{binary.name}-",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        # What was freed counts as memory while the sanitizer holds it back: not much of it.
        env = {
            **os.environ,
            "ASAN_OPTIONS": "quarantine_size_mb=16",
            "BARNABAS_FUZZ_SHAPES": str(shapes),
        }
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=env,
        )
    if done.returncode != 0:
        print(f"{binary.name}: FOUND\n{done.stderr[-6000:]}")
        return False
    stats = dict(
        line.removeprefix("stat::").split(":", 1)
        for line in done.stderr.splitlines()
        if line.startswith("stat::")
    )
    executed = int(stats["number_of_executed_units"])
    print(f"{binary.name}: {executed:,} inputs, nothing found, {stats['peak_rss_mb'].strip()} MB")
    return True


def main() -> int:
    """Runs all fuzzers of a build."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("build_dir", type=Path)
    parser.add_argument("seconds", type=int, nargs="?", default=60)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    sources = sorted(HERE.glob("fuzz_*.cc"))
    findings = arguments.build_dir.resolve() / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    share = max(1, arguments.seconds // len(sources))
    binaries = [arguments.build_dir / path.stem for path in sources]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        clean = list(pool.map(partial(run_fuzzer, seconds=share, findings=findings), binaries))
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    sys.exit(main())
