"""What members of a group tell each other, told by a hostile one."""

import struct

import pytest

from barnabas.embedded.consumer_protocol import decode_assignment, encode_assignment


def assignment(topics: int, name_length: int, name: bytes, count: int, *numbers: int) -> bytes:
    return (
        struct.pack(">hih", 0, topics, name_length)
        + name
        + struct.pack(f">i{len(numbers)}i", count, *numbers)
    )


def test_assignments_are_read_back() -> None:
    partitions = [("a", 0), ("a", 3), ("b", 1)]
    assert decode_assignment(encode_assignment(partitions)) == partitions
    assert decode_assignment(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        # Backwards by as much as a topic is long: it would be read over and over again.
        struct.pack(">hi", 0, 2**31 - 1) + struct.pack(">hih", 0, 0, -6),
        assignment(1, -1, b"", 0),
        assignment(-1, 1, b"t", 0),
        assignment(1, 1, b"t", -1),
        assignment(1, 1, b"t", 2**31 - 1, 0),
        assignment(2**31 - 1, 1, b"t", 1, 0),
        assignment(1, 100, b"t", 1, 0),
        assignment(1, 1, b"\xff", 1, 0),
        b"\0",
    ],
)
def test_what_is_no_assignment_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a consumer's assignment"):
        decode_assignment(data)
