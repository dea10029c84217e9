"""The compiler of wheels: clang, as PyPI's `ziglang` brings it, for an old glibc.

Everything that it builds runs with the glibc of TARGET, and libc++ is inside. The processor is that
of this machine, in its least form that a wheel's name promises.
"""

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wheels.places import WORK

GLIBC: Final = "2.28"
MACHINE: Final = platform.machine()
TARGET: Final = f"{MACHINE}-linux-gnu.{GLIBC}"
PLATFORM: Final = f"manylinux_{GLIBC.replace('.', '_')}_{MACHINE}"
_CPU: Final = {"x86_64": "x86_64_v2", "aarch64": "generic"}[MACHINE]

# The last word, so always the same: zig compiles libc++ anew, for minutes, for each combination
# that it meets. What would be stripped is not made.
_FLAGS: Final = f" -target {TARGET} -mcpu={_CPU} -O2 -g0 -s"

_PROGRAMS: Final = {
    "clang": "cc",
    "clang++": "c++",
    "ar": "ar",
    "ranlib": "ranlib",
}


def home() -> Path:
    """The folder of the installed `ziglang`."""
    spec = importlib.util.find_spec("ziglang")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def version() -> str:
    """That of `ziglang`; its libc++ and compiler-rt have no other."""
    return importlib.metadata.version("ziglang")


def install() -> dict[str, str]:
    """Writes the programs that CMake wants; returns the environment that makes it use them.

    They name the version and not the place of what they call: ccache, which compares their text,
    knows in one checkout what was compiled in another. BARNABAS_PLACES may have what
    `nameless` makes.
    """
    programs = _programs()
    programs.mkdir(parents=True, exist_ok=True)
    for name, zig_name in _PROGRAMS.items():
        flags = f"{_FLAGS} $BARNABAS_PLACES" if name.startswith("clang") else ""
        program = programs / name
        text = f'#!/bin/sh\n# ziglang {version()}\nexec "$BARNABAS_ZIG" {zig_name} "$@"{flags}\n'
        if not program.exists() or program.read_text() != text:
            program.write_text(text)
            program.chmod(0o755)
    return {
        "CC": str(programs / "clang"),
        "CXX": str(programs / "clang++"),
        "AR": str(programs / "ar"),
        "RANLIB": str(programs / "ranlib"),
        "BARNABAS_ZIG": f"{home()}/zig",
        "CCACHE_COMPILERCHECK": "content",
    }


def nameless(places: Mapping[str, Path], folder: Path) -> str:
    """Options by which what is compiled in `folder` has names for these places, and not their
    paths: asserts tell their files. Of two places that begin alike, the longer comes last.
    """
    spellings = (
        (spelling, name)
        for name, place in places.items()
        for spelling in (str(place), os.path.relpath(place, folder))  # the latter is ccache's
    )
    maps = [f"{spelling}/={name}/" for spelling, name in spellings]
    return " ".join(f"-ffile-prefix-map={pair}" for pair in [*maps, f"{folder}/="])


def write_exports() -> Path:
    """A linker script: of an extension module only its entry is visible, no library inside it."""
    script = WORK / "toolchain" / "exports.map"
    script.write_text("{ global: PyInit_*; local: *; };\n")
    return script


def cmake_options() -> list[str]:
    """What CMake does not take from the environment."""
    programs = _programs()
    return [f"-DCMAKE_AR={programs / 'ar'}", f"-DCMAKE_RANLIB={programs / 'ranlib'}"]


def _programs() -> Path:
    return WORK / "toolchain" / version()
