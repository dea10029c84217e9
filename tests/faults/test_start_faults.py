"""Starts that must fail: one clear line, exit code 1, and a directory that is as good as before.

Disks are small ones in memory. Root may read and write everything, so that the broker is run
without that power where permissions matter.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import barnabas
from clients.contract import create_topic, produce_values
from peers.servers import BarnabasServer

BARNABAS = str(Path(sys.executable).with_name("barnabas"))
AS_ITS_OWNER_ONLY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
NO_SPACE = "No space left on device"
DENIED = "Permission denied"
READ_ONLY = "Read-only file system"
CLEAN_MARKER = ".kafka_cleanshutdown"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk")


def refusal(data_dir: Path, *arguments: str) -> str:
    """The one line of a start that fails; the directory is in it, or what lies there."""
    command = [BARNABAS, "serve", f"--data-dir={data_dir}", "--listen=127.0.0.1:0", *arguments]
    done = subprocess.run(
        [*AS_ITS_OWNER_ONLY, *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("barnabas: ")
    assert "[Errno" not in line
    return line


@pytest.mark.parametrize("name", ["", "metadata.sqlite", "meta.properties", ".lock"])
def test_what_may_not_be_read_is_named(tmp_path: Path, name: str) -> None:
    barnabas.Broker(tmp_path / "d").close()
    path = tmp_path / "d" / name
    path.chmod(0)
    line = refusal(tmp_path / "d")
    assert line.endswith(f": {DENIED}")
    assert str(tmp_path / "d") in line
    assert "__cluster_metadata" not in line


@contextmanager
def _mounted(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(directory)]
    subprocess.run(mount, check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    with _mounted(tmp_path / "disk") as directory:
        yield directory


@pytest.fixture
def stopped(disk: Path) -> BarnabasServer:
    """A broker with records, which was stopped; its directory is on the disk."""
    server = BarnabasServer(disk, {"log.index.size.max.bytes": "4096"})
    with server:
        topic = create_topic(server.bootstrap)
        produce_values(server.bootstrap, topic, ["kept"] * 10)
        server.stop()
    return server


def fill(disk: Path) -> Path:
    """Uses up what is left; returns the file that does."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):  # it has less room than that
                while True:
                    file.write(bytes(size))
    assert os.statvfs(disk).f_bfree == 0
    return filler


def test_a_new_directory_on_a_full_disk(disk: Path) -> None:
    fill(disk)
    line = refusal(disk / "d" / "e")
    assert f"{disk / 'd' / 'e'}: {NO_SPACE}; free some room" in line
    assert "--data-dir" in line
    assert not (disk / "d").exists()


def test_a_directory_with_topics_on_a_full_disk_starts_again_when_there_is_room(
    disk: Path, stopped: BarnabasServer
) -> None:
    filler = fill(disk)
    for _ in range(2):
        line = refusal(stopped.data_dir)
        assert NO_SPACE in line
        assert str(stopped.data_dir) in line
        assert (stopped.data_dir / CLEAN_MARKER).exists()
    filler.unlink()
    with stopped:
        assert "not clean" not in stopped.output()


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o500])
def test_a_directory_that_must_not_be_written(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "d"
    directory.mkdir()
    directory.chmod(mode)
    assert DENIED in refusal(directory)
    assert DENIED in refusal(directory / "new")


@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_a_directory_with_topics_that_must_not_be_written(
    stopped: BarnabasServer, mode: int
) -> None:
    stopped.data_dir.chmod(mode)
    assert DENIED in refusal(stopped.data_dir)
    stopped.data_dir.chmod(0o755)
    with stopped:
        assert "not clean" not in stopped.output()


def test_metadata_that_must_not_be_read(stopped: BarnabasServer) -> None:
    metadata = stopped.data_dir / "metadata.sqlite"
    metadata.chmod(0)
    assert str(metadata) in refusal(stopped.data_dir)
    metadata.chmod(0o644)
    with stopped:
        assert "not clean" not in stopped.output()


def test_a_disk_that_is_mounted_to_read_only(disk: Path, stopped: BarnabasServer) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert READ_ONLY in refusal(stopped.data_dir)
    assert READ_ONLY in refusal(disk / "new")


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert str(tmp_path / "file") in refusal(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_directory_of_another_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    assert "thesis.tex" in refusal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_port_in_use_leaves_a_directory_that_starts(stopped: BarnabasServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert address in refusal(stopped.data_dir, f"--listen={address}")
        new = stopped.data_dir / "new"
        assert "--listen HOST:PORT chooses another" in refusal(new, f"--listen={address}")
        assert not new.exists()
    with stopped:
        assert "not clean" not in stopped.output()
