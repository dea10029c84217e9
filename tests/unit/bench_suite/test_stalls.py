import os
import signal
import time

from bench.stalls import StallWatch


def test_a_process_that_is_stopped_is_late() -> None:
    with StallWatch() as watch:
        begin = time.monotonic()
        pid = watch.process.pid
        deadline = begin + 10
        while watch.since(begin).count == 0 and time.monotonic() < deadline:
            time.sleep(0.2)  # until it watches
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.1)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.1)
        stalls = watch.since(begin)
        assert stalls.count >= 1
        assert stalls.longest_s >= 0.09
        assert f"{stalls.longest_s * 1000:.0f} ms" in stalls.note()
        assert watch.since(time.monotonic()).count == 0
