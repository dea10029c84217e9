"""Directories that are made for good, and temporary ones. Imports nothing of ours."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def make_directory(path: Path) -> list[Path]:
    """Makes a directory, and those above it that are missing. A power cut does not take them any
    more, and with them everything that was fsynced inside. Returns what was made, the deepest
    first. Raises OSError, with nothing made.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for made in missing:
            parent = os.open(made.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(parent)
            finally:
                os.close(parent)
    except OSError:
        remove_empty(missing)
        raise
    return missing


def make_temporary(parent: Path, prefix: str, noted: list[Path]) -> None:
    """Makes a directory that this user alone can use. It is noted before it is there: a Ctrl-C,
    which may come at any moment, leaves none that nobody knows of.
    """
    path = parent / f"{prefix}{os.urandom(8).hex()}"
    noted.insert(0, path)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:  # somebody else's
        noted.remove(path)
        raise


def remove_empty(paths: Iterable[Path]) -> None:
    """Removes directories, but for those that hold something, or are gone."""
    for path in paths:
        with suppress(OSError):
            path.rmdir()
