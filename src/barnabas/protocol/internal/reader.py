"""Reads an entity of an internal topic's record from bytes that may be anything.

Records of internal topics can be damaged, or written by an administrator's client: their counts are
checked against the entity's shape before kio decodes, which would abort the process on some.
Imports `shape` and the core's check of shapes.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from kio.serial import entity_reader

from barnabas._core import shape_mismatch
from barnabas.protocol.shape import entity_shape

VERSION_BYTES = 2
"""Keys and values begin with their version, an int16."""

RecordReader = Callable[[bytes], tuple[Any, int]]


@cache
def record_reader(entity_type: Any) -> RecordReader:
    """What reads `entity_type` after the version: the entity, and the bytes it took.

    The reader raises ValueError, or what kio does for bytes that do not fit.
    """
    shape = entity_shape(entity_type)
    read = entity_reader(entity_type)

    def read_record(data: bytes) -> tuple[Any, int]:
        mismatch = shape_mismatch(shape, data[VERSION_BYTES:])
        if mismatch is not None:
            raise ValueError(mismatch)
        return read(data, VERSION_BYTES)

    return read_record
