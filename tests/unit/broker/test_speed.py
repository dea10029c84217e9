"""What the broker loop costs, in CPU time."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.servers import BarnabasServer
from unit.wire import API_BY_NAME, WireClient, request_message

CONNECTIONS = 200
GROUPS = 50  # of four members each
IN_FLIGHT = 5
ROUNDS = 40
METADATA_ROUNDS = 50
PASSES = 4  # the cheapest counts: what else the machine does makes a pass dearer, never cheaper
HEARTBEATS_PER_CPU_S = 15_000
METADATA_CPU_S = 0.003


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BarnabasServer]:
    with BarnabasServer(tmp_path, {"group.initial.rebalance.delay.ms": "500"}) as running:
        yield running


def join_all(clients: list[WireClient]) -> list[tuple[str, int, str]]:
    """Makes each client a member; for each its group, generation and member id."""
    join, sync = API_BY_NAME["JoinGroup"], API_BY_NAME["SyncGroup"]
    clients[0].ask("FindCoordinator", 0, key="group")
    groups = [f"group-{number % GROUPS}" for number in range(len(clients))]
    for client, group_id in zip(clients, groups, strict=True):
        values = {
            "group_id": group_id,
            "session_timeout": 60_000,
            "rebalance_timeout": 60_000,
            "protocol_type": "consumer",
            "protocols": [{"name": "range", "metadata": b""}],
        }
        client.send(join, 3, request_message(join, 3, values))
    joined = [client.receive(join, 3) for client in clients]
    assert {(answer.error_code, answer.generation_id) for answer in joined} == {(0, 1)}
    for client, group_id, answer in zip(clients, groups, joined, strict=True):
        shares = [{"member_id": m.member_id, "assignment": b"x"} for m in answer.members]
        values = {
            "group_id": group_id,
            "generation_id": answer.generation_id,
            "member_id": answer.member_id,
            "assignments": shares,
        }
        client.send(sync, 3, request_message(sync, 3, values))
    assert all(client.receive(sync, 3).assignment == b"x" for client in clients)
    return [
        (group_id, answer.generation_id, answer.member_id)
        for group_id, answer in zip(groups, joined, strict=True)
    ]


def heartbeat(group_id: str, generation_id: int, member_id: str) -> bytes:
    header = struct.pack(">hhih", 12, 4, 0, 1) + b"c\0"
    group, member = group_id.encode(), member_id.encode()
    frame = header + bytes([len(group) + 1]) + group + struct.pack(">i", generation_id)
    frame += bytes([len(member) + 1]) + member + b"\0" + b"\0"
    return struct.pack(">i", len(frame)) + frame


def cheapest_pass_s(server: BarnabasServer, run: Callable[[], None]) -> float:
    """The broker's CPU time for `run`, in seconds."""
    used_s = []
    for _ in range(PASSES):
        before_s = server.cpu_s()
        run()
        used_s.append(server.cpu_s() - before_s)
    return min(used_s)


def test_a_core_answers_fifteen_thousand_heartbeats_a_second(server: BarnabasServer) -> None:
    clients = [WireClient(server.bootstrap) for _ in range(CONNECTIONS)]
    members = join_all(clients)

    def beat() -> None:
        for client, member in zip(clients, members, strict=True):
            client.send_bytes(heartbeat(*member) * IN_FLIGHT)
        for client in clients:
            for _ in range(IN_FLIGHT):
                assert client.receive_raw()[-3:-1] == b"\0\0"  # no error

    beat()

    def beat_on() -> None:
        for _ in range(ROUNDS):
            beat()

    used_s = cheapest_pass_s(server, beat_on)
    for client in clients:
        client.close()
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
        names = [{"name": topic["name"], "topic_id": None} for topic in topics]
        api = API_BY_NAME["Metadata"]
        for version in (1, 5, 8, 9, 12, 13):
            for asked in (None, names):
                message = request_message(api, version, {"topics": asked})
                client.send(api, version, message)
                found = client.receive(api, version).topics
                assert len(found) == 1000
                assert all(len(topic.partitions) == 10 for topic in found)

                def ask(sent: bytes = message, version: int = version) -> None:
                    for _ in range(METADATA_ROUNDS):
                        client.send(api, version, sent)
                        client.receive_raw()

                used_s = cheapest_pass_s(server, ask)
                assert used_s / METADATA_ROUNDS <= METADATA_CPU_S, (version, asked is None)
