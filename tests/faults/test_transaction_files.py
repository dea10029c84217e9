"""Kafka's own dump tool, and ours, read what transactions leave on disk."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from barnabas._core import Core
from barnabas.dump.finding import Entry
from barnabas.dump.transaction_index import read_transaction_index
from peers.java import ToolShell
from unit.core_appends import append_marker, append_records

pytestmark = pytest.mark.java

TRANSACTIONS = 30
OPEN_PRODUCER = 99
RECORDS = [(b"key", b"value" * 20)]


@pytest.fixture(scope="module")
def shell() -> Iterator[ToolShell]:
    with ToolShell() as started:
        yield started


def fill(core: Core) -> list[tuple[int, int, int]]:
    """Two producers' transactions, interleaved; every third aborted. Returns the aborted ones:
    producer, first offset, offset of the marker."""
    aborted = []

    def append(producer_id: int) -> int:
        return append_records(core, "t", 0, RECORDS, producer_id=producer_id, producer_epoch=3)

    firsts = {1: append(1), 2: append(2)}
    for number in range(TRANSACTIONS):
        producer_id = 1 + number % 2
        append(producer_id)
        commit = number % 3 > 0
        marker = append_marker(core, ("t", 0), (producer_id, 3), commit, 8)
        if not commit:
            aborted.append((producer_id, firsts[producer_id], marker))
        firsts[producer_id] = append(producer_id)
    append(OPEN_PRODUCER)
    return aborted


def load(data: Path, epoch: int) -> Core:
    core = Core({})
    core.open_directories([str(data)], "cluster", 1)
    core.load_partitions(
        [("t", b"i" * 16, 0, epoch)], {"t": {"internal.segment.bytes": 2000, "segment.bytes": 2000}}
    )
    return core


@pytest.mark.parametrize("rebuilt", [False, True])
def test_kafkas_dump_tool_reads_transactions(
    tmp_path: Path, shell: ToolShell, rebuilt: bool
) -> None:
    core = load(tmp_path / "data", 0)
    aborted = fill(core)
    core.stop(0)
    directory = tmp_path / "data" / "t-0"
    if rebuilt:
        for path in directory.glob("*.txnindex"):
            path.unlink()
        (tmp_path / "data" / ".kafka_cleanshutdown").unlink()
        (tmp_path / "data" / "recovery-point-offset-checkpoint").unlink()
        load(tmp_path / "data", 0).stop(0)

    indexes = sorted(directory.glob("*.txnindex"))
    assert len(indexes) > 2
    dumped = shell.dump_log_segments(indexes)
    found = re.findall(
        r"producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)", dumped
    )
    assert [tuple(map(int, entry[:3])) for entry in found] == aborted
    # The other producer's transaction is always open, and the older one.
    assert all(int(stable) < int(last) for _, _, last, stable in found)
    ours = [item for path in indexes for item in read_transaction_index(path)]
    assert all(isinstance(item, Entry) for item in ours)
    assert len(ours) == len(aborted)

    log = shell.dump_log_segments(sorted(directory.glob("*.log")), "--deep-iteration")
    assert len(re.findall(r"endTxnMarker: COMMIT coordinatorEpoch: 8", log)) == TRANSACTIONS * 2 / 3
    assert len(re.findall(r"endTxnMarker: ABORT coordinatorEpoch: 8", log)) == TRANSACTIONS / 3
    assert "isvalid: false" not in log

    snapshot = shell.dump_log_segments(sorted(directory.glob("*.snapshot"))[-1:])
    assert re.search(r"producerId: 1 producerEpoch: 3 coordinatorEpoch: 8", snapshot)
    (first,) = re.findall(
        rf"producerId: {OPEN_PRODUCER} .*currentTxnFirstOffset: OptionalLong\[(\d+)\]", snapshot
    )
    again = load(tmp_path / "data", 0)
    (producer,) = [p for p in again.producers("t", 0) if p.producer_id == OPEN_PRODUCER]
    assert producer.current_txn_start_offset == int(first)
    again.stop(0)
