"""Where the batches of a segment file are, read without the code under test; a wrong bit in it."""

import struct
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct(">qiibIhi")  # base offset … last offset delta
BATCH_HEADER_BYTES = 61


@dataclass(frozen=True)
class BatchAt:
    position: int
    size: int
    base_offset: int
    last_offset: int

    @property
    def end(self) -> int:
        return self.position + self.size


def batches_of(segment: Path) -> list[BatchAt]:
    data = segment.read_bytes()
    found = []
    position = 0
    while position + BATCH_HEADER_BYTES <= len(data):
        base_offset, length, _, magic, _, _, delta = _HEADER.unpack_from(data, position)
        if magic != 2:  # the zeros of a preallocated file
            break
        found.append(BatchAt(position, 12 + length, base_offset, base_offset + delta))
        position += 12 + length
    return found


def flip_bit(path: Path, bit: int) -> None:
    """Of a file: a wrong one, as a disk may give it."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
