"""The wheel of dist/ once more, elsewhere: whoever builds it gets the same bytes.

Nothing comes from ccache, and the place, the umask, the time zone and the language are others.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from wheels.clean_room import find_wheel
from wheels.places import ROOT

_NOT_SOURCES = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "__pycache__", "*.egg-info", "*.so", ".*_cache"
)


def check(tag: str) -> str:
    """Says what the digest is; ends the program when it is another."""
    first = find_wheel(tag)
    with tempfile.TemporaryDirectory(prefix="barnabas-rebuild-") as elsewhere:
        copy = Path(elsewhere) / "another" / "checkout"
        shutil.copytree(ROOT, copy, ignore=_NOT_SOURCES)
        env = {
            **os.environ,
            "PYTHONPATH": str(copy / "ci"),
            "CCACHE_DISABLE": "1",
            "TZ": "Asia/Kathmandu",
            "LC_ALL": "C",
        }
        command = [sys.executable, "-m", "wheels", "build", "--only", tag]
        done = subprocess.run(command, cwd=copy, env=env, umask=0o077, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{tag} cannot be built a second time")
        second = find_wheel(tag, copy / "dist")
        if first.read_bytes() != second.read_bytes():
            raise SystemExit(f"{first.name} differs in: {', '.join(differences(first, second))}")
    return f"{first.name}: {hashlib.sha256(first.read_bytes()).hexdigest()}, both times"


def differences(first: Path, second: Path) -> list[str]:
    """The files of two wheels that are not the same; their names and order when these differ."""
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as other:
        if one.namelist() != other.namelist():
            return ["the list of files", *sorted({*one.namelist()} ^ {*other.namelist()})]
        pairs = zip(one.infolist(), other.infolist(), strict=True)
        return [
            here.filename
            for here, there in pairs
            if one.read(here) != other.read(there)
            or (here.date_time, here.external_attr) != (there.date_time, there.external_attr)
        ]
