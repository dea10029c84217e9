"""barnabas.Broker in a process that forks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import barnabas

FORKING = """
import os, sys
import barnabas

broker = barnabas.Broker({data_dir})
pid = os.fork()
if pid == 0:
    try:
        broker.create_topic("t")
    except barnabas.BrokerClosed:
        broker.close()
        sys.exit(0)
    sys.exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert broker.data_dir.is_dir()
broker.create_topic("t")
broker.close()
"""


@pytest.mark.parametrize("kept", [True, False])
def test_a_forked_child_that_ends_leaves_the_broker_to_its_parent(
    tmp_path: Path, kept: bool
) -> None:
    code = FORKING.format(data_dir=repr(str(tmp_path / "d")) if kept else "")
    # From 3.12 on Python warns of any fork beside threads; a broker has some.
    python = [sys.executable, "-W", "ignore:This process:DeprecationWarning"]
    run = subprocess.run(
        [*python, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_closing_in_a_forked_child_does_nothing() -> None:
    with barnabas.Broker() as broker:
        pid = os.fork()
        if pid == 0:
            broker.close()
            os._exit(0 if broker.data_dir.is_dir() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        broker.create_topic("t")
