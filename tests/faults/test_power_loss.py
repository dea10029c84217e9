"""Power cuts of a whole broker: disks are made that a cut may leave, and each is opened."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.power.life import Life, World, check, lives, record
from faults.power.trace import Kind
from faults.power.workload import Setting
from peers.forks import Ended, ForkServer

S_PER_IMAGE = 3  # several times what one takes
IMAGES_OF_LIARS = 20
IGNORED: dict[str, Callable[[str], bool]] = {
    "segments": lambda path: path.endswith(".log"),
    "the store's log": lambda path: path.endswith("-wal"),
    "directories of partitions": lambda path: re.search(r"/\w+-\d$", path) is not None,
}
COMPLAINT = re.compile("AssertionError|barnabas.errors.StartError")


def checked(forks: ForkServer, life: Life, seed: str, images: int, kept: Path) -> Ended:
    """How the check of so many disks has ended; what failed is in `kept`."""
    kept.mkdir(parents=True)
    path = kept / "life"
    path.write_bytes(pickle.dumps(life))
    arguments = (str(path), seed, str(images), str(kept / "image"))
    ended = forks.run(check, *arguments, timeout_s=60 + images * S_PER_IMAGE)
    if ended.returncode == 0:
        path.unlink()
    return ended


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_was_acknowledged_is_there_and_nothing_else_than_what_was_sent(
    forks: ForkServer,
    seed: int,
    pytestconfig: pytest.Config,
    tmp_path: Path,
    measured: Callable[[str], None],
) -> None:
    images = int(pytestconfig.getoption("--images"))
    events = records = 0
    for number, (life, life_seed, share) in enumerate(lives(tmp_path, seed, images)):
        kept = tmp_path / f"checked-{number}"
        ended = checked(forks, life, life_seed, share, kept)
        assert ended.returncode == 0, f"--seed {seed}, {kept}: {ended.output[-8000:]}"
        events += len(life.events)
        records += len(life.journal.records)
    measured(f"{images} disks of {events:,} events, {records:,} records; --seed {seed}")


@pytest.mark.slow
def test_a_disk_that_ignores_fsyncs_is_noticed(
    forks: ForkServer, seed: int, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    """The check can fail."""
    life = record(tmp_path / "server", f"{seed}", World(Setting()))
    events = life.events
    for what, is_ignored in IGNORED.items():
        nodes = {node for node, path in life.trace.paths.items() if is_ignored(path)}
        life.trace.events = [
            event
            for event in events
            if event.call.kind is not Kind.SYNC or event.call.node not in nodes
        ]
        ended = checked(forks, life, f"{seed}", IMAGES_OF_LIARS, tmp_path / what)
        complaint = ended.output.splitlines()[-1]
        measured(f"{what}: {complaint}")
        assert ended.returncode == 1, what
        assert COMPLAINT.match(complaint), complaint
