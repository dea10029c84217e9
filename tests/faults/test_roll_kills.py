"""SIGKILL at each step of rolling a segment: what was acknowledged is there, once, in order."""

from collections.abc import Callable
from pathlib import Path

import pytest

import barnabas
from barnabas.testing import faults
from peers.forks import Ended

RECORDS = 10
TIMEOUT_S = 60
CONFIG = {"internal.segment.bytes": 1500, "index.interval.bytes": 100}
VALUE = bytes(200)


def append_under_fault(root: str, call: faults.Call, is_done: str, nth: str) -> None:
    """In the child: says which record was acknowledged, and how many calls matched."""
    with barnabas.Broker(root) as broker:
        broker.create_topic("t", config=CONFIG)
        with broker.producer() as producer:
            producer.send("t", b"-1 " + VALUE).result()
            with faults.kill(
                call, f"{root}/t-0/*", is_done=is_done == "done", nth=int(nth)
            ) as fault:
                for number in range(RECORDS):
                    producer.send("t", b"%d " % number + VALUE).result()
                    print(number, flush=True)
                print(f"matched {fault.matched}", flush=True)


def values(root: Path) -> list[bytes]:
    with (
        barnabas.Broker(root) as broker,
        broker.consumer(["t"], auto_offset_reset="earliest", timeout=0) as consumer,
    ):
        return [value or b"" for batch in consumer for value in batch.values]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_done", ["not done", "done"])
@pytest.mark.parametrize("call", ["open", "write", "rename", "unlink"])
def test_a_kill_in_a_roll_loses_nothing_that_was_acknowledged(
    tmp_path: Path, kill_at_steps: Callable[..., int], *, call: str, is_done: str
) -> None:
    """From the second roll on, of which the first has left files, and each step of it."""
    nothing = tmp_path / "nothing"
    nothing.mkdir()

    def check(root: Path, run: Ended) -> None:
        told = [line for line in run.output.splitlines() if not line.startswith("matched")]
        acknowledged = ["-1", *told]
        found = [value.split()[0].decode() for value in values(root)]
        assert found[: len(acknowledged)] == acknowledged
        assert len(found) - len(acknowledged) in (0, 1)  # the last one may be there

    kill_at_steps(nothing, 1, append_under_fault, call, is_done, check=check, timeout_s=TIMEOUT_S)
