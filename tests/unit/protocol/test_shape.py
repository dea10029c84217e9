"""Requests that do not have the shape of their schema are refused before they are decoded."""

import random
import struct

import pytest

from barnabas._core import shape_mismatch
from barnabas.protocol.apis import API_BY_KEY, APIS, Api
from barnabas.protocol.codec import BadRequest, codec_for, schema_class
from barnabas.protocol.shape import request_shape
from fuzz.requests import sample_body

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
