"""A log directory of which every call stalls: all that is done in another one goes on."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from bench.stalls import StallWatch
from confluent_kafka import Consumer, Producer, TopicPartition

import barnabas
from barnabas.metadata.sqlite import SqliteStore
from barnabas.metadata.store import Change
from barnabas.testing import faults
from faults.test_write_stall import (
    LATE_S,
    STALL_S,
    Asker,
    ask_metadata,
    await_struck,
    expect_in_time,
    heartbeats,
    new_producer,
)
from unit.handlers.test_log_dirs import UNKNOWN_TOPIC, alter, await_true, place
from unit.wire import WireClient

QUICK_S = 2.5
"""What nothing that need not wait for the stall takes; upkeep looks once a second."""
RECORDS = 64
FLUSHERS = 4  # threads, of a directory or of all
SMALL_SEGMENTS = {"internal.segment.bytes": "16384"}
CONFIG = {
    "num.network.threads": "2",
    "num.io.threads": "1",
    "offsets.topic.num.partitions": "1",
    "log.retention.check.interval.ms": "200",
    "log.cleaner.backoff.ms": "100",
}
# Of each directory; what is to be done about them becomes due while the first one stalls.
TOPICS = {
    "cold": SMALL_SEGMENTS,
    "old": {**SMALL_SEGMENTS, "retention.ms": "-1"},
    "rolls": {"retention.ms": "-1"},
    "compacted": {
        **SMALL_SEGMENTS,
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "1",
    },
}


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in "ab"]


def fill(producer: Producer, topic: str) -> None:
    for number in range(RECORDS):
        producer.produce(topic, os.urandom(1000), b"%d" % (number % 3))
        assert producer.flush(20) == 0


def drop_from_page_cache(directory: Path) -> None:
    for path in directory.glob("*-0/*.log"):
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


@pytest.fixture
def broker(dirs: list[Path]) -> Iterator[barnabas.Broker]:
    """With `cold-a` and so on in the first directory and `cold-b` in the second, filled by an
    earlier run; `__consumer_offsets` is in the second.
    """
    config = {"log.dirs": ",".join(map(str, dirs)), **CONFIG}
    with barnabas.Broker(config=config) as first:
        assert alter(first, "__consumer_offsets", dirs[1]) == UNKNOWN_TOPIC
        producer = new_producer(first)
        for directory in dirs:
            for kind, settings in TOPICS.items():
                place(first, f"{kind}-{directory.name}", directory, **settings)
                fill(producer, f"{kind}-{directory.name}")
            for number in range(FLUSHERS + 1):
                name = f"durable-{directory.name}{number}"
                place(first, name, directory, **{"flush.messages": "1"})
        heartbeats(first, "g")
    for directory in dirs:
        drop_from_page_cache(directory)
    with barnabas.Broker(config=config) as again:
        yield again


def configure(broker: barnabas.Broker, topic: str, name: str, value: str) -> None:
    change = {"name": name, "config_operation": 0, "value": value}
    resource = {"resource_type": 2, "resource_name": topic, "configs": [change]}
    with WireClient(broker.bootstrap_servers) as client:
        (altered,) = client.ask("IncrementalAlterConfigs", 1, resources=[resource]).responses
    assert altered.error_code == 0


def took_s(work: Callable[[], None]) -> float:
    begin_s = time.monotonic()
    work()
    return time.monotonic() - begin_s


def await_quickly(condition: Callable[[], bool]) -> None:
    """Or until it is no more quick, which what it took says."""
    end = time.monotonic() + QUICK_S + 0.1
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def read_from(broker: barnabas.Broker, topic: str) -> Consumer:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "none"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    return consumer


def sizes(directory: Path) -> list[int]:
    return [path.stat().st_size for path in sorted(directory.glob("*.log"))]


class OtherDirectory:
    """What is done in it, each to its end."""

    def __init__(self, broker: barnabas.Broker, directory: Path) -> None:
        self._broker = broker
        self._directory = directory
        self._producer = new_producer(broker)

    def flush(self) -> None:
        errors: list[object] = []
        for number in range(FLUSHERS + 1):
            name = f"durable-b{number}"
            self._producer.produce(name, b"v", on_delivery=lambda error, _: errors.append(error))
        self._producer.flush(QUICK_S + 0.1)
        assert set(errors) <= {None}

    def fetch_cold(self) -> None:
        with closing(read_from(self._broker, "cold-b")) as consumer:
            found = 0

            def is_read() -> bool:
                nonlocal found
                found += len(consumer.consume(RECORDS, 0.05))
                return found >= RECORDS

            await_quickly(is_read)

    def retain(self) -> None:
        configure(self._broker, "old-b", "retention.ms", "1")
        await_quickly(lambda: sizes(self._directory / "old-b-0") == [0])

    def roll(self) -> None:
        configure(self._broker, "rolls-b", "segment.ms", "1")
        await_quickly(lambda: len(sizes(self._directory / "rolls-b-0")) == 2)

    def compact(self) -> None:
        before = sum(sizes(self._directory / "compacted-b-0"))
        configure(self._broker, "compacted-b", "min.cleanable.dirty.ratio", "0.01")
        await_quickly(lambda: sum(sizes(self._directory / "compacted-b-0")) < before / 2)

    def delete_records(self) -> None:
        asked = [{"name": "cold-b", "partitions": [{"partition_index": 0, "offset": 5}]}]
        servers = self._broker.bootstrap_servers
        with suppress(TimeoutError), WireClient(servers, timeout_s=QUICK_S + 0.1) as client:
            (topic,) = client.ask("DeleteRecords", 2, topics=asked).topics
            assert topic.partitions[0].low_watermark == 5


def stall_everything(broker: barnabas.Broker, stack: ExitStack) -> list[object]:
    """Lets every thread that the first directory's work may have run into its stall; the outcomes
    of what was produced there.
    """
    producer = new_producer(broker)
    errors: list[object] = []

    def produce(topic: str) -> None:
        producer.produce(topic, b"v", on_delivery=lambda error, _: errors.append(error))
        producer.poll(0)

    def stalled(call: faults.Call) -> faults.Fault:
        return stack.enter_context(faults.delay(call, "*/a/*", seconds=STALL_S))

    stack.callback(lambda: producer.flush(30))
    syncs = stalled("sync")
    for number in range(FLUSHERS + 1):
        produce(f"durable-a{number}")
    await_struck(syncs, FLUSHERS)
    reads = stalled("read")
    consumer = read_from(broker, "cold-a")
    stack.callback(consumer.close)
    consumer.poll(0)
    await_struck(reads)
    configure(broker, "compacted-a", "min.cleanable.dirty.ratio", "0.01")
    await_struck(reads, 2)
    writes = stalled("write")
    for call in ("rename", "truncate", "unlink"):
        stalled(call)
    configure(broker, "old-a", "retention.ms", "1")
    await_struck(writes)
    produce("cold-a")
    await_struck(writes, 2)
    return errors


def test_work_in_another_directory_goes_on(
    broker: barnabas.Broker, dirs: list[Path], measured: Callable[[str], None]
) -> None:
    beat = heartbeats(broker, "g2")
    other = OtherDirectory(broker, dirs[1])
    with StallWatch(LATE_S) as machine, ExitStack() as stack:
        errors = stall_everything(broker, stack)
        begin_s = time.monotonic()
        with Asker(broker, ask_metadata) as metadata, Asker(broker, beat) as members:
            took = {
                work.__name__: took_s(work)
                for work in (
                    other.flush,
                    other.fetch_cold,
                    other.retain,
                    other.roll,
                    other.compact,
                    other.delete_records,
                )
            }
            end_s = time.monotonic()
            still = machine.since(0)
        assert not errors  # it stalls
    measured(", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in took.items()))
    assert max(took.values()) < QUICK_S
    expect_in_time({"metadata": metadata, "heartbeat": members}, begin_s, end_s, measured, still)
    assert errors == [None] * (FLUSHERS + 2)
    await_true(lambda: sizes(dirs[0] / "old-a-0") == [0])


@pytest.mark.parametrize("stalls", ["store", "directory"])
def test_metadata_and_heartbeats_do_not_wait_for_topics_being_made(
    stalls: str,
    broker: barnabas.Broker,
    monkeypatch: pytest.MonkeyPatch,
    measured: Callable[[str], None],
) -> None:
    beat = heartbeats(broker, "g2")
    codes: list[int] = []
    goes_on = threading.Event()
    commit = SqliteStore.commit

    def commit_when_it_goes_on(store: SqliteStore, changes: Sequence[Change]) -> None:
        with store._lock:
            assert goes_on.wait(60)
        commit(store, changes)

    def create(number: int) -> None:
        topic = {"name": f"new{number}", "num_partitions": 2, "replication_factor": 1}
        with WireClient(broker.bootstrap_servers, timeout_s=60) as client:
            asked = [{**topic, "assignments": [], "configs": []}]
            (answer,) = client.ask("CreateTopics", 7, topics=asked, timeout=60_000).topics
        codes.append(answer.error_code)

    create(0)  # the first imports what decodes the request
    codes.clear()
    threads = [threading.Thread(target=create, args=(number,)) for number in range(1, 7)]
    with StallWatch(LATE_S) as machine, ExitStack() as stack:
        metadata = stack.enter_context(Asker(broker, ask_metadata))
        members = stack.enter_context(Asker(broker, beat))
        fault = None
        if stalls == "store":
            # SQLite's own calls take no faults: its commits wait here.
            stack.callback(goes_on.set)
            monkeypatch.setattr(SqliteStore, "commit", commit_when_it_goes_on)
        else:
            fault = stack.enter_context(faults.hold("make_directory", "*/new[1-6]*"))
        begin_s = time.monotonic()
        for thread in threads:
            thread.start()
        if fault is not None:
            await_struck(fault)
        time.sleep(2)
        end_s = time.monotonic()
        still = machine.since(0)
        assert not codes
        if fault is None:
            goes_on.set()
        else:
            fault.remove()
        for thread in threads:
            thread.join()
    assert codes == [0] * len(threads)
    expect_in_time({"metadata": metadata, "heartbeat": members}, begin_s, end_s, measured, still)
