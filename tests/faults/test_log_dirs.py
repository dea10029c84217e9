"""Log directories that fail, at the start and later, and moves between them that go wrong."""

import errno
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

import barnabas
from barnabas.errors import StartError
from barnabas.testing import faults
from faults.rows import Row
from faults.test_compaction import await_true
from faults.test_file_faults import STORAGE_ERROR, SYNCED, Client
from peers.forks import Ended
from unit.handlers.test_log_dirs import (
    TIMEOUT_S,
    alter,
    await_home,
    describe,
    homes,
    place,
    produce,
    read,
)
from unit.wire import WireClient

LEADER_NOT_AVAILABLE = 5


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in "ab"]


def start(dirs: list[Path]) -> barnabas.Broker:
    return barnabas.Broker(config={"log.dirs": ",".join(map(str, dirs))})


@pytest.fixture
def two_topics(dirs: list[Path]) -> list[Path]:
    """`here` in the first directory, `there` in the second, a record in each."""
    with start(dirs) as broker:
        place(broker, "here", dirs[0])
        place(broker, "there", dirs[1])
        produce(broker, "here", 1)
        produce(broker, "there", 1)
    return dirs


Seen = tuple[int, int, list[int]]


def metadata(broker: barnabas.Broker, topic: str) -> Seen:
    """(error code, leader, offline replicas) of partition 0, about which two requests agree."""

    def of(partition: Any) -> Seen:
        offline = list(partition.offline_replicas)
        return int(partition.error_code), int(partition.leader_id), offline

    def ask(client: WireClient) -> Seen:
        asked = [{"name": topic, "topic_id": None}]
        (found,) = client.ask("Metadata", 12, topics=asked).topics
        (partition,) = found.partitions
        return of(partition)

    with WireClient(broker.bootstrap_servers) as client:
        after = ask(client)
        while True:
            before = after
            listed = client.ask("DescribeTopicPartitions", 0, topics=[{"name": topic}]).topics
            (same,) = listed[0].partitions
            after = ask(client)
            if after == before:  # or a directory has failed in between
                assert of(same) == after
                return after


def directory_errors(broker: barnabas.Broker) -> list[int]:
    with WireClient(broker.bootstrap_servers) as client:
        results = client.ask("DescribeLogDirs", 4, topics=None).results
    return [int(result.error_code) for result in results]


def expect_only_first_serves(broker: barnabas.Broker, dirs: list[Path]) -> None:
    assert directory_errors(broker) == [0, STORAGE_ERROR]
    assert metadata(broker, "here") == (0, 1, [])
    assert metadata(broker, "there") == (LEADER_NOT_AVAILABLE, -1, [1])
    produce(broker, "here", 1, 1)
    assert read(broker, "here", 2) == [(0, 0), (1, 1)]
    broker.create_topic("new", partitions=3)
    assert set(homes(dirs[:1], "new").values()) == {"a"}
    assert len(homes(dirs[:1], "new")) == 3
    # As Kafka: nothing moves while a directory is offline, for it may have the copy.
    assert alter(broker, "there", dirs[0]) == STORAGE_ERROR
    assert alter(broker, "here", dirs[1]) == STORAGE_ERROR


def test_a_failed_fsync_takes_its_directory_alone_offline(
    dirs: list[Path], count: Callable[..., None]
) -> None:
    broker = start(dirs)
    place(broker, "here", dirs[0])
    assert alter(broker, "there", dirs[1]) == 3
    broker.create_topic("there", config=SYNCED)
    client = Client(broker)
    assert client.send("there", "0 durable") is None
    produce(broker, "here", 1)
    with faults.fail("sync", "*/there-0/*.log", times=1) as fault:
        assert client.send("there", "lost") == STORAGE_ERROR
    assert fault.struck == 1
    await_true(lambda: metadata(broker, "there")[1] == -1)
    expect_only_first_serves(broker, dirs)
    with pytest.raises(barnabas.BarnabasError, match="offline"):
        broker.close()
    assert (dirs[0] / ".kafka_cleanshutdown").exists()
    assert not (dirs[1] / ".kafka_cleanshutdown").exists()
    with start(dirs) as broker:
        assert metadata(broker, "there") == (0, 1, [])
        assert read(broker, "there", 1) == [(0, 0)]
        assert read(broker, "here", 2) == [(0, 0), (1, 1)]
    count(Row.FAILED_SYNC, fault.struck)


@contextmanager
def without_identity(directory: Path) -> Iterator[None]:
    properties = directory / "meta.properties"
    before = properties.read_text()
    properties.write_text("version=oops\n")
    yield
    properties.write_text(before)


@contextmanager
def not_mounted(directory: Path) -> Iterator[None]:
    elsewhere = directory.rename(directory.with_suffix(".away"))
    directory.write_text("no directory")
    yield
    directory.unlink()
    elsewhere.rename(directory)


@pytest.mark.parametrize("fault", [without_identity, not_mounted])
def test_a_directory_that_cannot_be_opened_costs_what_is_in_it(
    two_topics: list[Path], fault: Callable[[Path], AbstractContextManager[None]]
) -> None:
    with fault(two_topics[1]):
        with start(two_topics) as broker:
            expect_only_first_serves(broker, two_topics)
        with start(two_topics) as broker:
            assert metadata(broker, "there") == (LEADER_NOT_AVAILABLE, -1, [1])
            assert homes(two_topics[:1], "there") == {}
    with start(two_topics) as broker:
        assert read(broker, "there", 1) == [(0, 0)]
        assert read(broker, "here", 2) == [(0, 0), (1, 1)]


def test_a_directory_in_use_elsewhere_costs_what_is_in_it(two_topics: list[Path]) -> None:
    code = "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.lockf(f, fcntl.LOCK_EX)"
    code += "; print('locked', flush=True); sys.stdin.read()"
    lock = str(two_topics[1] / ".lock")
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, lock], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with start(two_topics) as broker:
            expect_only_first_serves(broker, two_topics)
    with start(two_topics) as broker:
        assert read(broker, "there", 1) == [(0, 0)]


def test_without_the_directory_of_the_metadata_there_is_no_broker(two_topics: list[Path]) -> None:
    with not_mounted(two_topics[0]), pytest.raises(StartError, match="/a"):
        start(two_topics)


def test_a_directory_of_another_broker_ends_the_start(two_topics: list[Path]) -> None:
    properties = two_topics[1] / "meta.properties"
    before = properties.read_text()
    for old, new, why in (
        ("node.id=1", "node.id=7", "node 7"),
        ("cluster.id=", "cluster.id=x", "cluster"),
    ):
        properties.write_text(before.replace(old, new))
        with pytest.raises(StartError, match=why):
            start(two_topics)
    properties.write_text((two_topics[0] / "meta.properties").read_text())
    with pytest.raises(StartError, match="have the same"):
        start(two_topics)


def test_a_partition_in_two_directories_ends_the_start(two_topics: list[Path]) -> None:
    shutil.copytree(two_topics[0] / "here-0", two_topics[1] / "here-0")
    with pytest.raises(StartError) as caught:
        start(two_topics)
    for path in two_topics:
        assert str(path / "here-0") in str(caught.value)


def test_the_broker_ends_when_every_directory_has_failed(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from barnabas.cli.main import main
        from barnabas.testing import faults
        faults.fail("sync", "*/t-0/*.log")
        sys.exit(main(sys.argv[1:]))
    """
    options = ["serve", "--listen=127.0.0.1:0", f"--set=log.dirs={tmp_path}/a"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as serve:
        assert serve.stdout is not None
        bootstrap = serve.stdout.readline().split()[-1]
        admin = AdminClient({"bootstrap.servers": bootstrap})
        topic = NewTopic("t", 1, 1, config=SYNCED)
        admin.create_topics([topic])["t"].result(TIMEOUT_S)
        producer = Producer({"bootstrap.servers": bootstrap, "retries": 0})
        producer.produce("t", b"lost")
        _, stderr = serve.communicate(timeout=TIMEOUT_S)
    assert serve.returncode == 1
    assert f"log directory {tmp_path}/a has failed" in stderr


@pytest.mark.parametrize("call", ["write", "open", "make_directory"])
def test_a_move_to_a_full_disk_is_given_up(
    dirs: list[Path], call: faults.Call, count: Callable[..., None]
) -> None:
    with start(dirs) as broker:
        place(broker, "t", dirs[0])
        produce(broker, "t", 100)
        with faults.fail(call, f"{dirs[1]}/t-0.*", error=errno.ENOSPC) as fault:
            assert alter(broker, "t", dirs[1]) == 0
            await_true(lambda: fault.struck > 0 and describe(broker, "t").keys() == {"a"})
        await_true(lambda: not list(dirs[1].glob("t-0.*")))
        assert directory_errors(broker) == [0, 0]
        produce(broker, "t", 100, 100)
        assert alter(broker, "t", dirs[1]) == 0
        await_home(broker, "t", dirs[1])
        assert read(broker, "t", 200) == [(n, n) for n in range(200)]
    count(Row.NO_ROOM, fault.struck)


@pytest.mark.parametrize("call", ["write", "open", "make_directory", "rename"])
def test_a_partition_that_a_full_disk_cannot_take_is_made_in_another_one(
    dirs: list[Path], call: faults.Call, count: Callable[..., None]
) -> None:
    with start(dirs) as broker:
        place(broker, "first", dirs[0])
        with faults.fail(call, f"{dirs[1]}/t-0*", error=errno.ENOSPC) as fault:
            broker.create_topic("t")
        assert fault.struck > 0
        assert homes(dirs, "t") == {"t-0": "a"}
        assert not list(dirs[1].glob("t-*"))
        produce(broker, "t", 1)
    with start(dirs) as broker:
        assert read(broker, "t", 1) == [(0, 0)]
    count(Row.NO_ROOM, fault.struck)


def test_a_partition_of_which_a_disk_keeps_something_is_made_in_no_other_one(
    dirs: list[Path],
) -> None:
    with start(dirs) as broker:
        place(broker, "first", dirs[0])
        with (
            faults.fail("write", f"{dirs[1]}/t-0*", error=errno.ENOSPC),
            faults.fail("unlink", f"{dirs[1]}/t-0*"),
            pytest.raises(barnabas.KafkaError),
        ):
            broker.create_topic("t")
        assert not list(dirs[0].glob("t-*"))
    with start(dirs) as broker:
        broker.create_topic("t")
        produce(broker, "t", 1)
        assert read(broker, "t", 1) == [(0, 0)]


def test_a_copy_that_cannot_be_synced_costs_its_directory_alone(
    two_topics: list[Path], count: Callable[..., None]
) -> None:
    broker = start(two_topics)
    with faults.fail("sync", f"{two_topics[1]}/here-0.*", times=1) as fault:
        assert alter(broker, "here", two_topics[1]) == 0
        await_true(lambda: metadata(broker, "there")[1] == -1)
    assert fault.struck == 1
    await_true(lambda: describe(broker, "here").keys() == {"a"})
    expect_only_first_serves(broker, two_topics)
    with pytest.raises(barnabas.BarnabasError):
        broker.close()
    with start(two_topics) as broker:
        assert read(broker, "there", 1) == [(0, 0)]
        assert read(broker, "here", 2) == [(0, 0), (1, 1)]
    assert homes(two_topics, "here") == {"here-0": "a"}
    count(Row.FAILED_SYNC, fault.struck)


def test_a_compaction_that_cannot_be_synced_costs_its_directory_alone(
    dirs: list[Path], count: Callable[..., None]
) -> None:
    config = {"log.dirs": ",".join(map(str, dirs)), "log.cleaner.backoff.ms": "50"}
    broker = barnabas.Broker(config=config)
    place(broker, "here", dirs[0])
    assert alter(broker, "there", dirs[1]) == 3
    broker.create_topic(
        "there",
        config={
            "cleanup.policy": "compact",
            "internal.segment.bytes": "5000",
            "min.cleanable.dirty.ratio": "1",
        },
    )
    produce(broker, "here", 1)
    for number in range(20):
        produce(broker, "there", 1, number, keys=3)
    with faults.fail("sync", f"{dirs[1]}/there-0/*.cleaned", times=1) as fault:
        ratio = {"name": "min.cleanable.dirty.ratio", "config_operation": 0, "value": "0.01"}
        resource = {"resource_type": 2, "resource_name": "there", "configs": [ratio]}
        with WireClient(broker.bootstrap_servers) as client:
            (altered,) = client.ask("IncrementalAlterConfigs", 1, resources=[resource]).responses
            assert altered.error_code == 0
        await_true(lambda: metadata(broker, "there")[1] == -1)
    assert fault.struck == 1
    expect_only_first_serves(broker, dirs)
    assert fault.matched == 1, "it was tried again"
    with pytest.raises(barnabas.BarnabasError):
        broker.close()
    with start(dirs) as broker:
        found = [number for _, number in read(broker, "there", 20)]
        assert found[-3:] == [17, 18, 19]
        assert read(broker, "here", 2) == [(0, 0), (1, 1)]
    assert not list(dirs[1].glob("there-0/*.cleaned"))
    count(Row.FAILED_SYNC, fault.struck)


# -- SIGKILL

_RECORDS = 120


def move_under_fault(root: str, call: faults.Call, is_done: str, nth: str) -> None:
    """In the child."""
    dirs = [Path(root, name) for name in "ab"]
    with start(dirs) as broker:
        fault = faults.kill(call, root + "/*", is_done=is_done == "done", nth=int(nth))
        assert alter(broker, "t", dirs[1]) == 0
        await_home(broker, "t", dirs[1])
        await_true(lambda: not list(dirs[0].glob("t-0.*")))  # the old directory goes
        print(f"matched {fault.matched}")
        fault.remove()


@pytest.fixture(scope="module")
def before_the_move(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("before")
    dirs = [root / name for name in "ab"]
    with start(dirs) as broker:
        assert alter(broker, "t", dirs[0]) == 3
        config = {"internal.segment.bytes": "60000", "file.delete.delay.ms": "0"}
        broker.create_topic("t", config=config)
        produce(broker, "t", _RECORDS)
    return root


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_done", ["done", "not done"])
@pytest.mark.parametrize(
    ("call", "share"),
    [("rename", 1), ("sync", 3), ("make_directory", 1), ("unlink", 1), ("write", 5), ("open", 9)],
)
def test_a_kill_at_any_step_of_a_move_leaves_the_partition_whole(
    before_the_move: Path,
    kill_at_steps: Callable[..., int],
    *,
    call: str,
    share: int,
    is_done: str,
) -> None:
    def check(root: Path, run: Ended) -> None:
        _expect_whole([root / name for name in "ab"], run.returncode == 0)

    kill_at_steps(
        before_the_move, share, move_under_fault, call, is_done, check=check, timeout_s=TIMEOUT_S
    )


def _expect_whole(dirs: list[Path], has_moved: bool) -> None:
    with start(dirs) as broker:
        assert metadata(broker, "t") == (0, 1, [])
        assert read(broker, "t", _RECORDS) == [(n, n) for n in range(_RECORDS)]
        # A move that was under way goes on.
        await_true(lambda: not list(dirs[1].glob("t-0.*-future")))
        home = homes(dirs, "t")["t-0"]
        assert home == "b" or not has_moved
        produce(broker, "t", 5, _RECORDS)
        expected = [(n, n) for n in range(_RECORDS + 5)]
        assert read(broker, "t", _RECORDS + 5) == expected
        assert describe(broker, "t").keys() == {home}
    with start(dirs) as broker:
        assert homes(dirs, "t") == {"t-0": home}
        assert read(broker, "t", _RECORDS + 5) == expected
