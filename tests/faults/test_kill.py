"""SIGKILL at random moments, under load: what was acknowledged stays, once and in order."""

import random
import statistics
import time

import pytest

from clients.contract import create_topic
from faults.conftest import ServerFactory
from faults.load import (
    AiokafkaLoad,
    CommitLoad,
    ConfluentLoad,
    LoadThread,
    PartitionReader,
    Sent,
)
from peers.servers import Server

PARTITIONS = 3
LOAD_S = (0.0, 0.25)  # how long the broker lives after it has served every producer
SERVED_TIMEOUT_S = 30.0
KILL_IN_START = 0.1  # the share of kills that hit the broker while it recovers
CONFIG = {
    # Small segments: kills also hit rolls, and a restart checks little.
    "log.segment.bytes": str(1024 * 1024),
    "offsets.topic.num.partitions": "2",
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_broker_keeps_what_it_acknowledged(
    new_server: ServerFactory, seed: int, pytestconfig: pytest.Config
) -> None:
    kills = int(pytestconfig.getoption("--kills"))
    rng = random.Random(seed)
    server = new_server(CONFIG)
    topic = create_topic(server.bootstrap, PARTITIONS)
    sents = [Sent(f"p{i}", PARTITIONS, random.Random(rng.random())) for i in range(4)]
    committer = CommitLoad(server.bootstrap, topic, PARTITIONS)
    producers: list[LoadThread] = [
        *(
            ConfluentLoad(sent, server.bootstrap, topic, codec)
            for sent, codec in zip(sents, ("none", "lz4", "zstd"), strict=False)
        ),
        AiokafkaLoad(sents[3], server.bootstrap, topic),
    ]
    reader = PartitionReader(server.bootstrap, topic, PARTITIONS)
    for thread in (*producers, committer):
        thread.start()
    start_s = []
    for _ in range(kills):
        # A client that is killed off before it has reconnected, again and again, gives up.
        _wait_until_served(sents)
        time.sleep(rng.uniform(*LOAD_S))
        server.kill()
        if rng.random() < KILL_IN_START:
            _kill_while_it_starts(server, rng)
        server.start()
        start_s.append(server.start_s)
        reader.read_to_end()
        _raise_failures([*producers, committer])
    for thread in (*producers, committer):
        thread.finish()
    reader.read_to_end()
    for sent in sents:
        assert sent.errors == []
        for partition, count in sent.next_number.items():
            assert len(sent.acknowledged[partition]) == count
            assert reader.offsets[sent.name][partition] == sent.acknowledged[partition]
    records = sum(reader.positions.values())
    print(
        f"{kills} kills, {records} records, {committer.commits} commits; restart median "
        f"{statistics.median(start_s):.2f} s, longest {max(start_s):.2f} s"
    )


def _wait_until_served(sents: list[Sent]) -> None:
    before = [sent.acknowledged_count() for sent in sents]
    deadline = time.monotonic() + SERVED_TIMEOUT_S
    while not all(s.acknowledged_count() > b for s, b in zip(sents, before, strict=True)):
        assert time.monotonic() < deadline, "a producer got nothing acknowledged"
        time.sleep(0.005)


def _kill_while_it_starts(server: Server, rng: random.Random) -> None:
    server.launch()
    time.sleep(rng.uniform(0, 0.5))
    server.kill()


def _raise_failures(threads: list[LoadThread]) -> None:
    for thread in threads:
        if thread.failure is not None:
            raise thread.failure
