"""Drives CMake for the extension modules; everything else is in pyproject.toml.

Environment: BARNABAS_SANITIZE=address|thread|coverage, BARNABAS_BUILD_TYPE=Release|Debug,
BARNABAS_BUILD_DIR (default build/native, and build/wheel for pip).
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()


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
            ],
            check=True,
        )
        subprocess.run(["cmake", "--build", str(build_dir)], check=True)

    def get_outputs(self) -> list[str]:
        return []


setup(
    ext_modules=[
        Extension(f"barnabas.{module}", [])
        for module in ("_core", "_columns", "_records", "_column_input", "_sender", "_reader")
    ],
    cmdclass={"build_ext": CMakeBuild},
)
