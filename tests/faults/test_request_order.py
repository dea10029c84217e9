"""Requests pipelined on one connection take effect in the order in which they were sent."""

import struct

import pytest

from faults.conftest import ServerFactory
from faults.wire import Wire, framed, header
from peers.processes import wait_until

METADATA, OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR = 3, 8, 9, 10
CREATE_TOPICS, DELETE_TOPICS = 19, 20
ROUNDS = 50
OLD_ANSWER = struct.Struct(">i")  # the header of an answer


def string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def array(*elements: bytes) -> bytes:
    return struct.pack(">i", len(elements)) + b"".join(elements)


def create_topic(name: str) -> bytes:
    topic = string(name) + struct.pack(">ih", 1, 1) + array() + array()
    return header(CREATE_TOPICS, 2) + array(topic) + struct.pack(">i?", 10_000, False)


def delete_topic(name: str) -> bytes:
    return header(DELETE_TOPICS, 1) + array(string(name)) + struct.pack(">i", 10_000)


def metadata_of(name: str) -> bytes:
    return header(METADATA, 1) + array(string(name))


def commit(group: str, topic: str, offset: int) -> bytes:
    partition = struct.pack(">iq", 0, offset) + string("")
    return (
        header(OFFSET_COMMIT, 2)
        + string(group)
        + struct.pack(">i", -1)
        + string("")
        + struct.pack(">q", -1)
        + array(string(topic) + array(partition))
    )


def committed(group: str, topic: str) -> bytes:
    partitions = array(struct.pack(">i", 0))
    return header(OFFSET_FETCH, 1) + string(group) + array(string(topic) + partitions)


def in_one_send(wire: Wire, *requests: bytes) -> list[bytes]:
    """The bodies of the answers."""
    wire.send(b"".join(framed(request) for request in requests))
    answers = [wire.receive_frame() for _ in requests]
    return [answer[OLD_ANSWER.size :] for answer in answers if answer is not None]


def is_committed(wire: Wire) -> bool:
    """Whether the group's coordinator is there; the first question makes it."""
    _, answer = in_one_send(wire, header(FIND_COORDINATOR, 0) + string("g"), commit("g", "t", 0))
    return answer.endswith(struct.pack(">h", 0))


def topic_error(metadata: bytes, topic: str) -> int:
    """The error code that stands before the topic's name in a Metadata v1 answer."""
    at = metadata.index(string(topic))
    (error,) = struct.unpack_from(">h", metadata, at - 2)
    return int(error)


@pytest.fixture
def wire(new_server: ServerFactory) -> Wire:
    return Wire(new_server({"auto.create.topics.enable": "false"}).port)


def test_an_offset_fetch_behind_a_commit_sees_what_it_committed(wire: Wire) -> None:
    assert len(in_one_send(wire, create_topic("t"))) == 1
    wait_until(lambda: is_committed(wire), 20, "the coordinator takes commits")
    for offset in range(ROUNDS):
        _, found = in_one_send(wire, commit("g", "t", offset), committed("g", "t"))
        (read,) = struct.unpack_from(">q", found, 4 + 2 + 1 + 4 + 4)
        assert read == offset


def test_metadata_behind_create_and_delete_topics_sees_their_effect(wire: Wire) -> None:
    for number in range(ROUNDS // 5):
        name = f"made-{number}"
        _, made, _, gone = in_one_send(
            wire, create_topic(name), metadata_of(name), delete_topic(name), metadata_of(name)
        )
        assert topic_error(made, name) == 0
        assert topic_error(gone, name) == 3
