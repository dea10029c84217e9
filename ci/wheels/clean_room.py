"""A wheel of dist/ in environments that have nothing else, and tests that see no sources.

One environment has what `pip install barnabas` brings and no more: the broker must start there. The
other has all the extras, pytest and the clients of Python too: the tests run there, from a copy
outside the source tree.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from wheels.environments import fresh_environment, install
from wheels.places import DIST, ROOT, run

EXTRAS: Final = "cli,bench,numpy,arrow,dev"
# What meets each extension module, each client and each extra; what is long or only Python's is
# left to `make test`.
_CORE_TESTS: Final = (
    "tests/installed",
    "tests/unit/test_package.py",
    "tests/unit/test_embed.py",
    "tests/unit/test_embed_fork.py",
    "tests/unit/embedded",
    "tests/unit/test_fork.py",
    "tests/unit/test_log.py",
    "tests/unit/test_log_columns.py",
    "tests/unit/test_log_processes.py",
    "tests/unit/test_records.py",
    "tests/unit/test_scan.py",
    "tests/unit/test_pytest_plugin.py",
    "tests/clients/test_confluent_kafka.py",
    "tests/clients/test_aiokafka.py",
    "tests/clients/test_kafka_python.py",
    "tests/clients/test_transactions.py",
    "tests/clients/test_append_hook.py",
    "tests/clients/test_broker_faults.py",
    "tests/clients/test_virtual_clock.py",
    "tests/clients/test_cli_topic.py",
    "tests/clients/test_cli_produce_consume.py",
)


def find_wheel(tag: str, folder: Path = DIST) -> Path:
    """The one wheel of that interpreter."""
    found = list(folder.glob(f"*-{tag}-{tag}-*.whl"))
    if len(found) != 1:
        raise SystemExit(f"{folder} has {len(found)} wheels of {tag}, not one")
    return found[0]


def check(tag: str, python: Path, options: Sequence[str] = ()) -> None:
    """Installs and tests the wheel of that interpreter."""
    wheel = find_wheel(tag)
    pipx = str(Path(sys.executable).with_name("pipx"))
    run_it = [pipx, "run", "--python", str(python), "--spec", str(wheel), "barnabas"]
    smoke(python, wheel, tag, run_it)
    environment = fresh_environment(python, f"{tag}-tests")
    install(environment, f"{wheel}[{EXTRAS}]")
    with tempfile.TemporaryDirectory(prefix="barnabas-wheel-") as elsewhere:
        for name in ("tests", "README.md", "Makefile", "pyproject.toml"):
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, Path(elsewhere) / name)
        pytest = [
            str(environment / "bin" / "pytest"),
            "-q",
            "-m",
            "not slow and not java and not go",
            f"--wheel={wheel}",
            *options,
            *_CORE_TESTS,
        ]
        # No conftest of ours, nor a path of the sources, decides which barnabas is imported.
        done = subprocess.run(pytest, cwd=elsewhere, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{tag}: the tests fail, exit code {done.returncode}")


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
