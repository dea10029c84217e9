"""Drives CMake for the extension modules, and makes of README.md what an index shows; everything
else is in pyproject.toml.

Environment: BARNABAS_SANITIZE=address|thread|coverage, BARNABAS_BUILD_TYPE=Release|Debug,
BARNABAS_BUILD_DIR (default build/native, and build/wheel for pip), CMAKE_ARGS, and for an sdist
SOURCE_DATE_EPOCH.
"""

import gzip
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent.resolve()
LINK_IN_REPOSITORY = re.compile(r"\[([^]]*)\]\((?!https?://|#)([^)]*)\)")
FIRST_ZIP_DATE = 315_532_800  # 1980-01-01, the earliest time that a zip file can tell


class CMakeBuild(build_ext):
    def run(self) -> None:
        # A wheel has its own tree: the Python of its build is another one.
        default = ROOT / "build" / ("native" if self.inplace else "wheel")
        build_dir = Path(os.environ.get("BARNABAS_BUILD_DIR", default))
        module_dir = (
            ROOT / "src" / "barnabas"
            if self.inplace
            else Path(self.build_lib).resolve() / "barnabas"
        )
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        subprocess.run(
            [
                "cmake",
                "-S",
                str(ROOT),
                "-B",
                str(build_dir),
                "-G",
                "Ninja",
                f"-DCMAKE_BUILD_TYPE={os.environ.get('BARNABAS_BUILD_TYPE', 'Release')}",
                f"-DBARNABAS_SANITIZE={os.environ.get('BARNABAS_SANITIZE', '')}",
                f"-DBARNABAS_VERSION={version}",
                f"-DBARNABAS_MODULE_DIR={module_dir}",
                f"-DPython_EXECUTABLE={sys.executable}",
                *shlex.split(os.environ.get("CMAKE_ARGS", "")),
            ],
            check=True,
        )
        subprocess.run(["cmake", "--build", str(build_dir)], check=True)

    def get_outputs(self) -> list[str]:
        return []


class ReproducibleSdist(sdist):
    """The same bytes for the same sources, whoever makes it, when and where."""

    def make_archive(
        self,
        base_name: str,
        format: str,
        root_dir: str | None = None,
        base_dir: str | None = None,
        **_: object,  # owner and group are nobody's
    ) -> str:
        assert format == "gztar", "only .tar.gz can be made"
        assert base_dir is not None
        epoch_s = int(os.environ.get("SOURCE_DATE_EPOCH", FIRST_ZIP_DATE))

        def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = epoch_s
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        path = Path(f"{base_name}.tar.gz")
        top = Path(root_dir or ".")
        with (
            path.open("wb") as file,
            gzip.GzipFile("", "wb", mtime=epoch_s, fileobj=file) as zipped,
            tarfile.open(mode="w", fileobj=zipped, format=tarfile.PAX_FORMAT) as tar,
        ):
            for found in sorted((top / base_dir).rglob("*")):
                if not found.is_dir():
                    tar.add(found, str(found.relative_to(top)), filter=anonymous)
        return str(path)


def long_description() -> str:
    """README.md for whoever has no checkout around it: what it links to there is named."""

    def named(link: re.Match[str]) -> str:
        text, path = link[1], link[2]
        return text if text.rstrip("/") in path else f"{text} (`{path}`)"

    return LINK_IN_REPOSITORY.sub(named, (ROOT / "README.md").read_text(encoding="utf-8"))


setup(
    long_description=long_description(),
    long_description_content_type="text/markdown",
    ext_modules=[
        Extension(f"barnabas.{module}", [])
        for module in ("_core", "_columns", "_records", "_column_input", "_sender", "_reader")
    ],
    cmdclass={"build_ext": CMakeBuild, "sdist": ReproducibleSdist},
)
