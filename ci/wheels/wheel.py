"""From the sources to dist/*.whl."""

import os
import shutil
import tarfile
import tomllib
from pathlib import Path
from typing import Final

from wheels import toolchain
from wheels.describe import describe
from wheels.environments import fresh_environment, install
from wheels.libraries import Component, bindings
from wheels.places import DIST, ROOT, WORK, run

_EPOCH_S: Final = int(os.environ.get("SOURCE_DATE_EPOCH", "315532800"))  # as setup.py's
_HEADERS: Final = "import sysconfig; print(sysconfig.get_path('include'))"


def make_sdist(python: Path) -> Path:
    """dist/barnabas-VERSION.tar.gz."""
    DIST.mkdir(exist_ok=True)
    for old in DIST.glob("*.tar.gz"):
        old.unlink()
    run([python, "setup.py", "-q", "sdist", "-d", DIST], cwd=ROOT)
    (archive,) = DIST.glob("*.tar.gz")
    return archive


def unpack(sdist: Path, name: str) -> Path:
    """The sources, anew. What was compiled of the same text before comes from ccache."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(sdist) as tar:
        tar.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return source


def build(
    tag: str,
    python: Path,
    source: Path,
    prefix: Path,
    environment: dict[str, str],
    *,
    components: list[Component],
) -> Path:
    """The wheel of that interpreter, checked by auditwheel, in dist/."""
    settings = {
        **environment,
        "CMAKE_ARGS": " ".join(
            [
                f"-DCMAKE_PREFIX_PATH={prefix}",
                "-DBARNABAS_CPU=",  # the toolchain's
                "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF",
                *toolchain.cmake_options(),
            ]
        ),
        # zig's -O2 leaves asserts out; a wheel has those of the build that is tested most.
        "CXXFLAGS": f"-isystem {prefix}/include -UNDEBUG",
        "LDFLAGS": f"-Wl,--version-script={toolchain.write_exports()}",
    }
    # Not pip's own environment, whose place is another each time: ccache would know no binding.
    tools = fresh_environment(python, f"{tag}-build")
    install(tools, *_build_requirements())
    settings["PATH"] = f"{tools / 'bin'}:{os.environ['PATH']}"
    places = {
        "barnabas": source,
        "tools": tools,
        "libraries": prefix,
        "ziglang": toolchain.home(),
        "python": Path(run([python, "-c", _HEADERS]).strip()),
    }
    settings["BARNABAS_PLACES"] = toolchain.nameless(places, _build_tree(source, tag))
    folder = WORK / "raw" / tag
    python_there = tools / "bin" / "python"
    raw = _compile(python_there, source, tag, folder, settings, "--no-build-isolation")
    repaired_in = str(folder / "repaired")
    run(["auditwheel", "repair", "--plat", toolchain.PLATFORM, "-w", repaired_in, str(raw)])
    (repaired,) = (folder / "repaired").glob("*.whl")
    return _finish(repaired, folder, [*components, bindings(tools)])


def build_here(python: Path, source: Path) -> Path:
    """A wheel of this machine's own compiler and libraries, as `pip install` of the sdist makes."""
    return _compile(python, source, "native", WORK / "raw" / "here", {})


def _build_requirements() -> list[str]:
    requirements: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"][
        "requires"
    ]
    return requirements


def _build_tree(source: Path, name: str) -> Path:
    return source / "build" / name


def _compile(
    python: Path, source: Path, name: str, folder: Path, settings: dict[str, str], *options: str
) -> Path:
    """`name` tells build trees apart; paths are such that ccache knows `make build`'s results, and
    those of another checkout.
    """
    shutil.rmtree(folder, ignore_errors=True)
    env = {
        **settings,
        "BARNABAS_BUILD_DIR": str(_build_tree(source, name)),
        "CCACHE_BASEDIR": str(ROOT),
        "CCACHE_NOHASHDIR": "1",
        "SOURCE_DATE_EPOCH": str(_EPOCH_S),
    }
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "wheel", "-q", "--no-deps"]
    run([*pip, "--no-cache-dir", *options, "-w", folder, source], env=env)
    (made,) = folder.glob("*.whl")
    return made


def _finish(wheel: Path, folder: Path, components: list[Component]) -> Path:
    """Adds what the wheel says of itself, and packs it anew."""
    run(["wheel", "unpack", "-d", folder / "unpacked", wheel])
    (tree,) = (folder / "unpacked").iterdir()
    (dist_info,) = tree.glob("*.dist-info")
    describe(dist_info, components, _EPOCH_S)
    for old in DIST.glob(wheel.name):
        old.unlink()
    run(["wheel", "pack", "-d", DIST, tree], env={"SOURCE_DATE_EPOCH": str(_EPOCH_S)})
    (packed,) = DIST.glob(wheel.name)
    return packed
