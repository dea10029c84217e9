"""SIGKILL at random moments, under load: what was acknowledged stays, once and in order."""

import random
import statistics
import time
from collections.abc import Callable

import pytest

from faults.conftest import ServerFactory
from faults.load_run import LoadRun
from peers.servers import Server

LOAD_S = (0.0, 0.25)  # how long the broker lives after it has served every producer
KILL_IN_START = 0.1  # the share of kills that hit the broker while it recovers
CONFIG = {
    # Small segments: kills also hit rolls, and a restart checks little.
    "internal.segment.bytes": str(200 * 1024),
    "offsets.topic.num.partitions": "2",
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_broker_keeps_what_it_acknowledged(
    new_server: ServerFactory,
    seed: int,
    pytestconfig: pytest.Config,
    measured: Callable[[str], None],
) -> None:
    kills = int(pytestconfig.getoption("--kills"))
    rng = random.Random(seed)
    server = new_server(CONFIG)
    load = LoadRun(server.bootstrap, rng)
    start_s = []
    for _ in range(kills):
        # A client that is killed off before it has reconnected, again and again, gives up.
        load.wait_until_served()
        time.sleep(rng.uniform(*LOAD_S))
        server.kill()
        if rng.random() < KILL_IN_START:
            _kill_while_it_starts(server, rng)
        server.start()
        start_s.append(server.start_s)
        load.check()
    load.finish()
    measured(
        f"{kills} kills, {load.records:,} records, {load.committer.commits:,} commits; restart "
        f"median {statistics.median(start_s):.2f} s, longest {max(start_s):.2f} s"
    )


def _kill_while_it_starts(server: Server, rng: random.Random) -> None:
    server.launch()
    time.sleep(rng.uniform(0, 0.5))
    server.kill()
