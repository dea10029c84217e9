"""What the compiler of wheels is told."""

import os
import subprocess
from pathlib import Path

import pytest

from wheels import toolchain

BROKEN_INVARIANT = """
#include <cassert>
void f(int x) { assert(x == 1); }
"""


@pytest.mark.parametrize(
    ("file", "told"),
    [("csrc/broken.cc", b"barnabas/csrc/broken.cc"), ("build/made.cc", b"\0made.cc")],
)
def test_asserts_tell_the_file_and_not_where_it_lay(tmp_path: Path, file: str, told: bytes) -> None:
    """However its path is written: ccache makes it a relative one."""
    objects = set()
    for place in (tmp_path / "one", tmp_path / "farther" / "away"):
        source, folder = place / file, place / "build"
        folder.mkdir(parents=True)
        source.parent.mkdir(exist_ok=True)
        source.write_text(BROKEN_INVARIANT)
        options = toolchain.nameless({"barnabas": place}, folder).split()
        for path in (str(source), os.path.relpath(source, folder)):
            subprocess.run(["g++", "-c", "-o", "broken.o", *options, path], cwd=folder, check=True)
            objects.add((folder / "broken.o").read_bytes())
    (made,) = objects
    assert told in made
