"""Kafka's metadata log and its snapshots, whole and damaged."""

import logging
from pathlib import Path

import pytest

from barnabas.adopt.image import TOPIC_RESOURCE, ClusterImage
from barnabas.adopt.metadata_log import read_cluster_metadata
from barnabas.errors import StartError
from unit.adopt import kraft_writer as kw

A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


@pytest.fixture
def data_dir(tmp_path: Path) -> kw.DataDir:
    return kw.DataDir(tmp_path / "kafka")


def names(image: ClusterImage) -> dict[str, int]:
    """The topics and how many partitions each has."""
    return {topic.name: len(topic.partitions) for topic in image.topics.values()}


def test_the_log_is_replayed_past_control_batches(data_dir: kw.DataDir) -> None:
    data_dir.log(
        kw.LEADER_CHANGE,
        [kw.topic("a", A), kw.partition(A, 0), kw.config(TOPIC_RESOURCE, "a", "x", "1")],
        kw.KRAFT_VERSION,
        [kw.topic("b", B), kw.partition(B, 0), kw.config(TOPIC_RESOURCE, "b", "y", "2")],
        [kw.partition(A, 1, leader_epoch=4), kw.partition_change(A, 1, leader=-1)],
        [kw.config(TOPIC_RESOURCE, "a", "x", None), kw.remove_topic(B), kw.topic("b", C)],
    )
    found = read_cluster_metadata(data_dir.metadata)
    assert names(found.image) == {"a": 2, "b": 0}
    assert found.image.topics[A].partitions[1].leader_epoch == 5
    assert found.image.configs == {}
    assert (found.end_offset, found.voter_count) == (13, 1)


def test_reading_begins_with_the_newest_snapshot(data_dir: kw.DataDir) -> None:
    data_dir.snapshot(2, kw.topic("old", B))
    data_dir.snapshot(5, kw.topic("a", A), kw.partition(A, 0))
    # The log reaches further back; what the snapshot has is not replayed again.
    data_dir.log([kw.topic("gone", C), kw.remove_topic(C), kw.topic("a", A)], base_offset=2)
    data_dir.log([kw.partition(A, 1)], [kw.producer_ids(2000)], base_offset=5)
    found = read_cluster_metadata(data_dir.metadata)
    assert names(found.image) == {"a": 2}
    assert found.image.next_producer_id == 2000


def test_files_that_are_being_written_or_deleted_are_passed_over(data_dir: kw.DataDir) -> None:
    for suffix in ("checkpoint.part", "checkpoint.deleted", "log.deleted"):
        (data_dir.metadata / f"{9:020}-0000000001.{suffix}").write_bytes(b"?")
    data_dir.log([kw.topic("a", A)])
    assert names(read_cluster_metadata(data_dir.metadata).image) == {"a": 0}


def test_a_torn_tail_is_not_used(data_dir: kw.DataDir, caplog: pytest.LogCaptureFixture) -> None:
    path = data_dir.log([kw.topic("a", A)], [kw.topic("b", B)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    found = read_cluster_metadata(data_dir.metadata)
    assert names(found.image) == {"a": 0}
    assert found.end_offset == 1
    (warning,) = caplog.messages
    assert path.name in warning
    assert path.read_bytes() == whole[:-3]


def test_a_corrupt_batch_that_others_follow_ends_the_adoption(data_dir: kw.DataDir) -> None:
    path = data_dir.log([kw.topic("a", A)], [kw.topic("b", B)], [kw.topic("c", C)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(StartError, match=rf"{path.name} is corrupt at byte \d+"):
        read_cluster_metadata(data_dir.metadata)


def test_damage_in_a_segment_that_others_follow_ends_the_adoption(data_dir: kw.DataDir) -> None:
    path = data_dir.log([kw.topic("a", A)], [kw.topic("b", B)])
    data_dir.log([kw.topic("c", C)], base_offset=2)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(StartError, match="is corrupt"):
        read_cluster_metadata(data_dir.metadata)


def test_missing_records_end_the_adoption(data_dir: kw.DataDir) -> None:
    data_dir.log([kw.topic("a", A)])
    data_dir.log([kw.topic("b", B)], base_offset=4)
    with pytest.raises(StartError, match="offset 1 to 3 are missing"):
        read_cluster_metadata(data_dir.metadata)
    data_dir.snapshot(4, kw.topic("a", A))
    assert names(read_cluster_metadata(data_dir.metadata).image) == {"a": 0, "b": 0}


@pytest.mark.parametrize("damage", ["cut", "flipped", "without footer"])
def test_an_older_snapshot_stands_in_for_a_damaged_one(data_dir: kw.DataDir, damage: str) -> None:
    data_dir.snapshot(1, kw.topic("a", A))
    newest = data_dir.snapshot(3, kw.topic("a", A), kw.topic("b", B), footer=damage[0] != "w")
    if damage == "cut":
        newest.write_bytes(newest.read_bytes()[:-3])
    elif damage == "flipped":
        data = bytearray(newest.read_bytes())
        data[100] ^= 1
        newest.write_bytes(data)
    log = data_dir.log([kw.topic("b", B)], [kw.topic("c", C)], base_offset=1)
    assert names(read_cluster_metadata(data_dir.metadata).image) == {"a": 0, "b": 0, "c": 0}
    log.rename(log.with_name(f"{2:020}.log"))
    with pytest.raises(StartError, match="checkpoint"):
        read_cluster_metadata(data_dir.metadata)


@pytest.mark.parametrize("value", [b"\x02\x02\x00", kw.frame(3, b"", version=7)])
def test_a_record_that_is_not_understood_ends_the_adoption(
    data_dir: kw.DataDir, value: bytes
) -> None:
    path = data_dir.log([kw.topic("a", A)], [value])
    with pytest.raises(StartError, match=f"{path.name}, offset 1: .*version"):
        read_cluster_metadata(data_dir.metadata)


def test_a_transaction_counts_when_it_has_ended(
    data_dir: kw.DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    data_dir.log(
        [kw.begin_transaction(), kw.topic("a", A)],
        [kw.partition(A, 0), kw.end_transaction()],
        [kw.begin_transaction(), kw.topic("b", B), kw.abort_transaction()],
    )
    assert names(read_cluster_metadata(data_dir.metadata).image) == {"a": 1}
    assert caplog.messages == []
    data_dir.log([kw.begin_transaction(), kw.topic("b", B)], base_offset=7)
    assert names(read_cluster_metadata(data_dir.metadata).image) == {"a": 1}
    assert "transaction has not ended" in caplog.text


def test_a_change_of_what_is_unknown_ends_the_adoption(data_dir: kw.DataDir) -> None:
    data_dir.log([kw.topic("a", A)], [kw.partition_change(A, 7, leader=1)])
    with pytest.raises(StartError, match="a-7, which is unknown"):
        read_cluster_metadata(data_dir.metadata)
