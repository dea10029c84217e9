"""The checker of the soak finds each of the bugs that csrc/base/planted.h plants, and no other."""

from collections.abc import Callable
from pathlib import Path

import pytest

from faults.soak.broker import SoakServer
from faults.soak.checks import Kind
from faults.soak.run import BROKER, Soak

pytestmark = pytest.mark.slow

STEPS = 12

FOUND_AS = {
    "kUnwrittenAck": {Kind.LOST},
    "kDuplicatedBatch": {Kind.DUPLICATED},
    "kUnwrittenCommit": {Kind.COMMIT_LOST},
    "kEarlyStable": {Kind.UNDECIDED_SEEN},
    "kEarlyHighWatermark": {Kind.WATERMARK},
    "kAbortedOneShort": {Kind.ABORTED_SEEN},
    "kTimestampOff": {Kind.TIMESTAMP},
    "kLastValueDropped": {Kind.VALUE_LOST},
    "kTombstoneDropped": {Kind.TOMBSTONE_LOST},
    "kSnapshotBehind": {Kind.REFUSED},
    "kRecoveryCutsOneMore": {Kind.LOST, Kind.REFUSED},
    "kRetentionTakesOneMore": {Kind.RETENTION},
    "kIndexOneShort": {Kind.INDEX},
}


def kinds_found(tmp_path: Path, bug: str | None) -> dict[Kind, str]:
    """A short life with all kinds of load, one SIGKILL and one clean stop; the seed is fixed."""
    with SoakServer(tmp_path, BROKER, bug=bug) as server:
        soak = Soak(server, seed=1)
        soak.make_topics()
        soak.start_load()
        soak.await_steps(STEPS)
        soak.stop_load()
        soak.audit()
        if not soak.report.findings:
            soak.start_load()
            soak.await_steps(STEPS // 3)
            soak.kill()
            soak.await_steps(STEPS // 2)
            soak.restart()
            soak.await_steps(STEPS)
            soak.stop_load()
            soak.audit()
    return {finding.kind: str(finding) for finding in soak.report.findings}


@pytest.mark.parametrize("bug", FOUND_AS)
def test_a_planted_bug_is_found(tmp_path: Path, bug: str, measured: Callable[[str], None]) -> None:
    found = kinds_found(tmp_path, bug)
    measured("; ".join(found.values()))
    assert found.keys() & FOUND_AS[bug], f"found {found}"


def test_nothing_is_found_without_a_bug(tmp_path: Path) -> None:
    assert kinds_found(tmp_path, "") == {}
