"""Records that make a batch of about 16 KiB, with values that compress to about half."""

import random
import string
from typing import TypeAlias

RecordPair: TypeAlias = tuple[bytes | None, bytes | None]

BATCH_BYTES = 16 << 10


def records_of(value_bytes: int) -> list[RecordPair]:
    letters = string.ascii_lowercase[:16].encode()
    generator = random.Random(1)
    return [
        (b"key-%d" % number, bytes(generator.choices(letters, k=value_bytes)))
        for number in range(BATCH_BYTES // value_bytes)
    ]
