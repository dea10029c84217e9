"""Requests and responses to bytes and back, in every version, checked against kio's own codec."""

import dataclasses
import datetime
import struct
import uuid
from io import BytesIO
from typing import Any

import pytest
from kio.serial import entity_reader, entity_writer

from barnabas.protocol.apis import APIS, Api
from barnabas.protocol.codec import BadRequest, codec_for, schema_class, timedelta_ms
from unit.wire import build, is_flexible, request_message

VERSIONS = [
    pytest.param(api, version, id=f"{api.name}-{version}")
    for api in APIS
    if not api.is_native
    for version in range(api.min_version, api.max_version + 1)
]
BY_NAME = {api.name: api for api in APIS}


@pytest.mark.parametrize(("api", "version"), VERSIONS)
def test_a_response_of_defaults_reads_back(api: Api, version: int) -> None:
    codec = codec_for(api, version)
    message = codec.encode({})
    response_type = schema_class(api, version, "response")
    entity, end = entity_reader(response_type)(message, 0)
    assert end == len(message)
    again = BytesIO()
    entity_writer(response_type)(again, entity)
    assert again.getvalue() == message


def plain(entity: Any) -> dict[str, Any]:
    """The fields, durations as ms."""
    return {
        name: timedelta_ms(value) if isinstance(value, datetime.timedelta) else value
        for name, value in dataclasses.asdict(entity).items()
    }


@pytest.mark.parametrize(("api", "version"), VERSIONS)
def test_a_request_is_decoded_after_the_tagged_fields_of_its_header(api: Api, version: int) -> None:
    codec = codec_for(api, version)
    message = request_message(api, version, {})
    expected = plain(build(schema_class(api, version, "request"), {}))
    if not is_flexible(api, version):
        assert plain(codec.decode(message)) == expected
        return
    assert plain(codec.decode(b"\0" + message)) == expected
    unknown_tags = b"\x02" + b"\x07\x01x" + b"\x81\x01\x02yz"
    assert plain(codec.decode(unknown_tags + message)) == expected


@pytest.mark.parametrize("retention_ms", [2**63 - 1, -(2**63), -1, 0])
@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_retention_may_be_any_number_of_64_bits(version: int, retention_ms: int) -> None:
    api = BY_NAME["OffsetCommit"]
    message = request_message(api, version, {"retention_time": 5})
    place = struct.pack(">q", 5)
    assert message.count(place) == 1
    sent = message.replace(place, struct.pack(">q", retention_ms))
    assert codec_for(api, version).decode(sent).retention_time == retention_ms


@pytest.mark.parametrize(("api", "version"), VERSIONS)
def test_a_request_cut_short_is_refused(api: Api, version: int) -> None:
    codec = codec_for(api, version)
    whole = (b"\0" if is_flexible(api, version) else b"") + request_message(api, version, {})
    for size in range(len(whole)):
        with pytest.raises(BadRequest):
            codec.decode(whole[:size])


@pytest.mark.parametrize(
    "tags",
    [
        b"\xff\xff\xff\xff\x0f",  # four billion tagged fields
        b"\x01\x00\xff\xff\xff\xff\x0f",  # one of four billion bytes
        b"\xff\xff\xff\xff\xff\xff",  # a varint without end
        b"\x01",
    ],
)
def test_tagged_fields_beyond_the_frame_are_refused(tags: bytes) -> None:
    with pytest.raises(BadRequest):
        codec_for(BY_NAME["Metadata"], 12).decode(tags)


def test_an_array_longer_than_the_frame_is_refused() -> None:
    with pytest.raises(BadRequest):
        codec_for(BY_NAME["Metadata"], 1).decode(b"\x7f\xff\xff\xff")


def metadata_fields() -> dict[str, Any]:
    partition = {
        "error_code": 5,
        "partition_index": 1,
        "leader_id": 2,
        "leader_epoch": 3,
        "replica_nodes": [1, 2],
        "isr_nodes": (2,),
    }
    topic = {
        "name": "topic",
        "topic_id": uuid.UUID(int=9),
        "is_internal": True,
        "partitions": [partition],
    }
    return {
        "throttle_time": 70,
        "brokers": [{"node_id": 1, "host": "h", "port": 2, "rack": None}],
        "cluster_id": "c" * 200,
        "topics": [topic],
    }


@pytest.mark.parametrize("version", range(14))
def test_fields_that_a_version_lacks_are_dropped(version: int) -> None:
    codec = codec_for(BY_NAME["Metadata"], version)
    message = codec.encode(metadata_fields())
    entity, end = entity_reader(codec.response_type)(message, 0)
    assert end == len(message)
    assert entity.topics[0].partitions[0].isr_nodes == (2,)
    if version >= 3:
        assert entity.throttle_time == datetime.timedelta(milliseconds=70)
    if version >= 10:
        assert entity.topics[0].topic_id == uuid.UUID(int=9)


def test_a_part_encoded_before_is_taken_as_it_is() -> None:
    codec = codec_for(BY_NAME["ListGroups"], 0)
    group = b"\0\1g\0\1t"
    message = codec.encode({"groups": [group, {"group_id": "h", "protocol_type": ""}]})
    entity, _ = entity_reader(codec.response_type)(message, 0)
    assert [g.group_id for g in entity.groups] == ["g", "h"]


def test_tagged_fields_are_written_only_when_they_are_not_the_default() -> None:
    codec = codec_for(BY_NAME["ApiVersions"], 3)
    without = codec.encode({"finalized_features_epoch": -1})
    assert without == codec.encode({})
    entity, _ = entity_reader(codec.response_type)(codec.encode({"finalized_features_epoch": 0}), 0)
    assert entity.finalized_features_epoch == 0


def test_the_response_header_of_api_versions_is_never_flexible() -> None:
    assert codec_for(BY_NAME["ApiVersions"], 4).frame(7, b"m") == b"\0\0\0\7m"
    assert codec_for(BY_NAME["Metadata"], 12).frame(7, b"m") == b"\0\0\0\7\0m"
    assert codec_for(BY_NAME["Metadata"], 1).frame(7, b"m") == b"\0\0\0\7m"


def test_durations_become_milliseconds() -> None:
    assert timedelta_ms(datetime.timedelta(seconds=1.5)) == 1500
