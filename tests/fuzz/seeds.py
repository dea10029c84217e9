"""Where each native fuzzer starts from: a few inputs that its target accepts."""

import random
import struct
from collections.abc import Callable, Iterator

from barnabas._records import CODEC_NAMES, Record, encode_batch
from barnabas.protocol.apis import API_BY_KEY, Api
from barnabas.protocol.codec import schema_class
from barnabas.protocol.shape import request_shape
from fuzz.requests import sample_body

_SEED = 20
_FETCH_MIN_VERSION = 4


def _records(base_offset: int = 0) -> list[Record]:
    offsets = range(base_offset, base_offset + 5)
    return [Record(i, 1_700_000_000_000 + i, b"k%d" % i, b"value" * 5) for i in offsets]


def _batches() -> list[bytes]:
    return [encode_batch(_records(), codec=codec) for codec in range(len(CODEC_NAMES))]


def frame_parser() -> Iterator[bytes]:
    """A byte for the sizes of pieces, then frames."""
    rng = random.Random(_SEED)
    stream = b""
    for api in API_BY_KEY.values():
        body = sample_body(api, api.max_version, rng)
        header = struct.pack(">hhih", api.key, api.max_version, 7, 4) + b"fuzz"
        frame = struct.pack(">i", len(header) + len(body)) + header + body
        yield b"\x01" + frame
        stream += frame
    yield b"\x05" + stream
    for start in (b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01", b"\xff\xff\xff\xff"):
        yield b"\x02" + start


def produce_request() -> Iterator[bytes]:
    """A byte for the version, then the body."""
    rng = random.Random(_SEED)
    api = API_BY_KEY[0]
    for version in range(3, api.max_version + 1):
        for _ in range(3):
            yield bytes([version]) + sample_body(api, version, rng)


def fetch_request() -> Iterator[bytes]:
    """A byte for the version, then the body."""
    rng = random.Random(_SEED)
    api = API_BY_KEY[1]
    for version in range(_FETCH_MIN_VERSION, api.max_version + 1):
        for _ in range(3):
            yield bytes([version - _FETCH_MIN_VERSION]) + sample_body(api, version, rng)


def message_shapes() -> list[tuple[Api, int]]:
    """Every request that the broker loop decodes: each API that is not native, in each version."""
    return [
        (api, version)
        for api in API_BY_KEY.values()
        if not api.is_native
        for version in range(api.min_version, api.max_version + 1)
    ]


def shapes_file() -> bytes:
    """Their shapes, as fuzz_message_shape loads them: each behind its length, in two bytes."""
    shapes = [request_shape(schema_class(api, v, "request")) for api, v in message_shapes()]
    return b"".join(struct.pack(">H", len(shape)) + shape for shape in shapes)


def message_shape() -> Iterator[bytes]:
    """Two bytes that choose the shape, then a message that fits it."""
    rng = random.Random(_SEED)
    for number, (api, version) in enumerate(message_shapes()):
        for _ in range(2):
            yield struct.pack(">H", number) + sample_body(api, version, rng)


def validate_batch() -> Iterator[bytes]:
    """A byte of options, then a batch."""
    for batch in _batches():
        for options in (0, 1, 2, 4, 8):
            yield bytes([options]) + batch


def decompress() -> Iterator[bytes]:
    """A byte for codec and direction, then a stream."""
    header_bytes = 61
    for codec, batch in enumerate(_batches()):
        yield bytes([codec]) + batch[header_bytes:]
        yield bytes([0x80 | codec]) + batch


def log_recovery() -> Iterator[bytes]:
    """Five lengths, then the files of a partition's directory."""
    epochs = b"0\n1\n0 0\n"
    index = struct.pack(">ii", 4, 0)
    time_index = struct.pack(">qi", 1_700_000_000_004, 4)
    for codec in range(len(CODEC_NAMES)):
        log = b"".join(
            encode_batch(
                _records(first),
                codec=codec,
                base_offset=first,
                producer_id=9,
                producer_epoch=0,
                base_sequence=first,
            )
            for first in (0, 5, 10)
        )
        for files in ((log, b"", b"", b"", epochs), (log[:-7], index, time_index, b"\0" * 14, b"")):
            yield struct.pack(">5H", *map(len, files)) + b"".join(files)


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "fuzz_frame_parser": frame_parser,
    "fuzz_produce_request": produce_request,
    "fuzz_fetch_request": fetch_request,
    "fuzz_message_shape": message_shape,
    "fuzz_validate_batch": validate_batch,
    "fuzz_decompress": decompress,
    "fuzz_log_recovery": log_recovery,
}
