"""Transactions in a partition, as the coordinator sees them: records, markers, producers."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from barnabas._core import Core, ProducerInfo
from unit.core_appends import AppendRefused, append_marker, append_records, create_partitions

UNKNOWN_TOPIC, INVALID_PRODUCER_EPOCH, COORDINATOR_FENCED = 3, 47, 52
NOW_MS = 1_700_000_000_000
RECORDS = [(b"k", b"v")] * 3
TRANSACTIONAL, CONTROL = 0x10, 0x20  # bits of a batch's attributes


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    core = Core({})
    core.open_directories([str(tmp_path / "data")], "cluster", 1)
    create_partitions(core, "t", b"i" * 16, [(0, 0)], {})
    yield core
    core.stop(0)


def append(core: Core, producer_id: int = 7, epoch: int = 0) -> int:
    return append_records(core, "t", 0, RECORDS, producer_id=producer_id, producer_epoch=epoch)


def last_stable_offset(core: Core) -> int:
    return core.partition_info("t", 0).last_stable_offset


def producer(core: Core) -> ProducerInfo:
    (only,) = core.producers("t", 0)
    return only


def refusal(core: Core, producer_epoch: int, coordinator_epoch: int, version: int = 0) -> int:
    end = core.partition_info("t", 0).log_end_offset
    with pytest.raises(AppendRefused) as caught:
        append_marker(
            core,
            ("t", 0),
            (7, producer_epoch),
            False,
            coordinator_epoch,
            transaction_version=version,
        )
    assert core.partition_info("t", 0).log_end_offset == end
    return caught.value.code


def test_nothing_above_the_start_of_an_open_transaction_is_stable(core: Core) -> None:
    append_records(core, "t", 0, RECORDS)
    assert last_stable_offset(core) == 3
    append(core)
    append_records(core, "t", 0, RECORDS)
    assert last_stable_offset(core) == 3
    assert append_marker(core, ("t", 0), (7, 0), True, 1) == 9
    assert last_stable_offset(core) == 10


def test_the_oldest_open_transaction_decides(core: Core) -> None:
    append(core, producer_id=7)
    append(core, producer_id=8)
    append(core, producer_id=7)
    append_marker(core, ("t", 0), (7, 0), False, 1)
    assert last_stable_offset(core) == 3
    append_marker(core, ("t", 0), (8, 0), True, 1)
    assert last_stable_offset(core) == 11


def test_the_marker_is_a_control_batch_of_the_producer(core: Core) -> None:
    append(core)
    append_marker(core, ("t", 0), (7, 0), True, 5)
    append_marker(core, ("t", 0), (7, 0), False, 6)
    commit, abort = (core.read_batches("t", 0, offset, 1) for offset in (3, 4))
    for batch, kind, epoch in ((commit, 1, 5), (abort, 0, 6)):
        assert struct.unpack_from(">h", batch, 21)[0] == TRANSACTIONAL | CONTROL
        assert struct.unpack_from(">qhii", batch, 43) == (7, 0, -1, 1)
        key, value = bytes([0, 0, 0, kind]), bytes([0, 0, 0, 0, 0, epoch])
        # length, attributes, timestamp and offset delta; key; value; no headers
        assert batch[61:] == b"\x20\0\0\0" + b"\x08" + key + b"\x0c" + value + b"\0"


def test_producers_tell_of_the_open_transaction_and_the_last_marker(core: Core) -> None:
    assert core.producers("t", 0) == []
    append_records(core, "t", 0, RECORDS)
    append(core, epoch=4)
    open_one = producer(core)
    assert (open_one.producer_id, open_one.producer_epoch) == (7, 4)
    assert (open_one.last_sequence, open_one.coordinator_epoch) == (-1, -1)
    assert open_one.current_txn_start_offset == 3
    assert open_one.last_timestamp > NOW_MS
    append_marker(core, ("t", 0), (7, 5), True, 9, transaction_version=2)
    ended = producer(core)
    assert (ended.producer_epoch, ended.coordinator_epoch) == (5, 9)
    assert ended.current_txn_start_offset == -1


def test_late_markers_and_records_are_refused(core: Core) -> None:
    append(core, epoch=3)
    append_marker(core, ("t", 0), (7, 3), True, 9)
    assert refusal(core, producer_epoch=2, coordinator_epoch=9) == INVALID_PRODUCER_EPOCH
    assert refusal(core, producer_epoch=3, coordinator_epoch=8) == COORDINATOR_FENCED
    with pytest.raises(AppendRefused) as caught:
        append(core, epoch=2)
    assert caught.value.code == INVALID_PRODUCER_EPOCH
    with pytest.raises(AppendRefused) as caught:
        append_marker(core, ("missing", 0), (7, 3), True, 9)
    assert caught.value.code == UNKNOWN_TOPIC


def test_a_marker_of_transactions_v2_has_a_later_epoch_than_the_records(core: Core) -> None:
    append(core, epoch=3)
    assert refusal(core, 3, coordinator_epoch=0, version=2) == INVALID_PRODUCER_EPOCH
    append_marker(core, ("t", 0), (7, 4), True, 0, transaction_version=2)
    append_marker(core, ("t", 0), (7, 4), True, 0, transaction_version=2)  # written once more
    assert last_stable_offset(core) == core.partition_info("t", 0).high_watermark


def test_an_open_transaction_outlives_a_restart(core: Core, tmp_path: Path) -> None:
    append(core)
    core.stop(0)
    again = Core({})
    again.open_directories([str(tmp_path / "data")], "cluster", 1)
    again.load_partitions([("t", b"i" * 16, 0, 1)], {"t": {}})
    assert last_stable_offset(again) == 0
    append_marker(again, ("t", 0), (7, 0), True, 1)
    assert last_stable_offset(again) == 4
    again.stop(0)
