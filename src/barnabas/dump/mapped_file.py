"""A file's bytes without reading it whole into memory."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap | bytes]:
    """The bytes, as long as the block runs; b"" for an empty file, which cannot be mapped."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            yield b""
            return
        # Not closed here: batches that the caller still holds look into it, and the last of them
        # lets it go.
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
