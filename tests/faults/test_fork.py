"""Forks of a broker that is in use, that is killed, and many of them."""

import errno
import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from confluent_kafka import Producer

import barnabas
from barnabas.testing import faults

FORKS = 12
PARTITIONS = 3
SMALL = {"internal.segment.bytes": 200_000}

KILLED = """
import os, signal, sys
import barnabas

parent = barnabas.Broker(sys.argv[1])
parent.create_topic("t", config={"internal.segment.bytes": 200_000})
with parent.producer() as producer:
    producer.send_many("t", [b"%06d" % n for n in range(50_000)]).result()
    producer.send("t", b"last").result()
producer = parent.producer(transactional_id="x")
transaction = producer.transaction()
transaction.__enter__()
producer.send("t", b"open").result()
fork = parent.fork(sys.argv[2])
fork.producer().send("t", b"fork").result()
os.kill(os.getpid(), signal.SIGKILL)
"""


class Load:
    """Senders of the network and of the process, and a reader that commits."""

    def __init__(self, broker: barnabas.Broker) -> None:
        self.broker = broker
        self.stopping = threading.Event()
        self.failures: list[BaseException] = []
        self.threads = [
            threading.Thread(target=self._guarded, args=(work,))
            for work in (self._send_by_network, self._send_here, self._commit)
        ]

    def __enter__(self) -> "Load":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
        assert self.failures == []

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:
            self.failures.append(failure)

    def _send_by_network(self) -> None:
        servers = self.broker.bootstrap_servers
        producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
        number = 0
        while not self.stopping.is_set():
            for partition in range(PARTITIONS):
                producer.produce("t", b"network %09d" % number, partition=partition)
            number += 1
            producer.poll(0.001)
        assert producer.flush(30) == 0

    def _send_here(self) -> None:
        number = 0
        with self.broker.producer() as producer:
            while not self.stopping.is_set():
                for partition in range(PARTITIONS):
                    producer.send("t", b"process %09d" % number, partition=partition)
                number += 1
                time.sleep(0.0005)

    def _commit(self) -> None:
        settings = {"group": "g", "auto_offset_reset": "earliest"}
        with self.broker.consumer(["t"], enable_auto_commit=False, **settings) as consumer:
            while not self.stopping.is_set():
                if consumer.poll(0.1) is not None:
                    consumer.commit()


def values_of(broker: barnabas.Broker) -> list[list[bytes]]:
    """By partition, in the order of offsets."""
    values: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
    with broker.consumer(["t"], auto_offset_reset="earliest", timeout=0) as consumer:
        for batch in consumer:
            assert batch.offsets[0] == len(values[batch.partition])
            values[batch.partition] += [value or b"" for value in batch.values]
    return values


def check_is_prefix(values: list[bytes], of: list[bytes]) -> None:
    assert values == of[: len(values)]
    for sender in (b"network", b"process"):
        numbers = [int(value.split()[1]) for value in values if value.startswith(sender)]
        assert numbers == list(range(len(numbers))), sender


def test_a_fork_has_a_prefix_of_what_producers_are_writing(
    measured: Callable[[str], None],
) -> None:
    took_s = []
    with barnabas.Broker() as parent:
        parent.create_topic("t", partitions=PARTITIONS, config=SMALL)
        forks = []
        with Load(parent) as load:
            while not all(values_of(parent)):
                assert not load.failures
                time.sleep(0.05)
            for _ in range(FORKS):
                began = time.monotonic()
                forks.append(parent.fork())
                took_s.append(time.monotonic() - began)
                time.sleep(0.1)
        written = values_of(parent)
        committed = 0
        for fork in forks:
            values = values_of(fork)
            for partition in range(PARTITIONS):
                check_is_prefix(values[partition], written[partition])
            with fork.consumer(["t"], group="g", auto_offset_reset="none", timeout=1) as consumer:
                # What is committed was read, so it is there.
                deadline = time.monotonic() + 20
                while len(consumer.assignment()) < PARTITIONS and time.monotonic() < deadline:
                    try:
                        consumer.poll(0.1)
                    except barnabas.KafkaError:  # nothing was committed yet for one of them
                        break
                for topic, partition in consumer.assignment():
                    offset = consumer.position(topic, partition)
                    assert offset <= len(values[partition])
                    committed += offset
            fork.close()
        assert committed > 0
    sizes = [len(values) for values in written]
    assert min(sizes) > 0
    measured(
        f"{FORKS} forks under load, {sum(sizes):,} records, {max(took_s) * 1e3:.0f} ms at most"
    )


def test_a_kill_right_after_a_fork_leaves_two_whole_brokers(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "parent"), str(tmp_path / "fork")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr
    expected = [*(b"%06d" % n for n in range(50_000)), b"last"]
    for name, more in (("fork", [b"fork"]), ("parent", [])):
        with barnabas.Broker(tmp_path / name) as broker:
            settings = {"auto_offset_reset": "earliest", "timeout": 0}
            with broker.consumer(["t"], **settings) as consumer:
                seen = [value for batch in consumer for value in batch.values]
            assert seen == [*expected, b"open", *more]
            info = broker.services.core.partition_info("t", 0)
            assert info.last_stable_offset == len(expected)
            broker.producer(transactional_id="x").close()  # ends what was open
            producer = broker.producer()
            producer.send("t", name.encode()).result(20)
            info = broker.services.core.partition_info("t", 0)
            assert info.last_stable_offset == info.log_end_offset


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_forks_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: Callable[[str], None]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fork_some(parent: barnabas.Broker, count: int) -> None:
        for number in range(count):
            with parent.fork() as fork:
                fork.producer().send("t", b"%d" % number).result(20)

    with barnabas.Broker() as parent:
        parent.create_topic("t", config=SMALL)
        with parent.producer() as producer:
            producer.send_many("t", [bytes(1_000)] * 1_000).result()
        fork_some(parent, 10)
        before = resident_bytes(), len(os.listdir("/proc/self/fd")), threading.active_count()
        files = sorted(path.name for path in (parent.data_dir / "t-0").iterdir())
        began = time.monotonic()
        fork_some(parent, 50)
        each_ms = (time.monotonic() - began) * 1e3 / 50
        grown = resident_bytes() - before[0]
        assert len(os.listdir("/proc/self/fd")) <= before[1] + 2
        assert threading.active_count() <= before[2] + 2
        assert grown < 12 << 20, f"{grown:,} bytes in 50 forks"
        assert list(tmp_path.iterdir()) == [parent.data_dir]
        assert sorted(path.name for path in (parent.data_dir / "t-0").iterdir()) == files
        assert all(path.stat().st_nlink == 1 for path in parent.data_dir.rglob("*.log"))
    measured(f"{each_ms:.0f} ms from a fork to its end, {grown / 1024:,.0f} KiB grown in 50")


@pytest.mark.parametrize("call", ["link", "copy", "write"])
def test_a_fork_that_there_is_no_room_for_leaves_its_parent_as_it_was(
    call: Literal["link", "copy", "write"], tmp_path: Path
) -> None:
    expected = [b"%06d" % number for number in range(30_000)]
    with barnabas.Broker(tmp_path / "parent") as parent:
        parent.create_topic("t", partitions=PARTITIONS, config=SMALL)
        with parent.producer() as producer:
            for partition in range(PARTITIONS):
                for begin in range(0, len(expected), 1000):
                    part = expected[begin : begin + 1000]
                    producer.send_many("t", part, partition=partition).result()
        pattern = f"{tmp_path}/*-0/*.log"
        if call == "write":  # what is neither linked nor copied
            pattern = f"{tmp_path}/fork/*"
        with faults.fail(call, pattern, error=errno.ENOSPC) as fault:
            with pytest.raises(barnabas.BarnabasError, match="No space left on device"):
                parent.fork(tmp_path / "fork")
            assert fault.struck > 0
        assert not list(tmp_path.glob("fork/*"))
        assert values_of(parent) == [expected] * PARTITIONS
        parent.producer().send("t", b"goes on", partition=0).result()
        with parent.fork(tmp_path / "second") as fork:
            assert values_of(fork)[0] == [*expected, b"goes on"]
