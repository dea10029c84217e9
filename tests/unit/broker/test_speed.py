"""What the broker loop costs: CPU time, which a busy machine does not change much."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.servers import BarnabasServer
from unit.wire import WireClient

CONNECTIONS = 8
IN_FLIGHT = 25
ROUNDS = 100
HEARTBEATS_PER_CPU_S = 15_000
METADATA_CPU_S = 0.003


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BarnabasServer]:
    with BarnabasServer(tmp_path) as running:
        yield running


def heartbeat(correlation_id: int) -> bytes:
    header = struct.pack(">hhih", 12, 4, correlation_id, 1) + b"c\0"
    frame = header + b"\x06group" + struct.pack(">i", 1) + b"\x07member" + b"\0" + b"\0"
    return struct.pack(">i", len(frame)) + frame


def test_a_core_answers_fifteen_thousand_heartbeats_a_second(server: BarnabasServer) -> None:
    with WireClient(server.bootstrap) as client:
        client.ask("FindCoordinator", 0, key="group")
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(CONNECTIONS)]
    batch = b"".join(heartbeat(number) for number in range(IN_FLIGHT))

    def beat() -> None:
        for connection in sockets:
            connection.sendall(batch)
        for connection in sockets:
            for _ in range(IN_FLIGHT):
                (length,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
                answer = connection.recv(length, socket.MSG_WAITALL)
                assert answer[-3:-1] == b"\0\x19"  # UNKNOWN_MEMBER_ID

    beat()
    before_s = server.cpu_s()
    for _ in range(ROUNDS):
        beat()
    used_s = server.cpu_s() - before_s
    for connection in sockets:
        connection.close()
    assert ROUNDS * CONNECTIONS * IN_FLIGHT / used_s >= HEARTBEATS_PER_CPU_S


def test_metadata_of_a_thousand_topics_comes_from_a_cache(server: BarnabasServer) -> None:
    with WireClient(server.bootstrap) as client:
        topics = [
            {
                "name": f"topic-{number}",
                "num_partitions": 10,
                "replication_factor": 1,
                "assignments": [],
                "configs": [],
            }
            for number in range(1000)
        ]
        client.ask("CreateTopics", 7, topics=topics, timeout=60_000)
        assert len(client.ask("Metadata", 12, topics=None).topics) == 1000
        frame = struct.pack(">hhih", 3, 12, 0, 1) + b"c\0" + b"\0" + b"\0\0\0"
        before_s = server.cpu_s()
        for _ in range(ROUNDS):
            client.send_raw(frame)
            assert len(client.receive_raw()) > 1000 * 10 * 10
        used_s = server.cpu_s() - before_s
    assert used_s / ROUNDS <= METADATA_CPU_S
