"""Power cuts of a whole broker: of what it asked of its disk, disks are made that a cut may leave."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.power.life import check, lives
from peers.forks import ForkServer

S_PER_IMAGE = 3  # several times what one takes


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
        path = tmp_path / f"life-{number}"
        path.write_bytes(pickle.dumps(life))
        kept = tmp_path / f"failed-{number}"
        arguments = (str(path), life_seed, str(share), str(kept))
        ended = forks.run(check, *arguments, timeout_s=60 + share * S_PER_IMAGE)
        assert ended.returncode == 0, f"--seed {seed}, {path}, {kept}: {ended.output[-8000:]}"
        path.unlink()
        events += len(life.events)
        records += len(life.journal.records)
    measured(f"{images} disks of {events:,} events, {records:,} records; --seed {seed}")
