"""The codecs' libraries, static, and what a wheel must say of them, and of all else inside it.

Of Cython there is what it writes, which its licence leaves to who has it written; of the compiler,
libc++ and what is beneath it.
"""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wheels import toolchain
from wheels.debian_source import fetch
from wheels.places import JOBS, WORK, run

_FLAGS: Final = "-fPIC -fvisibility=hidden -DNDEBUG -Wno-error -Wno-sign-compare"


@dataclass(frozen=True)
class Library:
    """One of them: where its source is, how it is told to build just the static library."""

    name: str
    source: str  # Debian's source package
    suite: str
    spdx: str
    licence: str  # the file in its source
    options: tuple[str, ...]
    cmake: str | None = "."  # the folder of its CMakeLists.txt; without one, it has a ./configure


@dataclass(frozen=True)
class Component:
    """What is inside a wheel besides our own code."""

    name: str
    version: str
    spdx: str
    licence: Path
    purl: str


LIBRARIES: Final = (
    Library("zlib", "zlib", "bookworm", "Zlib", "README", ("--static",), None),
    Library(
        "lz4",
        "lz4",
        "trixie",
        "BSD-2-Clause",
        "lib/LICENSE",
        ("-DLZ4_BUILD_CLI=OFF", "-DLZ4_BUILD_LEGACY_LZ4C=OFF", "-DBUILD_STATIC_LIBS=ON"),
        "build/cmake",
    ),
    Library(
        "zstd",
        "libzstd",
        "trixie",
        "BSD-3-Clause",
        "LICENSE",
        ("-DZSTD_BUILD_PROGRAMS=OFF", "-DZSTD_BUILD_SHARED=OFF", "-DZSTD_LEGACY_SUPPORT=OFF"),
        "build/cmake",
    ),
    Library(
        "snappy",
        "snappy",
        "bookworm",
        "BSD-3-Clause",
        "COPYING",
        ("-DSNAPPY_BUILD_TESTS=OFF", "-DSNAPPY_BUILD_BENCHMARKS=OFF"),
    ),
)


def build(environment: dict[str, str]) -> tuple[Path, list[Component]]:
    """Builds those that are not built yet; the folder with include/ and lib/, and what they are."""
    prefix = WORK / "prefix"
    return prefix, [*(_build(library, prefix, environment) for library in LIBRARIES), _runtime()]


def _build(library: Library, prefix: Path, environment: dict[str, str]) -> Component:
    source = fetch(library.source, library.suite)
    built = prefix / "built" / f"{library.name}-{source.version}-{toolchain.version()}"
    if not built.exists():
        if library.cmake is None:
            _configure(library, source.directory, prefix, environment)
        else:
            _cmake(library, source.directory / library.cmake, prefix, environment)
        for shared in prefix.glob("lib/*.so*"):
            shared.unlink()
        built.parent.mkdir(exist_ok=True)
        built.touch()
    return Component(
        library.name,
        source.version,
        library.spdx,
        source.directory / library.licence,
        f"pkg:generic/{library.name}@{source.version}",
    )


def _configure(library: Library, tree: Path, prefix: Path, environment: dict[str, str]) -> None:
    flags = {**environment, "CFLAGS": _FLAGS}
    run(["./configure", f"--prefix={prefix}", *library.options], cwd=tree, env=flags)
    run(["make", "-s", "install"], cwd=tree, env=flags)


def _cmake(library: Library, tree: Path, prefix: Path, environment: dict[str, str]) -> None:
    folder = WORK / "libraries" / library.name
    options = [
        "-DCMAKE_BUILD_TYPE=None",
        "-DBUILD_SHARED_LIBS=OFF",
        f"-DCMAKE_C_FLAGS={_FLAGS}",
        f"-DCMAKE_CXX_FLAGS={_FLAGS}",
        f"-DCMAKE_INSTALL_PREFIX={prefix}",
        "-DCMAKE_INSTALL_LIBDIR=lib",
        *toolchain.cmake_options(),
        *library.options,
    ]
    run(["cmake", "-G", "Ninja", "-S", tree, "-B", folder, *options], env=environment)
    run(["cmake", "--build", folder, "-j", JOBS], env=environment)
    run(["cmake", "--install", folder], env=environment)


def bindings(environment: Path) -> Component:
    """pybind11, of whose headers the bindings are made; the one that is installed there."""
    (packages,) = environment.glob("lib/python*/site-packages")
    (found,) = importlib.metadata.distributions(name="pybind11", path=[str(packages)])
    (licence,) = (file for file in found.files or () if file.name == "LICENSE")
    return Component(
        "pybind11",
        found.version,
        "BSD-3-Clause",
        Path(str(licence.locate())),
        f"pkg:pypi/pybind11@{found.version}",
    )


def _runtime() -> Component:
    """libc++, libc++abi, libunwind: one licence, one version."""
    return Component(
        "llvm-libcxx",
        f"ziglang-{toolchain.version()}",
        "Apache-2.0 WITH LLVM-exception",
        toolchain.home() / "lib" / "libcxx" / "LICENSE.TXT",
        f"pkg:pypi/ziglang@{toolchain.version()}",
    )
