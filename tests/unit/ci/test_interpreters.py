"""Which interpreters wheels are built for."""

import sys
from pathlib import Path

import pytest

from wheels.interpreters import find

HERE = "cp{}{}".format(*sys.version_info)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that alone is on PATH, without pyenv."""
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_one_that_is_not_installed_is_none(on_path: Path) -> None:
    assert find(HERE) is None


def test_one_on_path_is_found(on_path: Path) -> None:
    python = on_path / "python{}.{}".format(*sys.version_info)
    python.symlink_to(sys.executable)
    assert find(HERE) == python


@pytest.mark.parametrize("says", ["echo cp310", "exit 127"])
def test_one_that_is_another_or_cannot_run_is_none(on_path: Path, says: str) -> None:
    """pyenv has a `python3.12` on PATH that only says that it is not installed."""
    python = on_path / "python{}.{}".format(*sys.version_info)
    python.write_text(f"#!/bin/sh\n{says}\n")
    python.chmod(0o755)
    assert find(HERE) is None
