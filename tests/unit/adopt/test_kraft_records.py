"""Metadata records from their bytes, whatever the bytes are."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from barnabas.protocol.internal.kraft_records import (
    ConfigSet,
    KraftRecordError,
    OtherRecord,
    PartitionAdded,
    PartitionChanged,
    ProducerIdsTaken,
    TopicAdded,
    decode_kraft_record,
)
from unit.adopt import kraft_writer as kw

TOPIC_ID = bytes(range(16))


def test_records_are_read_in_all_versions() -> None:
    assert decode_kraft_record(kw.topic("größe", TOPIC_ID)) == TopicAdded("größe", TOPIC_ID)
    old = decode_kraft_record(kw.partition(TOPIC_ID, 3, leader_epoch=5, directories=None))
    assert old == PartitionAdded(TOPIC_ID, 3, (1,), (1,), 1, 5, ())
    new = decode_kraft_record(kw.partition(TOPIC_ID, 3, replicas=(2, 1), isr=(2,)))
    assert new == PartitionAdded(TOPIC_ID, 3, (2, 1), (2,), 2, 0, (kw.DIRECTORY_ID,))
    assert decode_kraft_record(kw.config(2, "t", "a", None)) == ConfigSet(2, "t", "a", None)
    assert decode_kraft_record(kw.producer_ids(4000)) == ProducerIdsTaken(4000)


def test_a_change_names_only_what_changes() -> None:
    assert decode_kraft_record(kw.partition_change(TOPIC_ID, 0)) == PartitionChanged(TOPIC_ID, 0)
    change = kw.partition_change(TOPIC_ID, 0, leader=-1, isr=(), directories=(kw.DIRECTORY_ID,))
    assert decode_kraft_record(change) == PartitionChanged(
        TOPIC_ID, 0, isr=(), leader=-1, directories=(kw.DIRECTORY_ID,)
    )


def test_records_about_other_things_are_passed_over() -> None:
    assert decode_kraft_record(kw.frame(27, b"anything", version=9)) == OtherRecord(27)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\x00\x02\x00",  # frame version 0
        b"\x02\x02\x00",
        kw.frame(3, b"", version=3),
        kw.frame(4, b"\x02" + kw.text("t")),  # cut off
        kw.frame(2, b"\x03\xff\xfe" + TOPIC_ID),  # no UTF-8
        kw.frame(2, kw.text(None) + TOPIC_ID),
        kw.frame(3, b"\0\0\0\0" + TOPIC_ID + b"\xff\xff\xff\xff\x0f"),  # two thousand million
        b"\xff\xff\xff\xff\xff\xff",
    ],
)
def test_what_is_no_record_is_refused(value: bytes | None) -> None:
    with pytest.raises(KraftRecordError):
        decode_kraft_record(value)


@given(st.binary(max_size=60), st.sampled_from([2, 3, 4, 5, 9, 12, 15, 23]), st.integers(0, 2))
def test_any_bytes_are_a_record_or_refused(body: bytes, api_key: int, version: int) -> None:
    with suppress(KraftRecordError):
        decode_kraft_record(kw.frame(api_key, body, version))
