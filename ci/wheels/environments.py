"""Virtual environments, made anew for one purpose each."""

import shutil
from pathlib import Path

from wheels.places import WORK, run


def fresh_environment(python: Path, name: str) -> Path:
    """One with pip and nothing else; the one that had the name is gone."""
    environment = WORK / "environments" / name
    shutil.rmtree(environment, ignore_errors=True)
    run([python, "-m", "venv", environment])
    return environment


def install(environment: Path, *what: str) -> None:
    """Installs it, from wheels where there are any, and lets pip check that nothing is missing."""
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "-q", "--prefer-binary", *what])
    run([*pip, "check"])
