"""Where things lie, and how a program is run."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
WORK: Final = ROOT / "build" / "wheels"  # all that may be thrown away
DIST: Final = ROOT / "dist"
JOBS: Final = os.environ.get("JOBS", "2")


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Runs it and returns its stdout; what it said is shown when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shown = " ".join(str(word) for word in command)
        raise SystemExit(f"{shown}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
