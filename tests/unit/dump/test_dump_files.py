"""barnabas.dump on the small files beside a segment."""

import struct
from pathlib import Path

import pytest

from barnabas._records import encode_batch
from barnabas.dump.files import files_below, read_file, topic_of
from barnabas.dump.finding import Damage, Entry
from barnabas.log import Log

BASE = f"{0:020}"


@pytest.fixture
def partition(tmp_path: Path) -> Path:
    """A log of several segments, with entries in its indexes and a producer's state."""
    directory = tmp_path / "orders-0"
    config = {"internal.segment.bytes": 4000, "index.interval.bytes": 100}
    with Log(directory, config=config) as log:
        for i in range(60):
            log.append_batch(
                encode_batch(
                    [(b"k", bytes(100), 1000 + i)],
                    producer_id=42,
                    producer_epoch=1,
                    base_sequence=i,
                )
            )
    return directory


def found(path: Path, deep: bool = False) -> list[Entry | Damage]:
    findings = read_file(path, deep)
    assert findings is not None
    return list(findings)


def fields(path: Path, kind: str) -> list[dict[str, object]]:
    return [item.fields for item in found(path) if isinstance(item, Entry) and item.kind == kind]


def damage(path: Path) -> list[Damage]:
    return [item for item in found(path) if isinstance(item, Damage)]


def test_nothing_that_the_log_wrote_is_damaged(partition: Path) -> None:
    names = {path.suffix or path.name for path in files_below(partition)}
    assert names >= {".log", ".index", ".timeindex", ".snapshot"}
    for path in files_below(partition):
        assert damage(path) == [], path


@pytest.mark.parametrize("again", ["", "-2"])
def test_what_recovery_has_set_aside_is_read(partition: Path, again: str) -> None:
    segment = min(partition.glob("*.log"))
    whole = segment.read_bytes()
    batches = fields(segment, "batch")
    position = int(batches[0]["size_bytes"])  # type: ignore[call-overload]
    aside = segment.with_name(f"{segment.name}.corrupt-{position}{again}")
    cut = bytearray(whole[position:])
    cut[16] ^= 1  # its magic byte
    aside.write_bytes(cut)
    assert aside in files_below(partition)
    assert fields(aside, "batch") == batches[2:]
    assert [item.position for item in damage(aside)] == [0]


def test_index_entries_lead_to_their_batches(partition: Path) -> None:
    segment = sorted(partition.glob("*.log"))[1]
    batches = {item["base_offset"] for item in fields(segment, "batch")}
    entries = fields(segment.with_suffix(".index"), "offset")
    assert entries
    assert {entry["offset"] for entry in entries} <= batches


def test_an_index_that_points_beside_a_batch_is_damage(partition: Path) -> None:
    index = sorted(partition.glob("*.index"))[0]
    data = bytearray(index.read_bytes())
    data[4:8] = struct.pack(">i", struct.unpack_from(">i", data, 4)[0] + 1)
    index.write_bytes(data)
    assert [item.position for item in damage(index)] == [0]


def test_index_entries_out_of_order_are_damage(partition: Path) -> None:
    index = sorted(partition.glob("*.index"))[0]
    data = index.read_bytes()
    index.write_bytes(data[8:16] + data[:8] + data[16:])
    assert [item.position for item in damage(index)] == [8]


def test_index_entries_below_zero_are_damage(partition: Path) -> None:
    index = sorted(partition.glob("*.index"))[0]
    index.write_bytes(bytes.fromhex("00000005c859880400000009c8598805"))
    assert [item.position for item in damage(index)] == [0, 8]
    index.write_bytes(bytes.fromhex("fffffff500000000"))
    assert [item.position for item in damage(index)] == [0]


def test_one_wild_index_entry_does_not_condemn_those_behind_it(partition: Path) -> None:
    index = sorted(partition.glob("*.index"))[0]
    data = index.read_bytes()
    index.write_bytes(struct.pack(">ii", 2**31 - 1, 2**31 - 1) + data[8:])
    assert [item.position for item in damage(index)] == [0]


def test_zeros_after_the_last_entry_are_room_and_no_damage(partition: Path) -> None:
    index = sorted(partition.glob("*.index"))[0]
    used = len(fields(index, "offset"))
    with index.open("ab") as file:
        file.write(bytes(8 * 100_000))
    assert len(fields(index, "offset")) == used
    assert damage(index) == []


def test_half_an_index_entry_is_damage(partition: Path) -> None:
    index = sorted(partition.glob("*.timeindex"))[0]
    with index.open("ab") as file:
        file.write(b"\x01\x02\x03")
    assert [item.position for item in damage(index)] == [index.stat().st_size - 3]


def test_the_time_index_shows_times_and_offsets(partition: Path) -> None:
    index = sorted(partition.glob("*.timeindex"))[0]
    for entry in fields(index, "timestamp"):
        assert isinstance(entry["offset"], int)
        assert entry["timestamp"] == 1000 + entry["offset"]


def test_times_out_of_order_are_damage(tmp_path: Path) -> None:
    path = tmp_path / f"{BASE}.timeindex"
    path.write_bytes(struct.pack(">qiqi", 2000, 5, 1000, 6))
    assert [item.position for item in damage(path)] == [12]


def test_a_snapshot_shows_its_producers(partition: Path) -> None:
    snapshot = sorted(partition.glob("*.snapshot"))[-1]
    (producer,) = fields(snapshot, "producer")
    assert producer["producer_id"] == 42
    assert producer["producer_epoch"] == 1
    assert producer["current_txn_first_offset"] == -1


@pytest.mark.parametrize(("at", "where"), [(12, 2), (9, 2), (1, 0)])
def test_a_changed_snapshot_is_damage(partition: Path, at: int, where: int) -> None:
    snapshot = sorted(partition.glob("*.snapshot"))[-1]
    data = bytearray(snapshot.read_bytes())
    data[at] ^= 4
    snapshot.write_bytes(data)
    assert damage(snapshot)[0].position == where


def test_a_truncated_snapshot_is_damage(partition: Path) -> None:
    snapshot = sorted(partition.glob("*.snapshot"))[-1]
    for size in range(snapshot.stat().st_size):
        snapshot.write_bytes(snapshot.read_bytes()[:size] if size else b"")
        assert damage(snapshot)


def test_aborted_transactions_are_shown(tmp_path: Path) -> None:
    path = tmp_path / f"{BASE}.txnindex"
    path.write_bytes(struct.pack(">hqqqq", 0, 7, 10, 20, 21))
    assert fields(path, "aborted_transaction") == [
        {"producer_id": 7, "first_offset": 10, "last_offset": 20, "last_stable_offset": 21}
    ]
    path.write_bytes(struct.pack(">hqqqq", 0, 7, 20, 10, 21))
    assert len(damage(path)) == 1


def test_an_offset_checkpoint_is_shown_by_partition(tmp_path: Path) -> None:
    path = tmp_path / "recovery-point-offset-checkpoint"
    path.write_text("0\n2\norders 0 17\norders 1 0\n")
    assert fields(path, "partition_offset") == [
        {"topic": "orders", "partition": 0, "offset": 17},
        {"topic": "orders", "partition": 1, "offset": 0},
    ]


def test_checksums_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "log-start-offset-checkpoint.crc"
    path.write_text("0\n2\n4 17\n12 18\n")
    assert fields(path, "checksum") == [{"bytes": 4, "crc32c": 17}, {"bytes": 12, "crc32c": 18}]
    path.write_text("0\n1\n4 x\n")
    assert [item.line for item in damage(path)] == [3]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0\n", 1),
        ("1\n0\n", 1),
        ("0\n3\norders 0 17\n", 2),
        ("0\n1\norders 0\n", 3),
        ("0\n1\norders 0 -5\n", 3),
        ("0\n1\n\x00\x00\x00\x00\n", 3),
    ],
)
def test_a_bad_checkpoint_is_damage_in_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "replication-offset-checkpoint"
    path.write_text(text)
    assert [item.line for item in damage(path)] == [line]


def test_an_empty_checkpoint_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "cleaner-offset-checkpoint"
    path.touch()
    assert found(path) == []


def test_leader_epochs_must_grow(tmp_path: Path) -> None:
    path = tmp_path / "leader-epoch-checkpoint"
    path.write_text("0\n2\n0 0\n3 100\n")
    assert fields(path, "leader_epoch")[1] == {"leader_epoch": 3, "start_offset": 100}
    path.write_text("0\n2\n3 100\n2 200\n")
    assert [item.line for item in damage(path)] == [4]


def test_the_identity_files_are_shown(tmp_path: Path) -> None:
    meta = tmp_path / "meta.properties"
    meta.write_text("#\n#Tue Nov 24\nnode.id=1\nversion=1\ncluster.id=abc=\n")
    assert fields(meta, "settings") == [{"node.id": "1", "version": "1", "cluster.id": "abc="}]
    meta.write_text("version=1\n")
    assert len(damage(meta)) == 1
    topic = tmp_path / "partition.metadata"
    topic.write_text("version: 0\ntopic_id: xkTIJz37SSqSGcmMvTsRaA")
    assert fields(topic, "settings")[0]["topic_id"] == "xkTIJz37SSqSGcmMvTsRaA"
    clean = tmp_path / ".kafka_cleanshutdown"
    clean.write_text('{"version":0,"brokerEpoch":-1}')
    assert fields(clean, "settings") == [{"version": 0, "brokerEpoch": -1}]


def test_files_about_to_be_deleted_are_read_by_their_old_name(partition: Path) -> None:
    segment = sorted(partition.glob("*.log"))[0]
    batches = len(fields(segment, "batch"))
    renamed = segment.rename(segment.with_name(segment.name + ".deleted"))
    assert len(fields(renamed, "batch")) == batches


def test_a_file_of_another_name_has_no_reader(tmp_path: Path) -> None:
    assert read_file(tmp_path / "metadata.sqlite", with_records=False) is None


@pytest.mark.parametrize(
    ("directory", "topic"),
    [
        ("orders-0", "orders"),
        ("my-topic-12", "my-topic"),
        ("__consumer_offsets-49", "__consumer_offsets"),
        ("orders-0.0123456789abcdef0123456789abcdef-delete", "orders"),
        ("data", ""),
    ],
)
def test_a_directory_tells_its_topic(tmp_path: Path, directory: str, topic: str) -> None:
    assert topic_of(tmp_path / directory / f"{BASE}.log") == topic
