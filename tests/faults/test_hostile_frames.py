"""Bytes that are no Kafka requests, and clients that do not behave: nobody else notices."""

import random
import selectors
import socket
import struct
import threading
import time

import pytest

from faults.conftest import ServerFactory
from faults.hostile import LEFTOVER_DESCRIPTORS, descriptor_count
from faults.wire import API_VERSIONS, Wire, framed, header, ping
from peers.processes import wait_until
from peers.servers import Server

QUICK_S = 5
HERD_CLIENTS = 2000
METADATA = 3
INT32_MAX = 2**31 - 1


@pytest.mark.parametrize("length", [-(2**31), -1, 0, 1, 9, (10 << 20) + 1, INT32_MAX])
def test_an_impossible_length_closes_the_connection(server: Server, length: int) -> None:
    with Wire(server.port, timeout_s=QUICK_S) as wire:
        wire.send(struct.pack(">i", length))
        assert wire.is_closed_by_broker()


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        (b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03", "TLS"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP"),
        (b"POST /topics HTTP/1.1\r\n\r\n", "HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ""),
        (b"\r\n\r\n\r\n\r\n", ""),
    ],
)
def test_another_protocol_is_closed_and_named(server: Server, hello: bytes, said: str) -> None:
    seen = len(server.output())

    def is_closed_and_named() -> bool:
        with Wire(server.port, timeout_s=QUICK_S) as wire:
            wire.send(hello)
            assert wire.is_closed_by_broker()
        return said in server.output()[seen:]

    # Again and again, as the broker lets only some lines a second into its log.
    wait_until(is_closed_and_named, 10, f"a log line about {said}")


@pytest.mark.parametrize("length", [-2, -32768, 32767, 8])
def test_a_client_id_beyond_its_frame_closes_the_connection(server: Server, length: int) -> None:
    with Wire(server.port, timeout_s=QUICK_S) as wire:
        wire.send(framed(struct.pack(">hhih", API_VERSIONS, 0, 1, length) + b"seven b"))
        assert wire.is_closed_by_broker()


@pytest.mark.parametrize("api_key", [-1, -32768, 4, 5, 6, 7, 52, 67, 999, 32767])
def test_an_unknown_api_closes_the_connection(server: Server, api_key: int) -> None:
    with Wire(server.port, timeout_s=QUICK_S) as wire:
        assert wire.ask(header(api_key, 0) + bytes(8)) is None


@pytest.mark.parametrize("version", [-1, -32768, 99, 32767])
def test_api_versions_in_an_unknown_version_says_which_are_known(
    server: Server, version: int
) -> None:
    with Wire(server.port) as wire:
        answer = wire.ask(header(API_VERSIONS, version))
        assert answer is not None
        correlation_id, error, count = struct.unpack_from(">ihi", answer)
        assert (correlation_id, error) == (1, 35)
        ranges = [struct.unpack_from(">hhh", answer, 10 + 6 * i) for i in range(count)]
        assert any(key == API_VERSIONS and low == 0 for key, low, _ in ranges)
        assert wire.ask(header(API_VERSIONS, 0, 2)) is not None, "the connection goes on"


def test_connections_that_end_amid_a_frame_leave_nothing_behind(server: Server) -> None:
    wait_until(lambda: descriptor_count(server) < 1000, 10, "earlier connections to close")
    before = descriptor_count(server)
    rng = random.Random(1)
    frame = framed(header(METADATA, 1) + struct.pack(">i", -1))
    for number in range(500):
        wire = Wire(server.port)
        wire.send(frame[: rng.randrange(len(frame))])
        wire.reset() if number % 2 else wire.socket.close()
    wait_until(
        lambda: descriptor_count(server) <= before + LEFTOVER_DESCRIPTORS, 20, "descriptors freed"
    )


def test_a_large_length_that_is_never_filled_costs_no_memory(server: Server) -> None:
    before = server.rss_bytes()
    wires = [Wire(server.port) for _ in range(200)]
    for wire in wires:
        wire.send(struct.pack(">i", 10 << 20) + header(METADATA, 1))
    with Wire(server.port) as other:
        assert other.ask(header(API_VERSIONS, 0)) is not None
    assert server.rss_bytes() - before < 30 << 20
    for wire in wires:
        wire.socket.close()


def test_a_request_that_arrives_byte_by_byte_is_answered(server: Server) -> None:
    """A hundred such clients at once, and each gets its answer."""
    wires = [Wire(server.port) for _ in range(100)]
    for byte in ping(7):
        for wire in wires:
            wire.send(bytes([byte]))
        time.sleep(0.1)  # the attack itself: slow bytes
    for wire in wires:
        answer = wire.receive_frame()
        assert answer is not None
        assert answer.startswith((7).to_bytes(4, "big"))
        wire.socket.close()


def test_clients_that_never_read_are_not_read_from_for_ever(server: Server) -> None:
    """Twenty of them ask for metadata without end; memory and everybody else stay as they are."""
    request = framed(header(METADATA, 1) + struct.pack(">i", -1)) * 100
    stopped = threading.Event()

    def flood(wire: Wire) -> None:
        while not stopped.is_set():
            try:
                wire.socket.sendall(request)
            except OSError:  # the time limit: the broker reads no more, which is right
                return

    wires = [Wire(server.port, timeout_s=2, receive_buffer_bytes=4096) for _ in range(20)]
    threads = [threading.Thread(target=flood, args=(wire,)) for wire in wires]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + 60
    for thread in threads:
        thread.join(max(0, give_up - time.monotonic()))
    taken_for_ever = sum(thread.is_alive() for thread in threads)
    stopped.set()
    for wire in wires:
        wire.reset()
    for thread in threads:
        thread.join()
    assert taken_for_ever == 0


def test_half_a_frame_is_reaped_at_the_idle_limit(new_server: ServerFactory) -> None:
    server = new_server({"connections.max.idle.ms": "1500"})
    with Wire(server.port) as half, Wire(server.port) as silent:
        half.send(ping()[:9])
        begin = time.monotonic()
        assert half.is_closed_by_broker()
        assert silent.is_closed_by_broker()
        assert time.monotonic() - begin < 15
    with Wire(server.port) as fresh:
        assert fresh.ask(header(API_VERSIONS, 0)) is not None


def test_connections_beyond_the_limit_are_refused_and_the_others_served(
    new_server: ServerFactory,
) -> None:
    server = new_server({"max.connections.per.ip": "3"})
    wires = [Wire(server.port) for _ in range(3)]
    for wire in wires:
        assert wire.ask(header(API_VERSIONS, 0)) is not None
    for _ in range(50):
        with Wire(server.port) as refused:
            refused.send(ping())
            assert refused.is_closed_by_broker()
    for wire in wires:
        assert wire.ask(header(API_VERSIONS, 0)) is not None
        wire.socket.close()


def test_a_herd_that_reconnects_at_once_all_comes_back(server: Server) -> None:
    """They ask, lose their connections together, and come back together."""
    for _ in range(2):
        assert answers_to_a_herd(server.port, HERD_CLIENTS, within_s=40) == HERD_CLIENTS


def answers_to_a_herd(port: int, clients: int, within_s: float) -> int:
    """How many of so many connections, opened at once and kept open, get an answer."""
    herd = [socket.socket() for _ in range(clients)]
    answered = 0
    end = time.monotonic() + within_s
    with selectors.DefaultSelector() as selector:
        for client in herd:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", port))
            selector.register(client, selectors.EVENT_WRITE, data=client)
        while answered < clients and time.monotonic() < end:
            for key, events in selector.select(timeout=1):
                client = key.data
                if events & selectors.EVENT_WRITE:
                    client.send(ping())
                    selector.modify(client, selectors.EVENT_READ, data=client)
                else:
                    selector.unregister(client)
                    answered += client.recv(4096) != b""
    for client in herd:
        client.close()
    return answered
