"""What a wheel holds: code for every machine that its name promises, and all that it needs."""

import email
import json
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import barnabas
import barnabas._core

MACHINE = platform.machine()
SIZE_MAX = 6_000_000
GLIBC_MAX = (2, 28)
# The C library's own, which every Linux of that age has.
SYSTEM_LIBRARIES = {
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}[MACHINE],
}
BUNDLED = {"zlib", "lz4", "zstd", "snappy", "llvm-libcxx", "pybind11"}
MODULES = ("_core", "_columns", "_records", "_column_input", "_sender", "_reader")
SOURCE_PATH = re.compile(rb"(?<![\w.])/[\w./+-]*/(?:include|csrc|src)/.*")
IMPORT_MAX_S = 0.040
# Of the processor: what others on it do is not the import's.
IMPORT_S = "import time; s = time.process_time(); import barnabas; print(time.process_time() - s)"
FOLDING_BYTES = 1024  # of code
WRITE_AND_READ = """
import tempfile, barnabas
with tempfile.TemporaryDirectory() as directory, barnabas.Log(directory + "/t-0") as log:
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        log.append_many([b"%d" % i * 50 for i in range(500)], codec=codec)
    assert all(batch.crc_valid() for batch in log.batches())
    print(sum(1 for _ in log))
"""
BROKER = """
import sys
import barnabas
import barnabas._core
with barnabas.Broker() as broker:
    broker.create_topic("t")
print(*sys.modules)
"""


def tool(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_package_under_test_is_the_installed_wheel(wheel: Path) -> None:
    files = {info.filename: info.file_size for info in zipfile.ZipFile(wheel).infolist()}
    installed = Path(barnabas.__file__).parent
    assert Path(sys.prefix) in installed.parents
    module = Path(barnabas._core.__file__)
    assert module.stat().st_size == files[f"barnabas/{module.name}"]


def test_it_is_small_and_has_nothing_for_a_debugger(wheel: Path, modules: list[Path]) -> None:
    assert wheel.stat().st_size <= SIZE_MAX
    assert len(modules) == len(MODULES)
    for module in modules:
        assert not re.search(r"\.(debug_info|symtab)", tool("readelf", "-S", "-W", module))


def test_it_needs_nothing_but_an_old_c_library(wheel: Path, modules: list[Path]) -> None:
    assert f"manylinux_2_28_{MACHINE}" in wheel.name
    for module in modules:
        needed = re.findall(r"\(NEEDED\).*\[(.+)\]", tool("readelf", "-d", "-W", module))
        assert set(needed) <= SYSTEM_LIBRARIES
        versions = re.findall(r"GLIBC_(\d+)\.(\d+)", tool("objdump", "-T", module))
        assert max((int(major), int(minor)) for major, minor in versions) <= GLIBC_MAX


@pytest.mark.skipif(MACHINE != "x86_64", reason="looks at x86-64 code")
def test_what_not_every_x86_64_v2_processor_has_is_in_one_function(modules: list[Path]) -> None:
    """AVX-512 where the checksum folds, which is looked for first. zstd does likewise with BMI2."""
    for module in modules:
        code = tool("objdump", "-d", "--no-show-raw-insn", "-M", "intel", module)
        beyond = re.findall(r"^ *([0-9a-f]+):\s+(.*\b[yz]mm\d+.*|v[a-z]+\w* .*mm\d.*)$", code, re.M)
        folds = [int(address, 16) for address, what in beyond if "clmul" in what]
        for address, what in beyond:
            assert any(abs(int(address, 16) - fold) < FOLDING_BYTES for fold in folds), what
        if "_core" in module.name:
            assert folds
            assert re.search(r"\scrc32 ", code)


@pytest.mark.skipif(MACHINE != "x86_64", reason="asks for an x86-64 processor")
def test_it_runs_on_the_oldest_x86_64_v2_processor() -> None:
    assert tool("qemu-x86_64", "-cpu", "Nehalem", sys.executable, "-c", WRITE_AND_READ) == "2500\n"


def test_asserts_are_in_it(modules: list[Path]) -> None:
    """A broker that finds one of its invariants broken ends, rather than write on."""
    (core,) = (module for module in modules if module.name.startswith("_core."))
    assert " __assert_fail" in tool("nm", "-D", "--undefined-only", core)


def test_it_tells_nothing_of_where_and_when_it_was_made(wheel: Path, modules: list[Path]) -> None:
    """So that the same sources give the same bytes: see ci/wheels/rebuild.py."""
    for module in modules:
        assert SOURCE_PATH.findall(module.read_bytes()) == []
    assert len({info.date_time for info in zipfile.ZipFile(wheel).infolist()}) == 1


def test_its_libraries_stay_inside(modules: list[Path]) -> None:
    for module in modules:
        defined = tool("nm", "-D", "--defined-only", module).split()[2::3]
        assert [name for name in defined if not name.startswith("PyInit_")] == []


def test_it_needs_one_package(dist_info: Path) -> None:
    metadata = email.message_from_string((dist_info / "METADATA").read_text())
    needs = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert [re.split(r"[<>=]", need)[0] for need in needs] == ["kio"]


def test_it_names_what_is_inside_and_under_which_licence(dist_info: Path) -> None:
    bill = json.loads((dist_info / "sboms" / "barnabas.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {part["name"] for part in bill["components"]} == BUNDLED
    metadata = email.message_from_string((dist_info / "METADATA").read_text())
    files = metadata.get_all("License-File", [])
    assert {*files} == {"LICENSE", *(f"{name}-LICENSE.txt" for name in BUNDLED)}
    for name in files:
        assert len((dist_info / "licenses" / name).read_text()) > 500
    assert metadata["License-Expression"].startswith("Apache-2.0 AND ")
    for spdx in ("BSD-2-Clause", "BSD-3-Clause", "Zlib", "Apache-2.0 WITH LLVM-exception"):
        assert spdx in metadata["License-Expression"]


def test_importing_it_takes_less_than_forty_milliseconds() -> None:
    seconds = [float(tool(sys.executable, "-c", IMPORT_S)) for _ in range(5)]
    assert min(seconds) <= IMPORT_MAX_S


def test_a_broker_never_imports_what_is_an_extra() -> None:
    modules = {name.partition(".")[0] for name in tool(sys.executable, "-c", BROKER).split()}
    assert not {"numpy", "rich", "confluent_kafka", "hdrh", "pyarrow", "kazoo"} & modules
