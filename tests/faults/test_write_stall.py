"""A disk whose writes stall: who does not need it notices nothing, who does waits for it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench.stalls import Stalls, StallWatch
from confluent_kafka import Producer

import barnabas
from barnabas.testing import faults
from faults.rows import Row
from unit.handlers.group_broker import join_fields
from unit.handlers.test_log_dirs import UNKNOWN_TOPIC, alter, place
from unit.wire import WireClient

STALL_S = 5.0
LIMIT_S = 0.05
BUSY_LIMIT_S = 0.2  # where the machine itself is late; who waits for the stall waits longer
LATE_S = 0.005  # of the machine, to be told from the broker's
ASK_EVERY_S = 0.01
ASKED_BEFORE = 25
WARM_UP = 5  # of these: what they import is not the machine's
PRODUCERS = 64

Ask = Callable[[WireClient], object]


class Asker:
    """Asks again and again on a connection of its own, and notes how long each answer took; some
    times before the block begins.
    """

    def __init__(self, broker: barnabas.Broker, ask: Ask) -> None:
        self._servers = broker.bootstrap_servers
        self._ask = ask
        self.took: list[tuple[float, float]] = []  # seconds, when it was asked
        self._over = threading.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Asker":
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with WireClient(self._servers) as client:
                self._ask(client)
                while not self._over.wait(ASK_EVERY_S):
                    begin = time.monotonic()
                    self._ask(client)
                    self.took.append((time.monotonic() - begin, begin))
                    if len(self.took) == ASKED_BEFORE:
                        self._ready.set()
        except BaseException as error:
            self._failure = error
            self._ready.set()

    def longest_s(self, begin_s: float, end_s: float, still: Stalls) -> float:
        """Of what was asked between the two, but for the time in which the machine stood still."""
        if self._failure is not None:
            raise self._failure
        found = [
            took - still.within(at, at + took) for took, at in self.took if begin_s <= at <= end_s
        ]
        assert len(found) > (end_s - begin_s) / ASK_EVERY_S / 10
        return max(found)

    def longest_before_s(self, begin_s: float, still: Stalls) -> float:
        """Of what was answered by then, but for the first; 0 when there is nothing to go by."""
        found = [
            took - still.within(at, at + took) for took, at in self.took if at + took <= begin_s
        ]
        return max(found[WARM_UP:]) if len(found) >= ASKED_BEFORE else 0.0


def ask_metadata(client: WireClient) -> None:
    assert client.ask("Metadata", 12, topics=None).topics


def heartbeats(broker: barnabas.Broker, group: str) -> Ask:
    """Those of a member that has joined."""
    with WireClient(broker.bootstrap_servers) as client:
        end = time.monotonic() + 20
        while client.ask("FindCoordinator", 0, key=group).error_code != 0:
            assert time.monotonic() < end
            time.sleep(0.02)
        # After a start the group is read back first.
        while (joined := client.ask("JoinGroup", 3, **join_fields(group))).error_code != 0:
            assert time.monotonic() < end
            time.sleep(0.02)
        beat = {
            "group_id": group,
            "generation_id": joined.generation_id,
            "member_id": joined.member_id,
        }
        shares = [{"member_id": joined.member_id, "assignment": b"x"}]
        assert client.ask("SyncGroup", 3, **beat, assignments=shares).error_code == 0

    def ask(asker: WireClient) -> None:
        assert asker.ask("Heartbeat", 3, **beat).error_code == 0

    return ask


def commit(client: WireClient, offset: int) -> int:
    """Commits as nobody's member; the error code."""
    partitions = [{"partition_index": 0, "committed_offset": offset, "committed_metadata": ""}]
    answer = client.ask(
        "OffsetCommit",
        8,
        group_id="commits",
        generation_id_or_member_epoch=-1,
        member_id="",
        topics=[{"name": "quick", "partitions": partitions}],
    )
    return int(answer.topics[0].partitions[0].error_code)


@contextmanager
def stalled_writes(pattern: str, times: int = 1) -> Iterator[faults.Fault]:
    with faults.delay("write", pattern, seconds=STALL_S, times=times) as fault:
        yield fault


def await_struck(fault: faults.Fault, count: int = 1) -> float:
    """When the stall had begun."""
    end = time.monotonic() + 20
    while fault.struck < count:
        assert time.monotonic() < end
        time.sleep(0.001)
    return time.monotonic()


def new_producer(broker: barnabas.Broker) -> Producer:
    servers = broker.bootstrap_servers
    quiet = {"log_level": 0}  # they outlive their broker
    return Producer({"bootstrap.servers": servers, "linger.ms": 0, "acks": "all", **quiet})


@pytest.fixture(params=[1, 2])
def config(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"num.network.threads": str(request.param), "offsets.topic.num.partitions": "1"}


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in "ab"]


@pytest.fixture
def broker(dirs: list[Path], config: dict[str, str]) -> Iterator[barnabas.Broker]:
    """`slow` in the first directory, `quick` and `__consumer_offsets` in the second."""
    with barnabas.Broker(config={"log.dirs": ",".join(map(str, dirs)), **config}) as running:
        assert alter(running, "__consumer_offsets", dirs[1]) == UNKNOWN_TOPIC
        place(running, "slow", dirs[0])
        place(running, "quick", dirs[1])
        yield running


def expect_in_time(
    askers: dict[str, Asker],
    begin_s: float,
    end_s: float,
    measured: Callable[[str], None],
    still: Stalls,
) -> None:
    """`still`: when the machine stood still, from before the askers began."""
    is_quiet = still.within(begin_s, end_s) == 0
    limit_s = LIMIT_S if is_quiet else BUSY_LIMIT_S
    for name, asker in askers.items():
        longest_s = asker.longest_s(begin_s, end_s, still)
        before_s = asker.longest_before_s(begin_s, still)
        measured(
            f"{name}: {longest_s * 1e3:.1f} ms at most, {before_s * 1e3:.1f} before the stall; "
            f"{still.note()}"
        )
        assert longest_s <= limit_s, name


def produces(broker: barnabas.Broker, topic: str) -> Ask:
    """One record after the other; none is sent before the last is acknowledged."""
    producer = new_producer(broker)

    def ask(_: WireClient) -> None:
        errors: list[object] = []
        producer.produce(topic, b"v", on_delivery=lambda error, _: errors.append(error))
        assert producer.flush(20) == 0
        assert errors == [None]

    return ask


def test_heartbeats_metadata_and_other_directories_go_on(
    broker: barnabas.Broker, measured: Callable[[str], None], count: Callable[..., None]
) -> None:
    slow = new_producer(broker)
    beat = heartbeats(broker, "g")
    errors: list[object] = []
    with (
        StallWatch(LATE_S) as machine,
        Asker(broker, ask_metadata) as metadata,
        Asker(broker, beat) as members,
        Asker(broker, produces(broker, "quick")) as elsewhere,
        stalled_writes("*/a/slow-0/*.log") as fault,
    ):
        for number in range(100):
            slow.produce("slow", b"%d" % number, on_delivery=lambda error, _: errors.append(error))
        slow.poll(0)
        begin_s = await_struck(fault)
        with Asker(broker, ask_metadata) as newcomer:
            time.sleep(begin_s + STALL_S - 1 - time.monotonic())
            end_s = time.monotonic()
            still = machine.since(0)
            slow.poll(0)
            assert not errors  # nothing of the stalled is acknowledged
        assert slow.flush(20) == 0
    assert errors == [None] * 100
    askers = {
        "metadata": metadata,
        "heartbeat": members,
        "produce elsewhere": elsewhere,
        "newcomer's metadata": newcomer,
    }
    expect_in_time(askers, begin_s, end_s, measured, still)
    assert values(broker, "slow", 100) == [b"%d" % number for number in range(100)]
    count(Row.STALL, fault.struck)


def values(broker: barnabas.Broker, topic: str, count: int) -> list[bytes]:
    with broker.consumer([topic], auto_offset_reset="earliest") as consumer:
        found: list[bytes] = []
        end = time.monotonic() + 20
        while len(found) < count and time.monotonic() < end:
            batch = consumer.poll(1)
            if batch is not None:
                found.extend(value or b"" for value in batch.values)
    return found


def test_commits_wait_for_a_stalled_offsets_topic_and_heartbeats_do_not(
    dirs: list[Path],
    config: dict[str, str],
    measured: Callable[[str], None],
    count: Callable[..., None],
) -> None:
    with barnabas.Broker(config={"log.dirs": ",".join(map(str, dirs)), **config}) as broker:
        assert alter(broker, "__consumer_offsets", dirs[0]) == UNKNOWN_TOPIC
        place(broker, "quick", dirs[1])
        beat = heartbeats(broker, "g")
        answers: list[tuple[int, float]] = []

        def run() -> None:
            with WireClient(broker.bootstrap_servers) as client:
                answers.append((commit(client, 7), time.monotonic()))

        committer = threading.Thread(target=run)
        with (
            StallWatch(LATE_S) as machine,
            Asker(broker, ask_metadata) as metadata,
            Asker(broker, beat) as members,
            stalled_writes("*/a/__consumer_offsets-0/*.log") as fault,
        ):
            committer.start()
            begin_s = await_struck(fault)
            time.sleep(STALL_S - 1)
            end_s = time.monotonic()
            still = machine.since(0)
            assert not answers
            committer.join()
        assert answers[0][0] == 0
        askers = {"metadata": metadata, "heartbeat": members}
        expect_in_time(askers, begin_s, end_s, measured, still)
    count(Row.STALL, fault.struck)


def test_one_directory_and_many_producers(
    tmp_path: Path,
    config: dict[str, str],
    measured: Callable[[str], None],
    count: Callable[..., None],
) -> None:
    with barnabas.Broker(str(tmp_path), config=config) as broker:
        broker.create_topic("t")
        beat = heartbeats(broker, "g")
        producers = [new_producer(broker) for _ in range(PRODUCERS)]
        errors: list[object] = []
        with (
            StallWatch(LATE_S) as machine,
            Asker(broker, ask_metadata) as metadata,
            Asker(broker, beat) as members,
            stalled_writes("*/t-0/*.log") as fault,
        ):
            for number, producer in enumerate(producers):
                value = b"%d" % number
                producer.produce("t", value, on_delivery=lambda error, _: errors.append(error))
            begin_s = await_struck(fault)
            time.sleep(STALL_S - 1)
            end_s = time.monotonic()
            still = machine.since(0)
            for producer in producers:
                assert producer.flush(30) == 0
        assert errors == [None] * PRODUCERS
        expect_in_time(
            {"metadata": metadata, "heartbeat": members}, begin_s, end_s, measured, still
        )
        assert sorted(map(int, values(broker, "t", PRODUCERS))) == list(range(PRODUCERS))
    count(Row.STALL, fault.struck)


def test_a_broker_stops_once_the_stall_ends(
    dirs: list[Path],
    config: dict[str, str],
    measured: Callable[[str], None],
    count: Callable[..., None],
) -> None:
    settings = {"log.dirs": ",".join(map(str, dirs)), **config}
    with barnabas.Broker(config=settings) as broker:
        place(broker, "slow", dirs[0])
        leaving, staying = new_producer(broker), new_producer(broker)
        with stalled_writes("*/a/slow-0/*.log") as fault:
            leaving.produce("slow", b"left")
            leaving.poll(0)
            begin_s = await_struck(fault)
            del leaving  # its client disconnects
            staying.produce("slow", b"stays")
            staying.poll(0.2)
            broker.close()
            took_s = time.monotonic() - begin_s
    measured(f"stopped {took_s:.1f} s after the stall began, which lasts {STALL_S:g} s")
    assert took_s < STALL_S + 5
    with barnabas.Broker(config=settings) as again:
        assert values(again, "slow", 1)[0] == b"left"
    count(Row.STALL, fault.struck)
