"""SIGKILL at each step of rolling a segment: what was acknowledged is there, once, in order."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import barnabas
from barnabas.testing import faults
from faults.rows import Row

KILLED = -9
RECORDS = 10
STEPS_MAX = 100
CONFIG = {"internal.segment.bytes": 1500, "index.interval.bytes": 100}
VALUE = bytes(200)

_CHILD = """if True:
    import sys
    from faults.test_roll_kills import append_under_fault
    append_under_fault(*sys.argv[1:])
"""


def append_under_fault(root: str, call: faults.Call, is_done: str, nth: str) -> None:
    """In the child: says which record was acknowledged, and how many calls matched."""
    with barnabas.Broker(root) as broker:
        broker.create_topic("t", config=CONFIG)
        with broker.producer() as producer:
            producer.send("t", b"-1" + VALUE).result()
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


def run_child(root: Path, call: str, is_done: bool, nth: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", _CHILD, str(root), call, "done" if is_done else "not", str(nth)],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", ["open", "write", "rename", "unlink"])
def test_a_kill_in_a_roll_loses_nothing_that_was_acknowledged(
    tmp_path: Path,
    call: str,
    is_done: bool,
    measured: Callable[[str], None],
    count: Callable[..., None],
) -> None:
    """From the second roll on, of which the first has left files, and each step of it."""
    kills = 0
    for nth in range(1, STEPS_MAX):
        root = tmp_path / str(nth)
        run = run_child(root, call, is_done, nth)
        told = run.stdout.split("\n")
        if run.returncode != KILLED:
            assert run.returncode == 0, run.stderr
            assert int(told[-2].split()[1]) < nth
            break
        kills += 1
        acknowledged = [b"-1"] + [line.encode() for line in told if line]
        found = values(root)
        shutil.rmtree(root)
        assert [value.split()[0][:2] for value in found[1 : len(acknowledged)]] == acknowledged[1:]
        assert len(found) - len(acknowledged) in (0, 1)  # the last one may be there
    else:
        pytest.fail(f"there are more than {kills} steps")
    measured(f"{kills} kills")
    count(Row.KILL, kills)
