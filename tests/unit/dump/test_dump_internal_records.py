"""The records of internal topics in a dump."""

import struct
from pathlib import Path

import pytest

from barnabas._records import Record, encode_batch
from barnabas.coordinator.group_records import encode
from barnabas.dump.files import read_file
from barnabas.dump.finding import Damage, Entry
from barnabas.dump.internal_records import decoder
from barnabas.state.group.records import (
    CommittedOffset,
    GroupRecord,
    GroupValue,
    MemberValue,
    OffsetRecord,
)

SUBSCRIPTION = b"\0\0" + struct.pack(">ih", 1, 2) + b"t1" + struct.pack(">i", -1)


def decoded(topic: str, key: bytes | None, value: bytes | None) -> dict[str, object]:
    decode = decoder(topic)
    assert decode is not None
    return decode(Record(0, 0, key, value))


def test_a_committed_offset_is_named() -> None:
    committed = CommittedOffset(
        offset=17, leader_epoch=3, metadata="note", commit_timestamp_ms=1000
    )
    key, value = encode(OffsetRecord("g", "orders", 2, committed))
    fields = decoded("__consumer_offsets", key, value)
    assert fields["record_type"] == "OffsetCommit"
    assert fields["key"] == {"group": "g", "topic": "orders", "partition": 2}
    shown = fields["value"]
    assert isinstance(shown, dict)
    assert shown["offset"] == 17
    assert shown["leader_epoch"] == 3
    assert shown["metadata"] == "note"


def test_a_tombstone_keeps_its_key() -> None:
    key, value = encode(OffsetRecord("g", "orders", 2, None))
    fields = decoded("__consumer_offsets", key, value)
    assert fields["key"] == {"group": "g", "topic": "orders", "partition": 2}
    assert fields["value"] is None


def test_a_members_subscription_is_read() -> None:
    member = MemberValue(
        member_id="m",
        group_instance_id=None,
        client_id="c",
        client_host="/127.0.0.1",
        rebalance_timeout_ms=1,
        session_timeout_ms=2,
        subscription=SUBSCRIPTION,
        assignment=b"of another assignor",
    )
    group = GroupValue(
        protocol_type="consumer",
        generation_id=1,
        protocol_name="range",
        leader_id="m",
        state_timestamp_ms=5,
        members=(member,),
    )
    fields = decoded("__consumer_offsets", *encode(GroupRecord("g", group)))
    assert fields["record_type"] == "GroupMetadata"
    value = fields["value"]
    assert isinstance(value, dict)
    (shown,) = value["members"]
    assert shown["subscription"]["topics"] == ["t1"]
    assert shown["assignment"] == b"of another assignor"


def test_a_transactions_state_is_named() -> None:
    key = struct.pack(">hh", 0, 2) + b"tx"
    value = struct.pack(">hqhibiqq", 0, 7, 1, 60_000, 2, -1, 100, 90)
    fields = decoded("__transaction_state", key, value)
    assert fields["key"] == {"transactional_id": "tx"}
    shown = fields["value"]
    assert isinstance(shown, dict)
    assert shown["transaction_status"] == "prepare_commit"
    assert shown["producer_id"] == 7


def test_a_type_that_is_not_known_keeps_its_bytes() -> None:
    key = struct.pack(">h", 99) + b"rest"
    assert decoded("__consumer_offsets", key, b"v") == {
        "record_type": "type 99",
        "key": key,
        "value": b"v",
    }


@pytest.mark.parametrize("key", [None, b"", b"\0", b"\0\1", b"\0\1\0\5ab", b"\0\2\0\1gX"])
def test_a_key_that_does_not_parse_is_an_error(key: bytes | None) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decoded("__consumer_offsets", key, None)


def test_other_topics_are_not_decoded() -> None:
    assert decoder("orders") is None


def test_records_are_decoded_by_the_directorys_name(tmp_path: Path) -> None:
    directory = tmp_path / "__consumer_offsets-7"
    directory.mkdir()
    path = directory / f"{0:020}.log"
    good = encode(OffsetRecord("g", "orders", 2, None))
    path.write_bytes(encode_batch([good, (b"\0\1", None)]))
    findings = read_file(path, with_records=True)
    assert findings is not None
    found = list(findings)
    kinds = [item.fields.get("record_type") for item in found if isinstance(item, Entry)]
    assert kinds == [None, "OffsetCommit", None]
    assert len([item for item in found if isinstance(item, Damage)]) == 1


def test_records_of_a_changed_batch_are_shown_as_bytes(tmp_path: Path) -> None:
    directory = tmp_path / "__consumer_offsets-7"
    directory.mkdir()
    path = directory / f"{0:020}.log"
    key, value = encode(OffsetRecord("g", "orders", 2, None))
    batch = bytearray(encode_batch([(key, value)]))
    batch[17] ^= 1
    path.write_bytes(batch)
    findings = read_file(path, with_records=True)
    assert findings is not None
    found = list(findings)
    assert [item.reason.split(" (")[0] for item in found if isinstance(item, Damage)] == [
        "wrong CRC"
    ]
    (record,) = [item for item in found if isinstance(item, Entry) and item.kind == "record"]
    assert record.fields["key"] == key
