"""A load of control requests: heartbeats of real members, offset commits, metadata.

Frames are made once and sent again and again over many connections, several in flight on each, so
that the client costs little; answers are counted and their ends looked at for errors.
"""

import struct
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from bench.peer import Peer
from unit.wire import API_BY_NAME, WireClient, is_flexible, request_message

CONNECTIONS = 50
IN_FLIGHT = 5
METADATA_TOPICS = 100
OFFSETS_TOPIC = "bench-committed"
_LENGTH = struct.Struct(">i")


def frame(name: str, version: int, values: dict[str, Any]) -> bytes:
    """A whole request, with its length and header."""
    api = API_BY_NAME[name]
    header = struct.pack(">hhih", api.key, version, 1, -1)
    if is_flexible(api, version):
        header += b"\0"
    message = header + request_message(api, version, values)
    return _LENGTH.pack(len(message)) + message


class ControlLoad:
    """Connections that ask the same again and again."""

    def __init__(self, peer: Peer, frames: Callable[[list[WireClient]], list[bytes]]) -> None:
        self._clients = [WireClient(peer.bootstrap) for _ in range(CONNECTIONS)]
        self._bursts = [one * IN_FLIGHT for one in frames(self._clients)]
        self.answered = 0
        self.slowest_s = 0.0  # of a burst

    def run(self, seconds: float, rate: float = 0.0) -> None:
        """As fast as answers come, or at a rate of requests a second over all connections."""
        begin = time.monotonic()
        sent = 0
        while (now := time.monotonic()) < begin + seconds:
            if rate and sent > (now - begin) * rate:
                time.sleep(0.001)
                continue
            # At a rate, a connection at a time, so that the load is even.
            some = range(CONNECTIONS) if not rate else (sent // IN_FLIGHT % CONNECTIONS,)
            self._ask(some)
            sent += IN_FLIGHT * len(some)
            self.slowest_s = max(self.slowest_s, time.monotonic() - now)

    def _ask(self, some: "range | tuple[int, ...]") -> None:
        for index in some:
            self._clients[index].send_bytes(self._bursts[index])
        for index in some:
            for _ in range(IN_FLIGHT):
                self._clients[index].receive_raw()
                self.answered += 1

    def close(self) -> None:
        for client in self._clients:
            client.close()


class Beside:
    """Runs a load in a thread while the block runs."""

    def __init__(self, load: ControlLoad, seconds: float, rate: float = 0.0) -> None:
        self._thread = threading.Thread(target=load.run, args=(seconds, rate))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._thread.join()


def heartbeats(clients: list[WireClient]) -> list[bytes]:
    """Each client becomes the member of a new group; its heartbeat."""
    sync = API_BY_NAME["SyncGroup"]
    _await_coordinator(clients[0])
    groups = [f"bench-{uuid.uuid4().hex[:12]}" for _ in clients]
    joined = _join(clients, groups)
    for client, group, answer in zip(clients, groups, joined, strict=True):
        shares = [{"member_id": m.member_id, "assignment": b"x"} for m in answer.members]
        values = {
            "group_id": group,
            "generation_id": answer.generation_id,
            "member_id": answer.member_id,
            "assignments": shares,
        }
        client.send(sync, 3, request_message(sync, 3, values))
    assert all(client.receive(sync, 3).error_code == 0 for client in clients)
    return [
        frame(
            "Heartbeat",
            4,
            {"group_id": g, "generation_id": a.generation_id, "member_id": a.member_id},
        )
        for g, a in zip(groups, joined, strict=True)
    ]


def _join(clients: list[WireClient], groups: list[str]) -> list[Any]:
    join = API_BY_NAME["JoinGroup"]
    for client, group in zip(clients, groups, strict=True):
        values = {
            "group_id": group,
            "session_timeout": 60_000,
            "rebalance_timeout": 60_000,
            "protocol_type": "consumer",
            "protocols": [{"name": "range", "metadata": b""}],
        }
        client.send(join, 3, request_message(join, 3, values))
    joined = [client.receive(join, 3) for client in clients]
    assert all(answer.error_code == 0 for answer in joined), joined
    return joined


def offset_commits(clients: list[WireClient]) -> list[bytes]:
    """Commits of one partition, by nobody's member."""
    _await_coordinator(clients[0])
    _create(clients[0], [OFFSETS_TOPIC])
    commit = {
        "group_id": "bench-commits",
        "generation_id_or_member_epoch": -1,
        "member_id": "",
        "topics": [
            {
                "name": OFFSETS_TOPIC,
                "partitions": [
                    {"partition_index": 0, "committed_offset": 1, "committed_metadata": ""}
                ],
            }
        ],
    }
    return [frame("OffsetCommit", 8, commit)] * len(clients)


def metadata(clients: list[WireClient]) -> list[bytes]:
    """What a client asks for that wants METADATA_TOPICS topics."""
    names = [f"bench-metadata-{number}" for number in range(METADATA_TOPICS)]
    _create(clients[0], names)
    topics = [{"name": name, "topic_id": None} for name in names]
    return [frame("Metadata", 9, {"topics": topics})] * len(clients)


def _create(client: WireClient, names: list[str]) -> None:
    topics = [
        {
            "name": name,
            "num_partitions": 1,
            "replication_factor": 1,
            "assignments": [],
            "configs": [],
        }
        for name in names
    ]
    answer = client.ask("CreateTopics", 7, topics=topics, timeout=60_000)
    assert {topic.error_code for topic in answer.topics} <= {0, 36}, answer  # it may exist


def _await_coordinator(client: WireClient) -> None:
    deadline = time.monotonic() + 30
    while client.ask("FindCoordinator", 0, key="bench").error_code != 0:
        assert time.monotonic() < deadline, "no coordinator"
        time.sleep(0.1)
