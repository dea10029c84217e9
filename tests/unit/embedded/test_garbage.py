"""A consumer that the collector takes with its broker: nothing is used after it is freed."""

import os
import subprocess
import sys

PROGRAM = """
import gc, barnabas

gc.disable()
for _ in range(5):
    broker = barnabas.Broker()
    broker.create_topic("t")
    broker.producer().send("t", b"v").result()
    consumer = broker.consumer(["t"], auto_offset_reset="earliest")
    assert consumer.poll(5)
    assert consumer.poll(0.01) is None  # waits, which leaves something in the partition's lists
    broker.close()
    consumer.itself = consumer  # so that it takes the collector
    consumer._host = None  # it alone keeps the core
    del broker
    gc.collect()
    del consumer
    gc.collect()
print("still here")
"""


def test_the_core_outlives_its_clients() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PROGRAM],
        env={**os.environ, "MALLOC_PERTURB_": "165"},  # what is freed is overwritten
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "still here\n", done.stderr
