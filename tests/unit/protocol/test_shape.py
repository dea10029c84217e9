"""Requests that do not have the shape of their schema are refused before they are decoded."""

import random
import struct

import pytest

from barnabas._core import shape_mismatch
from barnabas.protocol.apis import API_BY_KEY, APIS, Api
from barnabas.protocol.codec import BadRequest, codec_for, schema_class
from barnabas.protocol.encoder import write_uvarint
from barnabas.protocol.shape import request_shape
from fuzz.requests import sample_body
from unit.wire import is_flexible, request_message

METADATA = API_BY_KEY[3]
LIST_OFFSETS = API_BY_KEY[2]
TOPIC = struct.pack(">h", 1) + b"t"
ELEMENTS_MAX = 200_000

CONTROL_REQUESTS = [
    (api, version)
    for api in APIS
    if not api.is_native
    for version in range(api.min_version, api.max_version + 1)
]


@pytest.mark.parametrize("item", CONTROL_REQUESTS, ids=lambda item: f"{item[0].name}-v{item[1]}")
def test_every_well_formed_request_has_its_shape(item: tuple[Api, int]) -> None:
    api, version = item
    rng = random.Random(version)
    shape = request_shape(schema_class(api, version, "request"))
    for _ in range(30):
        body = sample_body(api, version, rng)
        assert shape_mismatch(shape, body) is None
        codec_for(api, version).decode(body)
        for cut in range(len(body)):
            assert shape_mismatch(shape, body[:cut]) is not None


@pytest.mark.parametrize("count", [2**31 - 1, 2**27, 100])
def test_a_count_beyond_the_message_is_refused(count: int) -> None:
    with pytest.raises(BadRequest, match="longer than its message"):
        codec_for(LIST_OFFSETS, 1).decode(struct.pack(">ii", -1, count) + TOPIC)


def test_a_compact_count_beyond_the_message_is_refused() -> None:
    with pytest.raises(BadRequest, match="longer than its message"):
        codec_for(METADATA, 12).decode(b"\0" + b"\xff\xff\xff\xff\x0f" + bytes(100))


def test_more_elements_than_anybody_needs_are_refused() -> None:
    fits = struct.pack(">i", ELEMENTS_MAX) + TOPIC * ELEMENTS_MAX
    codec_for(METADATA, 0).decode(fits)
    beyond = struct.pack(">i", ELEMENTS_MAX + 1) + TOPIC * (ELEMENTS_MAX + 1)
    with pytest.raises(BadRequest, match="too many elements"):
        codec_for(METADATA, 0).decode(beyond)


def test_a_null_array_is_refused_where_there_is_no_null() -> None:
    with pytest.raises(BadRequest, match="null"):
        codec_for(LIST_OFFSETS, 1).decode(struct.pack(">ii", -1, -1))
    nested = struct.pack(">ii", -1, 2) + TOPIC + struct.pack(">i", 0) + TOPIC
    with pytest.raises(BadRequest, match="null"):
        codec_for(LIST_OFFSETS, 1).decode(nested + struct.pack(">i", -1))


def test_an_array_that_may_be_null_is_taken() -> None:
    assert codec_for(METADATA, 1).decode(struct.pack(">i", -1)).topics is None


@pytest.mark.parametrize("length", [-2, -(2**31)])
def test_a_negative_count_is_refused(length: int) -> None:
    with pytest.raises(BadRequest, match="negative"):
        codec_for(METADATA, 1).decode(struct.pack(">i", length))


def test_tagged_fields_beyond_the_message_are_refused() -> None:
    header_tag_too_long = b"\x01\x05\xff\xff\xff\xff\x0f"
    with pytest.raises(BadRequest, match="longer than its message"):
        codec_for(METADATA, 12).decode(header_tag_too_long + bytes(20))
    with pytest.raises(BadRequest, match="cut off"):
        codec_for(METADATA, 12).decode(b"\xff\xff\xff\xff\x0f")


def test_a_string_longer_than_kafkas_is_refused_in_every_encoding() -> None:
    """Versions before the flexible ones cannot say it at all, so it must not get in."""
    api, flexible = API_BY_KEY[15], 5  # DescribeGroups

    def body(size: int) -> bytes:
        length = bytearray()
        write_uvarint(length, size + 1)
        return b"\0\x02" + bytes(length) + b"x" * size + b"\0\0"

    assert codec_for(api, flexible).decode(body(32_767)).groups == ("x" * 32_767,)
    with pytest.raises(BadRequest, match="string is too long"):
        codec_for(api, flexible).decode(body(32_768))
    with pytest.raises(BadRequest, match="negative"):
        codec_for(api, 0).decode(struct.pack(">iH", 1, 40_000) + b"x" * 40_000)


def test_bytes_may_be_longer_than_strings() -> None:
    join = API_BY_KEY[11]
    values = {"protocols": [{"name": "range", "metadata": b"m" * 100_000}]}
    for version in range(join.min_version, join.max_version + 1):
        message = request_message(join, version, values)
        shape = request_shape(schema_class(join, version, "request"))
        header = b"\0" if is_flexible(join, version) else b""
        assert shape_mismatch(shape, header + message) is None
