"""SIGTERM under load: a clean end within seconds, and nothing acknowledged is lost."""

import random
import time
from collections.abc import Callable

import pytest

from faults.conftest import ServerFactory
from faults.load_run import LoadRun

STOPS = 3
STOP_LIMIT_S = 5.0
LOAD_S = (0.2, 1.0)


@pytest.mark.timeout(300)
def test_a_broker_that_is_stopped_under_load_ends_in_time_and_loses_nothing(
    new_server: ServerFactory, seed: int, measured: Callable[[str], None]
) -> None:
    rng = random.Random(seed)
    server = new_server({"offsets.topic.num.partitions": "2"})
    load = LoadRun(server.bootstrap, rng)
    stop_s = []
    for _ in range(STOPS):
        load.wait_until_served()
        time.sleep(rng.uniform(*LOAD_S))
        begin = time.monotonic()
        server.stop()  # fails unless the exit code is 0
        stop_s.append(time.monotonic() - begin)
        server.start()
        assert "the last stop was not clean" not in server.output()
        load.check()
    load.finish()
    measured(f"{load.records:,} records, longest stop {max(stop_s):.2f} s of {STOP_LIMIT_S:g} s")
    assert max(stop_s) < STOP_LIMIT_S
