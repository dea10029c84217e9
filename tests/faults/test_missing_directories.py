"""Log directories that the broker has had and that are not there: not mounted, which leaves an
empty place, or taken out of log.dirs. What was in them is offline, not new, until they are back or
given up.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from barnabas.errors import StartError
from barnabas.testing import faults
from faults.test_deletion_offline import entries, expect_gone
from faults.test_log_dirs import (
    LEADER_NOT_AVAILABLE,
    expect_only_first_serves,
    metadata,
    start,
)
from unit.handlers.test_log_dirs import TIMEOUT_S, homes, place, produce, read

Away = Callable[[list[Path]], AbstractContextManager[list[Path]]]


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    """`here` in the first directory, `there` in the second, a record in each."""
    dirs = [tmp_path / name for name in "ab"]
    with start(dirs) as broker:
        place(broker, "here", dirs[0])
        place(broker, "there", dirs[1])
        produce(broker, "here", 1)
        produce(broker, "there", 1)
    return dirs


@contextmanager
def unmounted(dirs: list[Path]) -> Iterator[list[Path]]:
    """The mount point without its disk; nothing is made there meanwhile."""
    disk = dirs[1].rename(dirs[1].with_suffix(".disk"))
    dirs[1].mkdir()
    yield dirs
    dirs[1].rmdir()
    disk.rename(dirs[1])


@contextmanager
def without_mount_point(dirs: list[Path]) -> Iterator[list[Path]]:
    disk = dirs[1].rename(dirs[1].with_suffix(".disk"))
    yield dirs
    assert not dirs[1].exists()
    disk.rename(dirs[1])


@contextmanager
def taken_out(dirs: list[Path]) -> Iterator[list[Path]]:
    yield dirs[:1]


@contextmanager
def exchanged(dirs: list[Path]) -> Iterator[list[Path]]:
    """Another directory of the same broker in its place."""
    other = dirs[1].with_name("other")
    with start([*dirs, other]):
        pass
    disk = dirs[1].rename(dirs[1].with_suffix(".disk"))
    other.rename(dirs[1])
    yield dirs
    dirs[1].rename(other)
    disk.rename(dirs[1])


@pytest.mark.parametrize("away", [unmounted, without_mount_point, taken_out])
def test_what_is_in_a_missing_directory_is_offline_until_it_is_back(
    dirs: list[Path], away: Away, caplog: pytest.LogCaptureFixture
) -> None:
    with away(dirs) as left:
        with start(left) as broker:
            expect_only_first_serves(broker, dirs)
            with pytest.raises(StartError, match=r"is offline|No such file"):
                broker.fork()
        (told,) = (
            each.message
            for each in caplog.records
            if each.levelname == "ERROR" and "directory.id" in each.message
        )
        assert f"log directory {dirs[1]} " in told
        assert f"--forget-log-dir {dirs[1]}" in told
        with start(left) as broker:
            assert metadata(broker, "there") == (LEADER_NOT_AVAILABLE, -1, [1])
            assert homes(dirs[:1], "there") == {}
    with start(dirs) as broker:
        assert read(broker, "there", 1) == [(0, 0)]
        assert read(broker, "here", 2) == [(0, 0), (1, 1)]


def test_another_directory_in_its_place_is_not_the_missing_one(dirs: list[Path]) -> None:
    with exchanged(dirs) as left, start(left) as broker:
        assert metadata(broker, "there") == (LEADER_NOT_AVAILABLE, -1, [1])
        assert homes(dirs, "there") == {}
    with start([*dirs, dirs[1].with_name("other")]) as broker:
        assert read(broker, "there", 1) == [(0, 0)]


@pytest.mark.parametrize("is_made_again", [False, True])
@pytest.mark.parametrize("away", [unmounted, taken_out])
def test_a_topic_deleted_while_its_directory_is_missing_is_gone_for_good(
    dirs: list[Path], away: Away, *, is_made_again: bool
) -> None:
    with away(dirs) as left:
        with start(left) as broker:
            broker.delete_topic("there")
            if is_made_again:
                broker.create_topic("there")
                with broker.producer() as producer:
                    for _ in range(5):
                        producer.send("there", b"new")
        with start(left):  # it is still away
            pass
    with taken_out(dirs) as left, start(left):
        pass
    expect_gone(dirs, is_made_again=is_made_again)


def test_a_directory_goes_by_its_id_and_a_new_one_is_made_without_asking(dirs: list[Path]) -> None:
    moved = [dirs[0], dirs[1].rename(dirs[1].with_name("moved"))]
    new = dirs[1].with_name("new")
    with start([*moved, new]) as broker:
        assert read(broker, "there", 1) == [(0, 0)]
        broker.create_topic("t", partitions=3)
        assert "new" in homes([*moved, new], "t").values()
    shutil.rmtree(moved[1])
    moved[1].mkdir()
    with start([*moved, new]) as broker:
        assert metadata(broker, "there") == (LEADER_NOT_AVAILABLE, -1, [1])


def test_a_fork_knows_its_own_directories(dirs: list[Path], tmp_path: Path) -> None:
    forked = [tmp_path / name for name in "cd"]
    with start(dirs) as broker:
        broker.fork(config={"log.dirs": ",".join(map(str, forked))}).close()
    with unmounted(forked), start(forked) as broker:
        assert metadata(broker, "there") == (LEADER_NOT_AVAILABLE, -1, [1])
    for each in (dirs, forked):
        with start(each) as broker:
            assert read(broker, "there", 1) == [(0, 0)]


# -- given up


def serve(dirs: list[Path], *options: str) -> "subprocess.Popen[str]":
    named = ",".join(map(str, dirs))
    command = [sys.executable, "-m", "barnabas", "serve", "--listen=127.0.0.1:0"]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*command, f"--set=log.dirs={named}", *options], stdout=pipe, stderr=pipe, text=True
    )


def served(dirs: list[Path], *options: str) -> str:
    """What a start, and a stop once it serves, say on stderr."""
    with serve(dirs, *options) as broker:
        assert broker.stdout is not None
        ready = broker.stdout.readline()
        broker.send_signal(signal.SIGTERM)
        _, stderr = broker.communicate(timeout=TIMEOUT_S)
    assert "ready" in ready, stderr
    assert broker.returncode == 0
    return stderr


@pytest.mark.parametrize("away", [unmounted, taken_out])
def test_a_directory_that_is_given_up_begins_anew(dirs: list[Path], away: Away) -> None:
    disk = dirs[1].with_name("lost")
    with away(dirs) as left:
        elsewhere = dirs[1].with_name("elsewhere")
        assert "no such log directory is missing" in served(left, f"--forget-log-dir={elsewhere}")
        assert "is given up" in served(left, f"--forget-log-dir={dirs[1]}")
        with start(left) as broker:
            produce(broker, "there", 1, 7)
            assert read(broker, "there", 1) == [(0, 7)]
            broker.create_topic("new", partitions=3)
            assert set(homes(left, "new").values()) == {each.name for each in left}
        if dirs[1] in left:
            dirs[1].rename(disk)
            dirs[1].mkdir()
    if disk.exists():
        shutil.rmtree(dirs[1])
        disk.rename(dirs[1])
        with start(dirs) as broker:
            assert read(broker, "there", 1) == [(0, 7)]
    else:  # it was not lost after all
        with pytest.raises(StartError, match="Duplicate log directories for there-0"):
            start(dirs)


def test_a_directory_that_is_there_is_not_given_up(dirs: list[Path]) -> None:
    with serve(dirs, f"--forget-log-dir={dirs[1]}") as broker:
        stdout, stderr = broker.communicate(timeout=TIMEOUT_S)
    assert (broker.returncode, stdout) == (1, "")
    assert "is there, and is not forgotten" in stderr
    with start(dirs) as embedded:
        assert read(embedded, "there", 1) == [(0, 0)]


# -- directories of one partition in two places


def strays(directory: Path) -> list[str]:
    return [name for name in entries(directory) if name.endswith("-stray")]


@pytest.mark.parametrize("says", ["another", "nothing"])
def test_what_is_of_another_topic_is_kept_aside_and_the_partition_served(
    dirs: list[Path], says: str
) -> None:
    shutil.copytree(dirs[0] / "here-0", dirs[0] / "there-0")
    if says == "nothing":
        (dirs[0] / "there-0" / "partition.metadata").unlink()
    with start(dirs) as broker:
        assert read(broker, "there", 1) == [(0, 0)]
        (stray,) = strays(dirs[0])
        assert stray.startswith("there-0.")
        assert [path.name for path in dirs[1].glob("there-0*")] == ["there-0"]


def test_an_unknown_partition_in_two_directories_is_kept_aside(dirs: list[Path]) -> None:
    for directory in dirs:
        shutil.copytree(dirs[0] / "here-0", directory / "unknown-0")
    with start(dirs) as broker:
        assert read(broker, "here", 1) == [(0, 0)]
        assert [len(strays(directory)) for directory in dirs] == [1, 1]


@pytest.mark.parametrize("is_first", [False, True])
def test_what_is_of_another_topic_and_cannot_be_moved_is_in_nobodys_way(
    dirs: list[Path], *, is_first: bool
) -> None:
    with taken_out(dirs) as left, start(left) as broker:
        broker.delete_topic("there")
        broker.create_topic("there")
        produce(broker, "there", 2)
    left, at = dirs, dirs[1]
    if is_first:  # of the two that have it
        third = dirs[1].with_name("c")
        with start([*dirs[:1], third]):
            pass
        (dirs[0] / "there-0").rename(third / "there-0")
        left = [*dirs, third]
    with faults.fail("rename", f"{at}/there-0"), start(left) as broker:
        assert read(broker, "there", 2) == [(0, 0), (1, 1)]
    with start(left) as broker:
        assert not list(at.glob("there-0*"))
        assert read(broker, "there", 2) == [(0, 0), (1, 1)]
