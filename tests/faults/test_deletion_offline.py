"""Topics that are deleted while one of the log directories is offline: they do not come back with
it, neither as `-stray` nor as what is in the way of a topic that was made anew under the name.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import barnabas
from barnabas.testing import faults
from faults.rows import Row
from faults.test_compaction import await_true
from faults.test_file_faults import STORAGE_ERROR, Client
from faults.test_log_dirs import not_mounted, start
from peers.forks import Ended
from unit.handlers.test_log_dirs import TIMEOUT_S, place

OLD, NEW = 3, 5  # records of the deleted topic, and of the one that is made in its place
FUTURE = "there-0.0123456789abcdef0123456789abcdef-future"


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    """`there` is in the second one."""
    return make_dirs(tmp_path)


def make_dirs(root: Path) -> list[Path]:
    dirs = [root / name for name in "ab"]
    with start(dirs) as broker:
        place(broker, "here", dirs[0])
        place(broker, "there", dirs[1])
        produce(broker, b"old", OLD)
    return dirs


def produce(broker: barnabas.Broker, value: bytes, count: int) -> None:
    with broker.producer() as producer:
        for _ in range(count):
            producer.send("there", value)


def values(broker: barnabas.Broker) -> list[bytes | None]:
    with broker.consumer(["there"], auto_offset_reset="earliest", timeout=0) as consumer:
        return [value for batch in consumer for value in batch.values]


def entries(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.is_dir())


def expect_gone(dirs: list[Path], *, is_made_again: bool) -> None:
    """Two starts with both directories."""
    for _ in range(2):
        with start(dirs) as broker:
            await_true(lambda: entries(dirs[1]) == [])
            assert entries(dirs[0]) == (["here-0", "there-0"] if is_made_again else ["here-0"])
            if is_made_again:
                assert values(broker) == [b"new"] * NEW
    with start(dirs) as broker:
        if not is_made_again:
            broker.create_topic("there")
        produce(broker, b"new", 1)


@pytest.mark.parametrize("is_made_again", [False, True])
@pytest.mark.parametrize("name", ["there-0", FUTURE])
def test_a_topic_deleted_while_its_directory_is_away_is_gone_for_good(
    dirs: list[Path], name: str, *, is_made_again: bool
) -> None:
    (dirs[1] / "there-0").rename(dirs[1] / name)
    with not_mounted(dirs[1]):
        with start(dirs) as broker:
            broker.delete_topic("there")
            if is_made_again:
                broker.create_topic("there")
                produce(broker, b"new", NEW)
        with start(dirs):  # it is still away
            pass
    expect_gone(dirs, is_made_again=is_made_again)


@pytest.mark.parametrize("is_made_again", [False, True])
def test_a_topic_deleted_after_its_directory_has_failed_is_gone_for_good(
    tmp_path: Path, count: Callable[..., None], *, is_made_again: bool
) -> None:
    dirs = [tmp_path / name for name in "ab"]
    broker = start(dirs)
    place(broker, "here", dirs[0])
    place(broker, "there", dirs[1], flush_messages="1")
    with (
        faults.fail("sync", f"{dirs[1]}/there-0/*.log") as fault,
        faults.fail("rename", f"{dirs[1]}/*"),
    ):
        assert Client(broker).send("there", "lost") == STORAGE_ERROR
        broker.delete_topic("there")
        if is_made_again:
            broker.create_topic("there")
            produce(broker, b"new", NEW)
        broker.close()
    with not_mounted(dirs[1]), start(dirs):
        pass
    expect_gone(dirs, is_made_again=is_made_again)
    count(Row.FAILED_SYNC, fault.struck)


def test_what_is_of_another_topic_is_kept_whatever_its_name(dirs: list[Path]) -> None:
    with not_mounted(dirs[1]), start(dirs) as broker:
        broker.delete_topic("there")
    shutil.rmtree(dirs[1] / "there-0")
    shutil.copytree(dirs[0] / "here-0", dirs[1] / "there-0")
    with start(dirs):
        (stray,) = entries(dirs[1])
        assert stray.startswith("there-0.")
        assert stray.endswith("-stray")


def start_under_fault(root: str, call: faults.Call, is_done: str, nth: str) -> None:
    """In the child: the start at which the directory is back."""
    dirs = [Path(root, name) for name in "ab"]
    fault = faults.kill(call, f"{root}/*", is_done=is_done == "done", nth=int(nth))
    with start(dirs):
        print(f"matched {fault.matched}", flush=True)
        fault.remove()


@pytest.fixture(scope="module")
def deleted_and_back(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("before")
    dirs = make_dirs(root)
    shutil.copytree(dirs[1] / "there-0", dirs[1] / FUTURE)
    with not_mounted(dirs[1]), start(dirs) as broker:
        broker.delete_topic("there")
        broker.create_topic("there")
        produce(broker, b"new", NEW)
    return root


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_done", ["done", "not done"])
@pytest.mark.parametrize(("call", "share"), [("rename", 2), ("unlink", 2), ("sync", 4)])
def test_a_kill_at_any_step_of_the_start_brings_nothing_back(
    deleted_and_back: Path,
    kill_at_steps: Callable[..., int],
    *,
    call: str,
    share: int,
    is_done: str,
) -> None:
    def check(root: Path, _: Ended) -> None:
        expect_gone([root / name for name in "ab"], is_made_again=True)

    kill_at_steps(
        deleted_and_back,
        share,
        start_under_fault,
        call,
        is_done,
        check=check,
        timeout_s=TIMEOUT_S,
    )
