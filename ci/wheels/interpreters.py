"""The interpreters that wheels are built for.

A version that is installed, by pyenv or on PATH, is taken as it is. Others are built from Debian's
source packages, into build/wheels/python: 3.12 alone is in no suite that has its source.
"""

import glob
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wheels.debian_source import fetch
from wheels.places import JOBS, WORK, run

_BUILD_NEEDS: Final = ("libssl-dev", "libffi-dev", "zlib1g-dev", "libsqlite3-dev")
_TAG_OF_IT: Final = (
    "import sys, sysconfig; t = 't' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''; "
    "print('cp%d%d' % sys.version_info[:2] + t)"
)


@dataclass(frozen=True)
class Version:
    """A version of CPython: `cp313t` is the free-threaded 3.13."""

    tag: str
    suite: str | None  # of Debian, where its source is

    @property
    def number(self) -> str:
        digits = self.tag.removeprefix("cp").rstrip("t")
        return f"{digits[0]}.{digits[1:]}"

    @property
    def is_free_threaded(self) -> bool:
        return self.tag.endswith("t")


VERSIONS: Final = (
    Version("cp311", "bookworm"),
    Version("cp312", None),
    Version("cp313", "trixie"),
    Version("cp313t", "trixie"),
)


def find(version: Version) -> Path | None:
    """An interpreter of that version with its headers; None when there is none to be had."""
    for candidate in _installed(version):
        if candidate.exists() and _is(candidate, version):
            return candidate
    return _build(version) if version.suite else None


def _installed(version: Version) -> list[Path]:
    name = f"python{version.number}{'t' if version.is_free_threaded else ''}"
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    paths = sorted(glob.glob(f"{pyenv}/versions/{version.number}*/bin/{name}"))
    on_path = shutil.which(name)
    return [*map(Path, reversed(paths)), *([Path(on_path)] if on_path else [])]


def _is(python: Path, version: Version) -> bool:
    done = subprocess.run([python, "-c", _TAG_OF_IT], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version.tag


def _build(version: Version) -> Path:
    prefix = WORK / "python" / version.tag
    python = prefix / "bin" / "python3"
    if python.exists():
        return python
    assert version.suite is not None
    run(["bash", "ci/apt-install.sh", *_BUILD_NEEDS])
    source = fetch(f"python{version.number}", version.suite)
    tree = WORK / "python" / f"{version.tag}-build"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    options = ["--with-ensurepip=install", *(["--disable-gil"] if version.is_free_threaded else [])]
    run([source.directory / "configure", "-q", f"--prefix={prefix}", *options], cwd=tree)
    run(["make", "-s", f"-j{JOBS}"], cwd=tree)
    run(["make", "-s", "install"], cwd=tree)
    shutil.rmtree(tree)
    return python
