"""What the compiler of wheels is told."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from wheels import toolchain

ANOTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}[platform.machine()]
CONFIGURATION = """
import sysconfig
print(sysconfig.get_platform(), *sysconfig.get_config_vars("EXT_SUFFIX", "SOABI"))
"""
BROKEN_INVARIANT = """
#include <cassert>
void f(int x) { assert(x == 1); }
"""


def test_an_interpreter_names_what_it_builds_after_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "MACHINE", ANOTHER)
    monkeypatch.setattr(toolchain, "IS_CROSS", True)
    monkeypatch.setattr(toolchain, "WORK", tmp_path)
    env = toolchain.another_machine(Path(sys.executable))
    configuration = subprocess.run(
        [sys.executable, "-c", CONFIGURATION],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    soabi = "cpython-{}{}-{}-linux-gnu".format(*sys.version_info[:2], ANOTHER)
    assert configuration == [f"linux-{ANOTHER}", f".{soabi}.so", soabi]


def test_for_this_machine_it_is_left_alone() -> None:
    assert toolchain.another_machine(Path(sys.executable)) == {}


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
