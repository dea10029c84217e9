"""The interpreters that wheels are built for: those that pyenv or PATH has, with their headers."""

import glob
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

# Not the free-threaded ones: kio, which every broker needs, has no wheel for them and says nothing
# of running without the GIL, so that importing it turns the GIL on.
TAGS: Final = ("cp311", "cp312", "cp313")

_TAG_OF_IT: Final = """
import os, sys, sysconfig
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
print("cp%d%d" % sys.version_info[:2] + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""))
"""


def find(tag: str) -> Path | None:
    """The newest one that is installed; None when there is none that extensions can be built for."""
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
