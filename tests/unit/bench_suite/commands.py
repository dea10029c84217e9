"""The benchmarks' commands as a user runs them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run_module(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """`python -m name options`, from the root."""
    return subprocess.run(
        [sys.executable, "-m", name, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
