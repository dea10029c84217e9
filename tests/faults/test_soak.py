"""A short soak (`make soak` is the long one): everything at once, and nothing is found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from faults.soak.broker import SoakServer
from faults.soak.run import BROKER, Soak
from faults.soak.small_disk import SmallDisk

SECONDS = 30.0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_soak_finds_nothing(tmp_path: Path, seed: int, measured: Callable[[str], None]) -> None:
    with SoakServer(tmp_path, BROKER, with_small_disk=SmallDisk.possible) as server:
        report = Soak(server, seed).soak(SECONDS)
        assert report.findings == [], "\n".join(map(str, report.findings))
        assert report.passes > 0
    measured(str(report))
