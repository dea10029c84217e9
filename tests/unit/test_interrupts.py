"""Ctrl-C while a broker of this process starts, is closed or forked: what was begun comes to its
end, and nothing stays behind. In children, whose main thread gets the signals.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TIMEOUT_S = 60
PRELUDE = """if True:
    import os, signal, sys, threading, time
    import barnabas

    tmp = os.environ["TMPDIR"]

    def interrupted(delay, call):
        # Whether Ctrl-C came before the call had returned, and its result.
        timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))
        result, struck = None, False
        try:
            timer.start()
            result = call()
            timer.join()
            time.sleep(0.5)
        except KeyboardInterrupt:
            struck = True
        assert struck
        timer.join()
        return result

    def threads():
        return sorted(t.name for t in threading.enumerate() if t.name.startswith("barnabas"))

    def await_true(condition, what):
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, what()
            time.sleep(0.005)

    def expect_gone(is_left=()):
        await_true(lambda: threads() == list(is_left), threads)
        await_true(lambda: len(os.listdir(tmp)) == len(is_left), lambda: os.listdir(tmp))

    def moments(action):
        # From the beginning to the end of what takes so long when nobody disturbs it.
        begin = time.perf_counter()
        result = action()
        return [(time.perf_counter() - begin) * n / 16 for n in range(1, 17)], result
"""
START = """
    barnabas.Broker().close()
    delays, broker = moments(barnabas.Broker)
    broker.close()
    struck = 0
    for delay in delays:
        broker = interrupted(delay, barnabas.Broker)
        if broker is None:
            struck += 1
        else:
            broker.close()
        expect_gone()
    assert struck
"""
CLOSE = """
    def made():
        broker = barnabas.Broker(config={"offsets.topic.num.partitions": 1})
        broker.producer().send("t", b"v")
        broker.consumer(["t"], group="g", timeout=0.01).poll()
        return broker

    made().close()
    delays, _ = moments(made().close)
    for delay in delays:
        broker = made()
        begun = []
        interrupted(delay, lambda: begun.append(True) or broker.close())
        if not begun:
            broker.close()
        expect_gone()
        broker.close()
        try:
            broker.create_topic("late")
        except barnabas.BrokerClosed:
            continue
        raise AssertionError("it is open")
"""
FORK = """
    origin = barnabas.Broker()
    origin.producer().send("t", b"v").result()
    origin.fork().close()
    delays, fork = moments(origin.fork)
    fork.close()
    struck = 0
    for delay in delays:
        fork = interrupted(delay, origin.fork)
        if fork is None:
            struck += 1
        else:
            fork.close()
        expect_gone(["barnabas"])
        origin.producer().send("t", b"v").result()
    assert struck
    with origin.fork() as fork:
        fork.producer().send("t", b"v").result()
    origin.close()
    expect_gone()
"""


@pytest.mark.parametrize("what", ["START", "CLOSE", "FORK"])
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, what: str) -> None:
    code = PRELUDE + globals()[what] + "\n    print('done', flush=True)\n"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert run.stdout == "done\n", run.stderr
    assert run.returncode == 0, run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_ctrl_c_ends_while_a_broker_starts_leaves_nothing(tmp_path: Path) -> None:
    code = (
        PRELUDE
        + """
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    while True:
        barnabas.Broker()
"""
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert "KeyboardInterrupt" in run.stderr
    assert list(tmp_path.iterdir()) == []
