"""What members of a consumer group tell each other: subscriptions and assignments.

Kafka's ConsumerProtocolSubscription and ConsumerProtocolAssignment in version 0, which every client
understands; those of other versions are read as far as version 0 goes. And the two assignors that
all clients have: `range` and `roundrobin`.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Final

Partition = tuple[str, int]
Assignment = dict[str, list[Partition]]
"""By member id."""

_VERSION: Final = 0
_HEADER: Final = struct.Struct(">hi")  # version, number of topics
_SHORT: Final = struct.Struct(">h")
_INT: Final = struct.Struct(">i")
_NO_USER_DATA: Final = _INT.pack(-1)


def encode_subscription(topics: Iterable[str]) -> bytes:
    """ConsumerProtocolSubscription."""
    names = sorted(topics)
    parts = [_HEADER.pack(_VERSION, len(names))]
    parts += [_text(name) for name in names]
    return b"".join([*parts, _NO_USER_DATA])


def encode_assignment(partitions: Iterable[Partition]) -> bytes:
    """ConsumerProtocolAssignment."""
    by_topic: dict[str, list[int]] = {}
    for topic, partition in sorted(partitions):
        by_topic.setdefault(topic, []).append(partition)
    parts = [_HEADER.pack(_VERSION, len(by_topic))]
    for topic, numbers in by_topic.items():
        parts += [_text(topic), _INT.pack(len(numbers)), *map(_INT.pack, numbers)]
    return b"".join([*parts, _NO_USER_DATA])


def decode_assignment(data: bytes) -> list[Partition]:
    """The partitions of an assignment; none of an empty one. Raises ValueError."""
    if not data:
        return []
    partitions: list[Partition] = []
    try:
        _, topic_count = _HEADER.unpack_from(data, 0)
        position = _HEADER.size
        for _ in range(_counted(topic_count)):
            (length,) = _SHORT.unpack_from(data, position)
            position += _SHORT.size
            topic = data[position : position + _counted(length)].decode()
            position += length
            (count,) = _INT.unpack_from(data, position)
            position += _INT.size
            numbers = struct.unpack_from(f">{_counted(count)}i", data, position)
            position += _INT.size * count
            partitions += [(topic, number) for number in numbers]
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"not a consumer's assignment: {error}") from error
    return partitions


def _counted(number: int) -> int:
    if number < 0:
        raise ValueError(f"not a consumer's assignment: a length of {number}")
    return number


def assign_range(members: Mapping[str, frozenset[str]], counts: Mapping[str, int]) -> Assignment:
    """Topic by topic, each member a run of partitions. `members`: their topics; `counts`: how many
    partitions topics have.
    """
    assignment: Assignment = {member: [] for member in members}
    for topic in sorted(set().union(*members.values())):
        interested = sorted(member for member, topics in members.items() if topic in topics)
        share, extra = divmod(counts.get(topic, 0), len(interested))
        first = 0
        for number, member in enumerate(interested):
            size = share + (number < extra)
            assignment[member] += [(topic, first + i) for i in range(size)]
            first += size
    return assignment


def assign_round_robin(
    members: Mapping[str, frozenset[str]], counts: Mapping[str, int]
) -> Assignment:
    """All partitions in a row, dealt to the members in turn."""
    assignment: Assignment = {member: [] for member in members}
    order = sorted(members)
    turn = 0
    for topic in sorted(set().union(*members.values())):
        for partition in range(counts.get(topic, 0)):
            while topic not in members[order[turn % len(order)]]:
                turn += 1
            assignment[order[turn % len(order)]].append((topic, partition))
            turn += 1
    return assignment


ASSIGNORS: Final[
    Mapping[str, Callable[[Mapping[str, frozenset[str]], Mapping[str, int]], Assignment]]
] = {"range": assign_range, "roundrobin": assign_round_robin}
"""By protocol name, the preferred one first."""


def _text(text: str) -> bytes:
    data = text.encode()
    return _SHORT.pack(len(data)) + data
