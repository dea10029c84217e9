"""Reads the topics out of a consumer's embedded subscription.

Every version of ConsumerProtocolSubscription begins like version 0: a version number, then an array
of topic names. Nothing after that is looked at, so future versions are understood too.
"""

import struct

CONSUMER_PROTOCOL_TYPE = "consumer"

_HEADER = struct.Struct(">hi")
_LENGTH = struct.Struct(">h")


def subscribed_topics(metadata: bytes) -> frozenset[str] | None:
    """The topics of a subscription, or None if the bytes are not one."""
    try:
        version, count = _HEADER.unpack_from(metadata, 0)
        if version < 0 or count < 0:
            return None
        position = _HEADER.size
        topics = set()
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(metadata, position)
            position += _LENGTH.size
            name = metadata[position : position + length]
            if length < 0 or len(name) != length:
                return None
            topics.add(name.decode())
            position += length
    except (struct.error, UnicodeDecodeError):
        return None
    return frozenset(topics)
