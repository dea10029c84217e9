"""barnabas.dump on segments that barnabas.Log wrote, whole and damaged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from barnabas._records import encode_batch, iter_batches
from barnabas.dump.finding import Damage, Entry
from barnabas.dump.segment import read_segment
from barnabas.log import Log

NAME = f"{0:020}.log"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    """Ten batches of three records."""
    directory = tmp_path / "orders-0"
    with Log(directory) as log:
        for i in range(10):
            records = [(b"k%d" % i, b"value %d" % j, 1000 + i) for j in range(3)]
            log.append(records, codec=CODECS[i % len(CODECS)])
    return directory / NAME


def entries(path: Path, kind: str, deep: bool = False) -> list[Entry]:
    found = [item for item in read_segment(path, deep) if isinstance(item, Entry)]
    return [entry for entry in found if entry.kind == kind]


def damage(path: Path, deep: bool = False) -> list[Damage]:
    return [item for item in read_segment(path, deep) if isinstance(item, Damage)]


def positions(path: Path) -> Iterator[int]:
    at = 0
    for batch in iter_batches(path.read_bytes()):
        yield at
        at += batch.size_bytes


def test_every_batch_is_shown_where_it_is(segment: Path) -> None:
    found = entries(segment, "batch")
    assert damage(segment, deep=True) == []
    assert [entry.position for entry in found] == list(positions(segment))
    assert [entry.fields["base_offset"] for entry in found] == list(range(0, 30, 3))
    assert [entry.fields["codec"] for entry in found] == list(CODECS) * 2
    assert {entry.fields["is_valid"] for entry in found} == {True}


def test_records_are_shown_when_asked_for(segment: Path) -> None:
    assert entries(segment, "record") == []
    found = entries(segment, "record", deep=True)
    assert [entry.fields["offset"] for entry in found] == list(range(30))
    assert found[4].fields["key"] == b"k1"
    assert found[4].fields["value"] == b"value 1"
    assert found[4].fields["timestamp"] == 1001


def test_a_flipped_bit_is_found_at_its_batch_and_the_others_are_read(segment: Path) -> None:
    data = bytearray(segment.read_bytes())
    at = list(positions(segment))
    data[at[4] + 70] ^= 1
    segment.write_bytes(data)
    found = damage(segment)
    assert [item.position for item in found] == [at[4]]
    assert "CRC" in found[0].reason
    assert len(entries(segment, "batch")) == 10


@pytest.mark.parametrize("cut_bytes", [1, 30, 60, 61, 70])
def test_a_torn_tail_is_found_at_the_batch_that_is_not_whole(segment: Path, cut_bytes: int) -> None:
    data = segment.read_bytes()
    at = list(positions(segment))
    segment.write_bytes(data[: at[9] + cut_bytes])
    found = damage(segment)
    assert [item.position for item in found] == [at[9]]
    assert f"the last {cut_bytes} bytes" in found[0].reason
    assert len(entries(segment, "batch")) == 9


def test_zeros_at_the_end_are_called_so(segment: Path) -> None:
    size = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(bytes(4096))
    found = damage(segment)
    assert [item.position for item in found] == [size]
    assert found[0].reason.startswith("zeros")


def test_batches_behind_a_destroyed_one_are_found_again(segment: Path) -> None:
    data = bytearray(segment.read_bytes())
    at = list(positions(segment))
    data[at[3] : at[5]] = b"\x02" * (at[5] - at[3])
    segment.write_bytes(data)
    found = damage(segment)
    assert [item.position for item in found] == [at[3]]
    assert f"the next good batch is at {at[5]}" in found[0].reason
    assert len(entries(segment, "batch")) == 8


def test_offsets_that_go_back_are_damage(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(
        encode_batch([(None, b"a")], base_offset=5) + encode_batch([(None, b"b")], base_offset=5)
    )
    found = damage(path)
    assert len(found) == 1
    assert "base offset 5 where 6" in found[0].reason


def test_a_batch_below_the_segments_name_is_damage(tmp_path: Path) -> None:
    path = tmp_path / f"{100:020}.log"
    path.write_bytes(encode_batch([(None, b"a")], base_offset=5))
    assert len(damage(path)) == 1


def test_records_that_do_not_decode_are_damage_only_to_those_who_look(tmp_path: Path) -> None:
    from barnabas._core import crc32c

    batch = bytearray(encode_batch([(b"key", b"value")]))
    batch[61] = 0x7F  # the record's length
    batch[17:21] = crc32c(bytes(batch[21:])).to_bytes(4, "big")
    path = tmp_path / NAME
    path.write_bytes(batch)
    assert damage(path) == []
    assert len(damage(path, deep=True)) == 1


def test_the_producer_of_a_batch_is_shown(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(encode_batch([(None, b"a")], producer_id=7, producer_epoch=2, base_sequence=9))
    (entry,) = entries(path, "batch")
    shown = [entry.fields[name] for name in ("producer_id", "producer_epoch", "base_sequence")]
    assert shown == [7, 2, 9]


def test_an_empty_segment_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.touch()
    assert list(read_segment(path)) == []


def test_control_records_are_named(tmp_path: Path) -> None:
    path = tmp_path / NAME
    abort, commit = b"\0\0\0\0", b"\0\0\0\1"
    marker = b"\0\0\0\0\0\x05"
    path.write_bytes(
        encode_batch([(abort, marker)], base_offset=0, transactional=True, control=True)
        + encode_batch([(commit, marker)], base_offset=1, transactional=True, control=True)
    )
    found = entries(path, "record", deep=True)
    assert [entry.fields["control"] for entry in found] == ["abort", "commit"]
    assert {entry.fields["coordinator_epoch"] for entry in found} == {5}
