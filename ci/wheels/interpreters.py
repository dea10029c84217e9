"""The interpreters that wheels are built for: those that pyenv or PATH has, with their headers."""

import glob
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

# Not the free-threaded ones: of kio, which every broker needs, there is neither a wheel for them
# nor an sdist that builds.
TAGS: Final = ("cp311", "cp312", "cp313")

_TAG_OF_IT: Final = """
import os, sys, sysconfig
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
free_threaded = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print("cp%d%d%s" % (*sys.version_info[:2], free_threaded))
"""


def find(tag: str) -> Path | None:
    """The newest one that is installed; None when none is, or none with headers."""
    number = f"3.{tag.removeprefix('cp3')}"
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found = sorted(glob.glob(f"{pyenv}/versions/{number}*/bin/python{number}"), reverse=True)
    on_path = shutil.which(f"python{number}")
    for python in [*found, *([on_path] if on_path else [])]:
        done = subprocess.run(
            [python, "-c", _TAG_OF_IT], capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and done.stdout.strip() == tag:
            return Path(python)
    return None
