"""A load of control requests: heartbeats of real members, offset commits, metadata.

Frames are made once and sent again and again over many connections, several in flight on each, so
that the client costs little; the first answer must have no error, the others be the same.
"""

import struct
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.peer import Peer
from unit.wire import API_BY_NAME, WireClient, decode, is_flexible, request_message

CONNECTIONS = 50
IN_FLIGHT = 5
METADATA_TOPICS = 100
OFFSETS_TOPIC = "bench-committed-offsets"
OFFSETS_PARTITIONS = 10
HELD = 0.95  # of a rate that was asked for
_LENGTH = struct.Struct(">i")


def frame(name: str, version: int, values: dict[str, Any]) -> bytes:
    """A whole request, with its length and header."""
    api = API_BY_NAME[name]
    header = struct.pack(">hhih", api.key, version, 1, -1)
    if is_flexible(api, version):
        header += b"\0"
    message = header + request_message(api, version, values)
    return _LENGTH.pack(len(message)) + message


class RateNotHeldError(RuntimeError):
    """A load at a rate was slower than that."""


@dataclass(frozen=True)
class Kind:
    """A request that is asked again and again."""

    api: str
    version: int
    frames: Callable[[list[WireClient]], list[bytes]]  # one a connection
    errors: Callable[[Any], set[int]]  # the error codes of an answer


class ControlLoad:
    """Connections that ask the same again and again, and must always get the same answer."""

    def __init__(self, peer: Peer, kind: Kind) -> None:
        self._clients = [WireClient(peer.bootstrap) for _ in range(CONNECTIONS)]
        frames = kind.frames(self._clients)
        self._bursts = [one * IN_FLIGHT for one in frames]
        self._answers = [
            self._first_answer(client, one, kind)
            for client, one in zip(self._clients, frames, strict=True)
        ]
        self.answered = 0
        self.is_stopped = False

    @staticmethod
    def _first_answer(client: WireClient, request: bytes, kind: Kind) -> bytes:
        client.send_bytes(request)
        answer = client.receive_raw()
        errors = kind.errors(decode(API_BY_NAME[kind.api], kind.version, answer))
        assert errors == {0}, f"{kind.api}: errors {errors}"
        return answer

    def run(self, seconds: float, rate: float = 0.0) -> None:
        """As fast as answers come, or at a rate of requests a second over all connections."""
        begin = time.monotonic()
        sent = 0
        while (now := time.monotonic()) < begin + seconds and not self.is_stopped:
            count = CONNECTIONS
            if rate:  # those that are due: one at a time, more when answers came late
                count = min(count, int(((now - begin) * rate - sent) / IN_FLIGHT))
            if count <= 0:
                time.sleep(0.001)
                continue
            first = sent // IN_FLIGHT
            self._ask([(first + number) % CONNECTIONS for number in range(count)])
            sent += IN_FLIGHT * count

    def _ask(self, some: Sequence[int]) -> None:
        for index in some:
            self._clients[index].send_bytes(self._bursts[index])
        for index in some:
            for _ in range(IN_FLIGHT):
                answer = self._clients[index].receive_raw()
                assert answer == self._answers[index], "another answer than at first"
                self.answered += 1

    def close(self) -> None:
        for client in self._clients:
            client.close()


class Beside:
    """Runs a load in a thread while the block runs. Raises what ended the load early."""

    def __init__(self, load: ControlLoad, rate: float = 0.0) -> None:
        self._load = load
        self._rate = rate
        self._thread = threading.Thread(target=self._run)
        self._error: Exception | None = None

    def _run(self) -> None:
        try:
            self._load.run(float("inf"), self._rate)
        except Exception as error:
            self._error = error

    def __enter__(self) -> None:
        self._begin_s = time.monotonic()
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._load.is_stopped = True
        self._thread.join()
        if self._error is not None:
            raise self._error
        reached = self._load.answered / (time.monotonic() - self._begin_s)
        if reached < self._rate * HELD:
            raise RateNotHeldError(f"{reached:.0f} of {self._rate:.0f} requests/s")


def _heartbeats(clients: list[WireClient]) -> list[bytes]:
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


def _offset_commits(clients: list[WireClient]) -> list[bytes]:
    """Each client commits for a group of its own, by nobody's member, a partition at a time: what
    a consumer of one does. Which partition differs from group to group.
    """
    _await_coordinator(clients[0])
    _create(clients[0], [OFFSETS_TOPIC], OFFSETS_PARTITIONS)
    return [frame("OffsetCommit", 8, _commit(number)) for number in range(len(clients))]


def _commit(number: int) -> dict[str, Any]:
    partition = {
        "partition_index": number % OFFSETS_PARTITIONS,
        "committed_offset": 1,
        "committed_metadata": "",
    }
    return {
        "group_id": f"bench-commits-{number}",
        "generation_id_or_member_epoch": -1,
        "member_id": "",
        "topics": [{"name": OFFSETS_TOPIC, "partitions": [partition]}],
    }


def _metadata(clients: list[WireClient]) -> list[bytes]:
    """What a client asks for that wants METADATA_TOPICS topics."""
    names = [f"bench-metadata-{number}" for number in range(METADATA_TOPICS)]
    _create(clients[0], names)
    topics = [{"name": name, "topic_id": None} for name in names]
    return [frame("Metadata", 9, {"topics": topics})] * len(clients)


def _create(client: WireClient, names: list[str], partitions: int = 1) -> None:
    topics = [
        {
            "name": name,
            "num_partitions": partitions,
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


HEARTBEATS = Kind("Heartbeat", 4, _heartbeats, lambda answer: {int(answer.error_code)})
OFFSET_COMMITS = Kind(
    "OffsetCommit",
    8,
    _offset_commits,
    lambda answer: {int(p.error_code) for topic in answer.topics for p in topic.partitions},
)
METADATA = Kind(
    "Metadata", 9, _metadata, lambda answer: {int(topic.error_code) for topic in answer.topics}
)
