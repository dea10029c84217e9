"""Every request decoder under damaged requests, over real sockets, against a live broker.

Whatever arrives, a request is answered or its connection closed; the broker lives, stays small, and
serves others meanwhile (`under_attack`). Requests come from kio's schemas and are damaged from
there: cut short, lengths and counts blown up, bytes exchanged.
"""

import random
import struct
import time
from collections.abc import Callable

import pytest

from barnabas.protocol.apis import APIS, Api
from faults.hostile import peak_rss_bytes
from faults.wire import API_VERSIONS, Wire, framed, header
from fuzz.requests import sample_body
from peers.servers import Server

FUZZ_S = 15
ROUND_REQUESTS = 50
INT32_MAX = struct.pack(">i", 2**31 - 1)
INT16_MAX = struct.pack(">h", 2**15 - 1)
VARINT_HUGE = b"\xff\xff\xff\xff\x0f"  # 2^32 - 1, the most that an unsigned varint holds here
VARINT_INT32_MAX = b"\xff\xff\xff\xff\x07"
VARINT_ENDLESS = b"\xff" * 12
# What the requests of one test may cost: the counts they claim would be gigabytes.
INFLATED_GROWTH_LIMIT_BYTES = 32 << 20

# Produce 0-2 are refused whole, so their messages are never decoded.
DECODED = [
    (api, version)
    for api in APIS
    for version in range(max(api.min_version, 3 if api.key == 0 else 0), api.max_version + 1)
]


def by_api(item: tuple[Api, int]) -> str:
    return f"{item[0].name}-v{item[1]}"


def lowest_and_highest() -> list[tuple[Api, int]]:
    """The old and the flexible encoding of each API."""
    chosen: dict[tuple[int, bool], tuple[Api, int]] = {}
    for api, version in DECODED:
        first = version == min(v for a, v in DECODED if a is api)
        if first or version == api.max_version:
            chosen[api.key, first] = (api, version)
    return list(chosen.values())


def attack(port: int, api: Api, version: int, bodies: list[bytes]) -> None:
    """Sends each on a connection that is open, opening another when the broker closed it."""
    wire = Wire(port)
    for number, body in enumerate(bodies):
        answer = wire.ask(header(api.key, version, number) + body)
        if answer is None:
            wire.socket.close()
            wire = Wire(port)
        else:
            assert answer[:4] == number.to_bytes(4, "big"), (api, version, body)
    wire.socket.close()


@pytest.mark.parametrize("item", DECODED, ids=by_api)
def test_a_request_cut_short_is_answered_or_closed(server: Server, item: tuple[Api, int]) -> None:
    api, version = item
    rng = random.Random(version)
    body = sample_body(api, version, rng)
    cuts = range(len(body)) if len(body) <= 40 else sorted(rng.sample(range(len(body)), 40))
    attack(server.port, api, version, [body[:cut] for cut in cuts])


@pytest.mark.parametrize("item", lowest_and_highest(), ids=by_api)
def test_a_count_or_length_beyond_the_frame_allocates_nothing(
    server: Server, item: tuple[Api, int]
) -> None:
    """At every position of the request, also where its counts and lengths stand."""
    api, version = item
    rng = random.Random(version)
    body = sample_body(api, version, rng)
    positions = range(len(body)) if len(body) <= 60 else rng.sample(range(len(body)), 60)
    inflated = []
    for at in positions:
        for huge in (INT32_MAX, INT16_MAX, VARINT_INT32_MAX, VARINT_HUGE, VARINT_ENDLESS):
            inflated.append(body[:at] + huge + body[at + len(huge) :])
            inflated.append(body[:at] + huge)
    before = peak_rss_bytes(server)
    attack_without_waiting(server.port, [(api, version, request) for request in inflated])
    growth = peak_rss_bytes(server) - before
    assert growth < INFLATED_GROWTH_LIMIT_BYTES, f"{growth >> 20} MB"


@pytest.mark.parametrize("item", lowest_and_highest(), ids=by_api)
def test_a_megabyte_of_one_byte_is_survived(server: Server, item: tuple[Api, int]) -> None:
    """Millions of the smallest elements, in whatever array a request begins with."""
    api, version = item
    bodies = [bytes([fill]) * (1 << 20) for fill in (0, 1, 2, 0x7F, 0xFF)]
    bodies.append(struct.pack(">i", (1 << 20) // 16) + bytes(1 << 20))
    attack_without_waiting(server.port, [(api, version, body) for body in bodies])


def attack_without_waiting(port: int, requests: list[tuple[Api, int, bytes]]) -> None:
    """For requests that may come out valid and then wait, a JoinGroup for its group.

    A request sent behind them, and the end of the connection, bound the wait.
    """
    for start in range(0, len(requests), ROUND_REQUESTS):
        wires = []
        for api, version, body in requests[start : start + ROUND_REQUESTS]:
            wire = Wire(port)
            wire.send(framed(header(api.key, version) + body))
            wires.append(wire)
        with Wire(port) as witness:
            assert witness.ask(header(API_VERSIONS, 0)) is not None
        for wire in wires:
            wire.reset()


def damaged(body: bytes, rng: random.Random) -> bytes:
    out = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del out[at : at + rng.randrange(1, 9)]
            case 2:
                out[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 3:
                out[at : at + 4] = rng.choice((INT32_MAX, b"\xff\xff\xff\xff", b"\x80\0\0\0"))
            case 4:
                out[at : at + 2] = rng.choice((INT16_MAX, b"\xff\xff", b"\x80\0"))
            case _:
                out[at : at + 1] = rng.choice((VARINT_HUGE, VARINT_INT32_MAX, VARINT_ENDLESS))
    return bytes(out)


def test_random_damage_to_every_request_is_survived(
    server: Server, seed: int, measured: Callable[[str], None]
) -> None:
    rng = random.Random(seed)
    sent = 0
    end = time.monotonic() + FUZZ_S
    while time.monotonic() < end:
        requests = []
        for _ in range(ROUND_REQUESTS):
            api, version = rng.choice(DECODED)
            requests.append((api, version, damaged(sample_body(api, version, rng), rng)))
        attack_without_waiting(server.port, requests)
        sent += len(requests)
    measured(f"{sent:,} damaged requests in {FUZZ_S} s")
    assert sent >= ROUND_REQUESTS
