"""A wheel of dist/ in environments that have nothing else, and tests that see no sources.

One environment has what `pip install barnabas` brings and no more: the broker must start there. The
other has the extras and pytest too: the tests run there, from a copy outside the source tree.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wheels.interpreters import Version
from wheels.places import DIST, ROOT, WORK, run

EXTRAS: Final = "cli,bench,numpy,arrow"
# What tests import besides; clients of other languages and the codecs of Python's are left out.
_TEST_NEEDS: Final = (
    "pytest>=8",
    "pytest-timeout",
    "pytest-xdist",
    "pytest-benchmark",
    "hypothesis",
    "pandas",
    "polars",
)
_CORE_TESTS: Final = (
    "tests/installed",
    "tests/unit/test_package.py",
    "tests/unit/test_embed.py",
    "tests/unit/embedded",
    "tests/unit/test_log.py",
    "tests/unit/test_records.py",
    "tests/unit/test_pytest_plugin.py",
    "tests/clients/test_confluent_kafka.py",
    "tests/clients/test_cli_topic.py",
)


def find_wheel(tag: str, folder: Path = DIST) -> Path:
    """The one wheel of that interpreter."""
    abi = f"cp{tag.removeprefix('cp').rstrip('t')}-{tag}"
    found = list(folder.glob(f"*-{abi}-*.whl"))
    if len(found) != 1:
        raise SystemExit(f"{folder} has {len(found)} wheels of {abi}, not one")
    return found[0]


def check(version: Version, python: Path, options: Sequence[str] = ()) -> str:
    """Installs and tests the wheel of that interpreter; what was shown."""
    wheel = find_wheel(version.tag)
    pipx = str(Path(sys.executable).with_name("pipx"))
    run_it = [pipx, "run", "--python", str(python), "--spec", str(wheel), "barnabas"]
    smoke(python, wheel, version.tag, run_it)
    environment = fresh_environment(python, f"{version.tag}-tests")
    install(environment, f"{wheel}[{EXTRAS}]", *_TEST_NEEDS)
    with tempfile.TemporaryDirectory(prefix="barnabas-wheel-") as elsewhere:
        for name in ("tests", "README.md", "Makefile", "pyproject.toml"):
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, Path(elsewhere) / name)
        pytest = [
            str(environment / "bin" / "pytest"),
            "-q",
            f"--wheel={wheel}",
            *options,
            *_CORE_TESTS,
        ]
        # No conftest of ours, nor a path of the sources, decides which barnabas is imported.
        done = subprocess.run(pytest, cwd=elsewhere, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{version.tag}: the tests fail, exit code {done.returncode}")
    return "installed, tested"


def smoke(python: Path, wheel: Path, name: str, another: Sequence[str] = ()) -> None:
    """The wheel alone: dependencies are complete, and a broker starts and stops; so it does by
    `another` command that is `barnabas`.
    """
    environment = fresh_environment(python, name)
    install(environment, str(wheel))
    script = ROOT / "ci" / "wheels" / "smoke.py"
    with tempfile.TemporaryDirectory(prefix="barnabas-wheel-") as elsewhere:
        home = {"PIPX_HOME": f"{elsewhere}/pipx", "PIPX_BIN_DIR": f"{elsewhere}/bin"}
        python_there = environment / "bin" / "python"
        run([python_there, "-I", script, *another], cwd=Path(elsewhere), env=home)


def fresh_environment(python: Path, name: str) -> Path:
    """A virtual environment with pip and nothing else."""
    environment = WORK / "environments" / name
    shutil.rmtree(environment, ignore_errors=True)
    run([python, "-m", "venv", environment])
    return environment


def install(environment: Path, *what: str) -> None:
    """Installs it, from wheels only, and lets pip check that nothing is missing."""
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "-q", "--prefer-binary", *what])
    run([*pip, "check"])
