"""AlterReplicaLogDirs and DescribeLogDirs over the wire, with several log directories."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import barnabas
from unit.wire import WireClient

TIMEOUT_S = 30
MOVE_VERSION = 2
RATE = "replica.alter.log.dirs.io.max.bytes.per.second"
UNKNOWN_TOPIC, STORAGE_ERROR, DIR_NOT_FOUND = 3, 56, 57
VALUE = b"v" * 1000


@pytest.fixture
def dirs(tmp_path: Path) -> list[Path]:
    return [tmp_path / name for name in "abc"]


@pytest.fixture
def start(dirs: list[Path]) -> Callable[..., barnabas.Broker]:
    def started(**config: str) -> barnabas.Broker:
        settings = {key.replace("_", "."): value for key, value in config.items()}
        return barnabas.Broker(config={"log.dirs": ",".join(map(str, dirs)), **settings})

    return started


@pytest.fixture
def broker(start: Callable[..., barnabas.Broker]) -> Iterator[barnabas.Broker]:
    with start() as running:
        yield running


@pytest.fixture
def slow(start: Callable[..., barnabas.Broker]) -> Iterator[barnabas.Broker]:
    """One that moves a megabyte in some minutes."""
    with start(**{RATE: "10000"}) as running:
        yield running


def produce(
    broker: barnabas.Broker, topic: str, count: int, first: int = 0, keys: int = 10**9
) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "batch.size": 20_000})
    errors: list[object] = []
    for number in range(first, first + count):
        producer.produce(
            topic,
            b"%d " % number + VALUE,
            b"%d" % (number % keys),
            partition=0,
            on_delivery=lambda error, _: errors.append(error),
        )
        producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0
    assert set(errors) == {None}


def read(broker: barnabas.Broker, topic: str, end: int) -> list[tuple[int, int]]:
    """(offset, number) of the records below an offset of which the last is there."""
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": "g", "check.crcs": True}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[tuple[int, int]] = []
    try:
        while not found or found[-1][0] < end - 1:
            message = consumer.poll(TIMEOUT_S)
            assert message is not None
            assert message.error() is None
            value, offset = message.value(), message.offset()
            assert value is not None
            assert offset is not None
            found.append((offset, int(value.split(b" ")[0])))
    finally:
        consumer.close()
    return found


def alter(broker: barnabas.Broker, topic: str, path: Path, version: int = MOVE_VERSION) -> int:
    with WireClient(broker.bootstrap_servers) as client:
        asked = [{"path": str(path), "topics": [{"name": topic, "partitions": [0]}]}]
        (result,) = client.ask("AlterReplicaLogDirs", version, dirs=asked).results
    assert result.topic_name == topic
    (partition,) = result.partitions
    assert partition.partition_index == 0
    return int(partition.error_code)


def describe(broker: barnabas.Broker, topic: str) -> dict[str, Any]:
    """Directory to the partition 0 that is there, or on its way there."""
    with WireClient(broker.bootstrap_servers) as client:
        asked = [{"topic": topic, "partitions": [0]}]
        results = client.ask("DescribeLogDirs", 4, topics=asked).results
    return {
        Path(result.log_dir).name: partition
        for result in results
        for found in result.topics
        for partition in found.partitions
    }


def place(broker: barnabas.Broker, topic: str, path: Path, **config: str) -> None:
    """Makes a topic with one partition in a directory."""
    assert alter(broker, topic, path) == UNKNOWN_TOPIC
    settings = {key.replace("_", "."): value for key, value in config.items()}
    broker.create_topic(topic, config={"file.delete.delay.ms": "0", **settings})


def await_true(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def await_home(broker: barnabas.Broker, topic: str, home: Path) -> None:
    def is_there() -> bool:
        found = describe(broker, topic)
        return found.keys() == {home.name} and not found[home.name].is_future_key

    await_true(is_there)


def await_gone(directory: Path, pattern: str) -> None:
    await_true(lambda: not list(directory.glob(pattern)))


def homes(dirs: list[Path], topic: str) -> dict[str, str]:
    found = [at for path in dirs for at in path.glob(f"{topic}-[0-9]*") if "." not in at.name]
    names = [at.name for at in found]
    assert len(set(names)) == len(names), found
    return {at.name: at.parent.name for at in found}


def test_new_partitions_go_where_there_are_the_fewest(
    broker: barnabas.Broker, dirs: list[Path]
) -> None:
    broker.create_topic("t", partitions=4)
    assert homes(dirs, "t") == {"t-0": "a", "t-1": "b", "t-2": "c", "t-3": "a"}
    broker.create_topic("u", partitions=2)
    assert homes(dirs, "u") == {"u-0": "b", "u-1": "c"}
    with WireClient(broker.bootstrap_servers) as client:
        wish = [{"name": "u", "count": 4, "assignments": None}]
        client.ask("CreatePartitions", 3, topics=wish, timeout=10_000)
    assert homes(dirs, "u") == {"u-0": "b", "u-1": "c", "u-2": "a", "u-3": "b"}


def test_each_directory_is_one_of_kafkas(start: Any, dirs: list[Path]) -> None:
    for _ in range(2):
        with start() as broker:
            broker.create_topic(f"t{time.monotonic_ns()}", partitions=3)
            for path in dirs:
                assert not (path / ".kafka_cleanshutdown").exists()
                assert (path / ".lock").exists()
    properties = [
        dict(line.split("=") for line in text.split() if "=" in line)
        for text in ((path / "meta.properties").read_text() for path in dirs)
    ]
    assert len({found["cluster.id"] for found in properties}) == 1
    assert len({found["directory.id"] for found in properties}) == len(dirs)
    for path in dirs:
        assert (path / ".kafka_cleanshutdown").exists()
        names = {line.split(" ")[0] for line in checkpoint(path, "recovery-point")[2:]}
        assert names == {at.name[:-2] for at in path.glob("t*-[0-9]")}
    assert (dirs[0] / "metadata.sqlite").exists() or list(dirs[0].glob("metadata*"))
    assert not list(dirs[1].glob("metadata*"))


def checkpoint(directory: Path, name: str) -> list[str]:
    return (directory / f"{name}-offset-checkpoint").read_text().splitlines()


@pytest.mark.parametrize("version", range(1, 6))
def test_every_directory_is_described(
    broker: barnabas.Broker, dirs: list[Path], version: int
) -> None:
    broker.create_topic("t", partitions=2)
    with WireClient(broker.bootstrap_servers) as client:
        results = client.ask("DescribeLogDirs", version, topics=None).results
    assert [result.log_dir for result in results] == [str(path) for path in dirs]
    found = [[(t.name, p.partition_index) for t in r.topics for p in t.partitions] for r in results]
    assert found == [[("t", 0)], [("t", 1)], []]
    assert all(result.error_code == 0 for result in results)


@pytest.mark.parametrize("version", [1, 2])
def test_a_move_that_cannot_be_is_refused(
    broker: barnabas.Broker, dirs: list[Path], version: int
) -> None:
    broker.create_topic("t")
    assert alter(broker, "t", dirs[0].parent, version) == DIR_NOT_FOUND
    assert alter(broker, "nope", dirs[1], version) == UNKNOWN_TOPIC
    assert alter(broker, "n" * 230, dirs[1], version) == 17  # INVALID_TOPIC_EXCEPTION
    assert describe(broker, "t").keys() == {"a"}


def test_the_directory_of_a_topic_to_come_is_remembered(
    broker: barnabas.Broker, dirs: list[Path]
) -> None:
    for topic in ("one", "two"):
        assert alter(broker, topic, dirs[2]) == UNKNOWN_TOPIC
        broker.create_topic(topic)
    assert homes(dirs, "one") == {"one-0": "c"}
    assert homes(dirs, "two") == {"two-0": "c"}


def test_a_partition_moves_and_keeps_its_records(start: Any, dirs: list[Path]) -> None:
    with start() as broker:
        place(broker, "t", dirs[0])
        produce(broker, "t", 3000)
        for target in (dirs[1], dirs[2], dirs[0], dirs[1]):
            assert alter(broker, "t", target) == 0
            await_home(broker, "t", target)
        assert homes(dirs, "t") == {"t-0": "b"}
        produce(broker, "t", 10, 3000)
        assert read(broker, "t", 3010) == [(n, n) for n in range(3010)]
        for path in dirs:
            await_gone(path, "t-0.*")
    assert not any(line.startswith("t ") for line in checkpoint(dirs[0], "recovery-point"))
    assert "t 0 3010" in checkpoint(dirs[1], "recovery-point")
    with start() as broker:
        assert homes(dirs, "t") == {"t-0": "b"}
        assert read(broker, "t", 3010) == [(n, n) for n in range(3010)]


def test_a_partition_with_a_batch_out_of_place_stays_and_serves(
    start: Any, dirs: list[Path], capfd: pytest.CaptureFixture[str]
) -> None:
    with start() as broker:
        place(broker, "odd", dirs[0], internal_segment_bytes="20000")
        for number in range(60):
            produce(broker, "odd", 1, first=number)
    path = dirs[0] / "odd-0" / f"{0:020}.log"
    data = bytearray(path.read_bytes())
    position = 12 + int.from_bytes(data[8:12], "big")  # of the second batch
    data[position + 5] ^= 1
    path.write_bytes(data)
    with start() as broker:
        assert alter(broker, "odd", dirs[1]) == 0
        await_home(broker, "odd", dirs[0])
        why = f"{path}: offset 65537 where 1 was expected at byte {position}"
        written = ""

        def is_said() -> bool:
            nonlocal written
            written += capfd.readouterr().err
            return why in written

        await_true(is_said)
        assert written.count(f"odd-0 does not move to {dirs[1]}: {why}") == 1
        await_gone(dirs[1], "odd-0.*")
        produce(broker, "odd", 1, first=60)
        consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "g"})
        consumer.assign([TopicPartition("odd", 0, 50)])
        message = consumer.poll(TIMEOUT_S)
        assert message is not None
        assert message.offset() == 50
        consumer.close()


def test_where_it_lies_already_a_partition_does_not_move(
    broker: barnabas.Broker, dirs: list[Path]
) -> None:
    place(broker, "t", dirs[1])
    assert alter(broker, "t", dirs[1]) == 0
    found = describe(broker, "t")
    assert found.keys() == {"b"}
    assert not list(dirs[1].glob("t-0.*"))


def test_each_directory_is_described_with_the_sizes_of_its_volume(tmp_path: Path) -> None:
    elsewhere = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(dir=elsewhere) as other,
        barnabas.Broker(config={"log.dirs": f"{tmp_path},{other}"}) as broker,
        WireClient(broker.bootstrap_servers) as client,
    ):

        def sizes() -> list[tuple[int, int]]:
            volumes = [os.statvfs(path) for path in (str(tmp_path), other)]
            return [(v.f_blocks * v.f_frsize, v.f_bavail * v.f_frsize) for v in volumes]

        def are_told() -> bool:
            """False when others write to the volumes meanwhile."""
            before = sizes()
            found = client.ask("DescribeLogDirs", 4, topics=None).results
            told = {result.log_dir: (result.total_bytes, result.usable_bytes) for result in found}
            return before == sizes() == [told[str(tmp_path)], told[other]]

        await_true(are_told)


def test_an_empty_partition_moves(broker: barnabas.Broker, dirs: list[Path]) -> None:
    place(broker, "t", dirs[0])
    assert alter(broker, "t", dirs[1]) == 0
    await_home(broker, "t", dirs[1])
    produce(broker, "t", 3)
    assert read(broker, "t", 3) == [(0, 0), (1, 1), (2, 2)]


def test_a_move_tells_what_it_lacks_changes_its_target_and_is_cancelled(
    slow: barnabas.Broker, dirs: list[Path]
) -> None:
    place(slow, "t", dirs[0])
    produce(slow, "t", 3000)
    for target, other in ((dirs[1], dirs[2]), (dirs[2], dirs[1])):
        assert alter(slow, "t", target) == 0
        found = describe(slow, "t")
        assert found.keys() == {"a", target.name}
        assert found[target.name].is_future_key
        assert 0 < found[target.name].offset_lag <= 3000
        assert found[target.name].partition_size < found["a"].partition_size
        assert not found["a"].is_future_key
        assert not list(other.glob("t-0.*-future"))
    assert alter(slow, "t", dirs[0]) == 0
    assert describe(slow, "t").keys() == {"a"}
    for path in dirs:
        assert not list(path.glob("t-0.*-future"))
    assert read(slow, "t", 3000) == [(n, n) for n in range(3000)]


def test_a_topic_is_deleted_while_it_moves(slow: barnabas.Broker, dirs: list[Path]) -> None:
    place(slow, "t", dirs[0])
    produce(slow, "t", 3000)
    assert alter(slow, "t", dirs[1]) == 0
    slow.delete_topic("t")
    slow.create_topic("t")
    produce(slow, "t", 1)
    assert read(slow, "t", 1) == [(0, 0)]
    for path in dirs:
        await_gone(path, "t-0.*")


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_a_move_goes_on_after_a_restart(start: Any, dirs: list[Path], policy: str) -> None:
    with start(**{RATE: "100000"}) as broker:
        place(broker, "t", dirs[0], cleanup_policy=policy)
        produce(broker, "t", 3000)
        assert alter(broker, "t", dirs[1]) == 0
        await_true(
            lambda: "b" in describe(broker, "t") and describe(broker, "t")["b"].partition_size > 0
        )
    assert list(dirs[1].glob("t-0.*-future"))
    with start() as broker:
        await_home(broker, "t", dirs[1])
        assert homes(dirs, "t") == {"t-0": "b"}
        assert read(broker, "t", 3000) == [(n, n) for n in range(3000)]


def test_deleted_records_stay_deleted_after_a_move(start: Any, dirs: list[Path]) -> None:
    with start() as broker:
        place(broker, "t", dirs[0])
        produce(broker, "t", 2000)
        with WireClient(broker.bootstrap_servers) as client:
            asked = [{"name": "t", "partitions": [{"partition_index": 0, "offset": 1234}]}]
            client.ask("DeleteRecords", 2, topics=asked, timeout=10_000)
        assert alter(broker, "t", dirs[1]) == 0
        await_home(broker, "t", dirs[1])
        assert log_start(broker) == 1234
    with start() as broker:
        assert log_start(broker) == 1234


def test_a_compacted_partition_moves_as_it_is_and_is_compacted_there(
    start: Any, dirs: list[Path]
) -> None:
    with start(log_cleaner_backoff_ms="100") as broker:
        place(
            broker,
            "t",
            dirs[0],
            cleanup_policy="compact",
            internal_segment_bytes="50000",
            min_cleanable_dirty_ratio="0.01",
        )
        produce(broker, "t", 1000, keys=10)
        await_true(lambda: cleaned(dirs[0]) > 800)
        assert alter(broker, "t", dirs[1]) == 0
        await_home(broker, "t", dirs[1])
        assert cleaned(dirs[1]) > 800
        left = read(broker, "t", 1000)
        assert len(left) < 300
        assert all(offset == number for offset, number in left)
        assert left[-1] == (999, 999)
        produce(broker, "t", 1000, 1000, keys=10)
        await_true(lambda: cleaned(dirs[1]) > 1800)
        assert read(broker, "t", 2000)[-1] == (1999, 1999)


def cleaned(directory: Path) -> int:
    """Up to where `t` is compacted, as the directory's checkpoint says."""
    try:
        lines = checkpoint(directory, "cleaner")
    except FileNotFoundError:
        return 0
    return max((int(line.split()[2]) for line in lines if line.startswith("t ")), default=0)


def log_start(broker: barnabas.Broker) -> int:
    with WireClient(broker.bootstrap_servers) as client:
        partition = {"partition_index": 0, "timestamp": -2, "current_leader_epoch": -1}
        asked = [{"name": "t", "partitions": [partition]}]
        (topic,) = client.ask("ListOffsets", 7, replica_id=-1, topics=asked).topics
    return int(topic.partitions[0].offset)
