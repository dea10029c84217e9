"""examples/job_queue.py: jobs are done, and what keeps failing ends as a dead letter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import barnabas

PROGRAM = Path(__file__).parents[2] / "examples" / "job_queue.py"


class Queue:
    def __init__(self, broker: barnabas.Broker, name: str) -> None:
        self._broker = broker
        self.name = name

    def run(self, action: str, *more: str) -> str:
        broker = ["-b", self._broker.bootstrap_servers]
        command = [sys.executable, str(PROGRAM), action, self.name, *broker]
        done = subprocess.run(
            [*command, *more], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def submit(self, *command: str) -> str:
        return self.run("submit", json.dumps(command)).strip()


@pytest.fixture
def queue(barnabas_broker: barnabas.Broker, barnabas_topic: str) -> Queue:
    barnabas_broker.create_topic(f"{barnabas_topic}.dead")
    return Queue(barnabas_broker, barnabas_topic)


@pytest.mark.barnabas_topic(partitions=2)
def test_jobs_are_done_and_failures_do_not_hold_up_the_others(queue: Queue, tmp_path: Path) -> None:
    first = queue.submit("touch", str(tmp_path / "first"))
    tries = tmp_path / "tries"
    bad = queue.submit("sh", "-c", f"echo x >> {tries}; echo no such picture >&2; exit 3")
    last = queue.submit("touch", str(tmp_path / "last"))
    said = queue.run("work", "--attempts", "2", "--until-empty", "4")
    assert sorted(said.splitlines()) == sorted(
        [f"{first} done", f"{bad} dead: exit code 3", f"{last} done"]
    )
    assert (tmp_path / "first").exists()
    assert (tmp_path / "last").exists()
    assert tries.read_text() == "x\nx\n"
    (letter,) = map(json.loads, queue.run("dead").splitlines())
    assert letter["job"] == bad
    assert letter["attempts"] == "2"
    assert letter["error"] == "exit code 3\nno such picture\n"


def test_a_job_is_done_once(queue: Queue, tmp_path: Path) -> None:
    done = tmp_path / "done"
    job = queue.submit("sh", "-c", f"echo x >> {done}")
    assert queue.run("work", "--until-empty", "4") == f"{job} done\n"
    assert queue.run("work", "--until-empty", "4") == ""
    assert done.read_text() == "x\n"
