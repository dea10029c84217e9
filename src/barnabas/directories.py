"""Directories that are made for good. Imports nothing of ours."""

import os
from pathlib import Path


def make_directory(path: Path) -> None:
    """Makes a directory, and those above it that are missing. A power cut does not take them any
    more, and with them everything that was fsynced inside. Raises OSError.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for made in missing:
        parent = os.open(made.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
