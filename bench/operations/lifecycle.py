"""Brokers of their own: start, memory, and the start after a crash with much to check."""

import time

from barnabas._records import encode_batch
from bench import native_load
from bench.operation import NATIVE, Operation
from bench.own_server import with_own_server
from bench.peer import Measured, Peer
from bench.results import OperationInfo
from peers.servers import Server
from unit.wire import API_BY_NAME, WireClient, request_message

LOG_BYTES = 10_500_000_000  # nine full segments of 1 GiB, and a tenth of 1 GB that is not flushed
RECORD_BYTES = 1000
IDLE_S = 2.0
CHECKPOINT_MS = 2000
CHECKPOINT = {"log.flush.offset.checkpoint.interval.ms": str(CHECKPOINT_MS)}
FIRST_CHECKPOINT = {"log.initial.task.delay.ms": str(CHECKPOINT_MS)}  # Kafka's own is 30 s
CHECKPOINT_TIMEOUT_S = 60.0
UNFLUSHED_BYTES = (800_000_000, 1_200_000_000)  # both brokers are to have as much to check
PEERS = ("barnabas", "kafka")


def operations() -> list[Operation]:
    return [_first_record(), _idle_memory(), _clean_start(), _crash()]


def _first_record() -> Operation:
    @with_own_server
    def run(peer: Peer) -> Measured:
        peer.server.prepare()
        begin = time.monotonic()
        peer.server.launch()
        _produce_one(peer.server)
        return Measured({"start_s": time.monotonic() - begin})

    info = OperationInfo(
        "start-first-record",
        "start with a fresh data directory, until a record is acknowledged",
        "Start",
        "a socket",
        ("start_s",),
    )
    return Operation(info, run, peers=PEERS, is_core=True, is_warmed_up=False)


def _produce_one(server: Server) -> None:
    """Asks at once and again until a record is acknowledged."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with WireClient(server.bootstrap) as client:
                topics = [
                    {
                        "name": "first",
                        "num_partitions": 1,
                        "replication_factor": 1,
                        "assignments": [],
                        "configs": [],
                    }
                ]
                client.ask("CreateTopics", 7, topics=topics, timeout=10_000)
                while time.monotonic() < deadline:
                    if _is_acknowledged(client):
                        return
                    time.sleep(0.001)
        except (OSError, ConnectionError):
            time.sleep(0.001)
    raise TimeoutError("no record was acknowledged")


def _is_acknowledged(client: WireClient) -> bool:
    batch = encode_batch([(None, b"x" * 100)])
    values = {
        "acks": 1,
        "timeout": 10_000,
        "topic_data": [
            {"name": "first", "partition_data": [{"index": 0, "records": batch}]},
        ],
    }
    api = API_BY_NAME["Produce"]
    client.send(api, 7, request_message(api, 7, values))
    answer = client.receive(api, 7)
    return bool(answer.responses[0].partition_responses[0].error_code == 0)


def _idle_memory() -> Operation:
    @with_own_server
    def run(peer: Peer) -> Measured:
        peer.server.start()
        time.sleep(IDLE_S)
        return Measured({"idle_rss_mb": peer.usage().rss_bytes / 1e6})

    info = OperationInfo("idle-memory", "idle", "Memory", "nothing", ("idle_rss_mb",))
    return Operation(
        info,
        run,
        peers=("barnabas", "kafka", "tansu"),
        repetitions=1,
        is_core=True,
        is_warmed_up=False,
    )


def _clean_start() -> Operation:
    @with_own_server
    def run(peer: Peer) -> Measured:
        peer.server.start()
        peer.create_topic(10_000)
        peer.server.stop()
        peer.server.start()
        return Measured({"start_s": peer.server.start_s})

    info = OperationInfo(
        "start-10000-partitions",
        "start with 10,000 partitions after a clean stop",
        "Start",
        "nothing",
        ("start_s",),
    )
    return Operation(info, run, peers=("barnabas",), repetitions=1)


def _crash() -> Operation:
    @with_own_server
    def run(peer: Peer) -> Measured:
        peer.server.config.update(CHECKPOINT)
        if peer.name == "kafka":
            peer.server.config.update(FIRST_CHECKPOINT)
        peer.server.start()
        name = peer.create_topic(1)
        load = {"warm_up": 0, "records": LOG_BYTES // RECORD_BYTES}
        native_load.run(
            peer,
            "produce",
            name,
            record_size=RECORD_BYTES,
            batch_size=256 << 10,
            connections=2,
            in_flight=4,
            **load,
        )
        native_load.run(peer, "consume", name, **load)
        usage = peer.usage()
        _await_checkpoint(peer.server, name)
        peer.server.kill()
        unflushed = _unflushed_bytes(peer.server, name)
        assert UNFLUSHED_BYTES[0] < unflushed < UNFLUSHED_BYTES[1], f"{unflushed:,} B to check"
        peer.server.start()
        return Measured(
            {
                "start_s": peer.server.start_s,
                "unflushed_gb": unflushed / 1e9,
                "checked_gb_per_s": unflushed / 1e9 / peer.server.start_s,
                "peak_rss_mb": usage.peak_rss_bytes / 1e6,
            }
        )

    info = OperationInfo(
        "start-after-kill",
        "10 GB written and read; start after a kill",
        "Start",
        NATIVE,
        ("start_s", "checked_gb_per_s", "unflushed_gb", "peak_rss_mb"),
    )
    return Operation(info, run, peers=PEERS, repetitions=1, is_warmed_up=False)


def _await_checkpoint(server: Server, topic: str) -> None:
    """Until the last roll's flush is in the file that a start believes."""
    deadline = time.monotonic() + CHECKPOINT_TIMEOUT_S
    while (left := _unflushed_bytes(server, topic)) >= UNFLUSHED_BYTES[1]:
        assert time.monotonic() < deadline, f"{left:,} B are not flushed"
        time.sleep(0.1)


def _unflushed_bytes(server: Server, topic: str) -> int:
    """Of the segments from the recovery point on, which a start has to check."""
    checkpoint = server.data_dir / "recovery-point-offset-checkpoint"
    lines = checkpoint.read_text().splitlines()[2:] if checkpoint.exists() else []
    points = {tuple(line.split()[:2]): int(line.split()[2]) for line in lines}
    point = points.get((topic, "0"), 0)
    segments = sorted(server.partition_dir(topic, 0).glob("*.log"))
    first = max((path for path in segments if int(path.stem) <= point), default=segments[0])
    return sum(path.stat().st_size for path in segments if path >= first)
