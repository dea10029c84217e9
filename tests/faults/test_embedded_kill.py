"""SIGKILL of the process that has the broker in it: what was acknowledged there is still there."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import barnabas

PROGRAM = textwrap.dedent(
    """
    import sys, barnabas
    broker = barnabas.Broker(sys.argv[1])
    producer = broker.producer(linger_ms=1)
    transactional = broker.producer(transactional_id="t")
    round = int(sys.argv[2])
    print("ready", flush=True)
    number = 0
    while True:
        deliveries = [producer.send("single", b"%d %d" % (round, number + i)) for i in range(20)]
        producer.send_many("many", [b"%d %d" % (round, number + i) for i in range(20)]).result()
        for delivery in deliveries:
            delivery.result()
        with transactional.transaction():
            transactional.send("transactional", b"%d %d" % (round, number))
        number += 20
        print(number, flush=True)
    """
)
KILLS = 6


@pytest.mark.slow
def test_what_was_acknowledged_survives_the_process(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    acknowledged: dict[int, int] = {}
    for kill in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, str(program), str(tmp_path / "data"), str(kill)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.3 + 0.1 * kill)
        os.kill(child.pid, signal.SIGKILL)
        told = re.findall(r"^(\d+)\n", child.stdout.read(), re.MULTILINE)
        child.wait()
        acknowledged[kill] = int(told[-1]) if told else 0
    assert all(acknowledged.values())
    with barnabas.Broker(tmp_path / "data") as broker:
        for topic, step in (("single", 1), ("many", 1), ("transactional", 20)):
            seen: dict[int, list[int]] = {kill: [] for kill in range(KILLS)}
            consumer = broker.consumer(
                [topic], auto_offset_reset="earliest", isolation_level="read_committed", timeout=1
            )
            for batch in consumer:
                for value in batch.values:
                    round_, number = map(int, (value or b"").split())
                    seen[round_].append(number)
            for kill, count in acknowledged.items():
                numbers = seen[kill]
                assert numbers == list(range(0, len(numbers) * step, step)), topic
                assert len(numbers) * step >= count, f"{topic}: lost after kill {kill}"
    print(f"{KILLS} kills, {sum(acknowledged.values())} records acknowledged three ways")
