"""Broker.fork(): a second broker with the same state, and the two ways that they go from there."""

import errno
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import barnabas
from barnabas.embed import ConfigValue
from barnabas.testing import faults

SMALL = {"internal.segment.bytes": 4_000, "file.delete.delay.ms": 0}
BIG_BATCH = [bytes([n]) * 1_000 for n in range(100)]


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[barnabas.Broker]:
    with barnabas.Broker(tmp_path / "parent") as broker:
        yield broker


def fill(broker: barnabas.Broker, topic: str, values: list[bytes]) -> None:
    with broker.producer() as producer:
        for value in values:
            producer.send(topic, value, key=value[:1]).result(20)


def read(broker: barnabas.Broker, topic: str, **settings: str) -> list[bytes | None]:
    consumer = broker.consumer([topic], auto_offset_reset="earliest", timeout=0, **settings)
    with consumer:
        return [value for batch in consumer for value in batch.values]


def read_committed(broker: barnabas.Broker, topic: str, count: int) -> list[bytes | None]:
    """What there is, once there are `count`: markers follow the answer to a commit."""
    while len(values := read(broker, topic, isolation_level="read_committed")) < count:
        time.sleep(0.01)
    return values


def files_under(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*")}


def test_a_fork_has_everything_and_then_goes_its_own_way(parent: barnabas.Broker) -> None:
    parent.create_topic("t", config=SMALL)
    fill(parent, "t", BIG_BATCH)
    assert parent.services.core.partition_info("t", 0).segment_count > 10
    with parent.fork() as fork:
        assert fork.bootstrap_servers != parent.bootstrap_servers
        assert fork.services.identity.cluster_id == parent.services.identity.cluster_id
        assert fork.services.catalog.topic("t") == parent.services.catalog.topic("t")
        assert read(fork, "t") == BIG_BATCH
        fill(fork, "t", [b"fork"])
        fill(parent, "t", [b"parent", b"again"])
        fork.create_topic("only-here")
        parent.delete_topic("t")
        parent.create_topic("t")
        assert read(fork, "t") == [*BIG_BATCH, b"fork"]
        assert read(parent, "t") == []
        with pytest.raises(barnabas.KafkaError):
            parent.delete_topic("only-here")
        fork.delete_topic("t")
    assert not fork.data_dir.exists()


def test_a_fork_outlives_what_it_comes_from() -> None:
    with barnabas.Broker() as first:
        fill(first, "t", BIG_BATCH)
        second = first.fork()
        fill(first, "t", [b"too late"])
    with second:
        fill(second, "t", [b"second"])
        third = second.fork()
    with third:
        assert read(third, "t") == [*BIG_BATCH, b"second"]
        fill(third, "t", [b"third"])
        assert read(third, "t") == [*BIG_BATCH, b"second", b"third"]


def test_what_is_large_is_linked_and_not_copied(parent: barnabas.Broker) -> None:
    parent.create_topic("t")
    values = [b"x" * 500_000 for _ in range(8)]
    fill(parent, "t", values)
    log = parent.data_dir / "t-0" / f"{0:020}.log"
    with parent.fork() as fork:
        twin = fork.data_dir / "t-0" / log.name
        assert os.path.samefile(log, twin)
        fill(parent, "t", [b"parent"])
        fill(fork, "t", [b"fork"])
        assert read(parent, "t") == [*values, b"parent"]
        assert read(fork, "t") == [*values, b"fork"]
    assert log.stat().st_nlink == 1


def test_a_small_active_segment_stays_the_parents_active_one(parent: barnabas.Broker) -> None:
    fill(parent, "t", [b"small"])
    before = files_under(parent.data_dir / "t-0")
    with parent.fork():
        assert files_under(parent.data_dir / "t-0") == before


def test_compaction_of_either_leaves_the_other_alone(parent: barnabas.Broker) -> None:
    compacted: dict[str, ConfigValue] = {
        **SMALL,
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": 0.01,
        "min.compaction.lag.ms": 60_000,
    }
    with barnabas.Broker(
        config={"log.cleaner.backoff.ms": 60_000}, clock=barnabas.VirtualClock()
    ) as first:
        first.create_topic("t", config=compacted)
        fill(first, "t", [b"k" + bytes(999)] * 30)
        with first.fork() as second:
            first.clock.advance(minutes=2)
            assert len(read(first, "t")) < 30
            assert len(read(second, "t")) == 30
            fill(second, "t", [b"k" + bytes(999)] * 5)
            compacted_once = read(first, "t")
            second.clock.advance(minutes=2)
            assert len(read(second, "t")) < 35
            assert read(first, "t") == compacted_once
            with first.fork() as third:
                assert read(third, "t") == compacted_once
                name = ("t", 0)
                (cleaned,) = {
                    log.services.core.partition_info(*name).log_end_offset for log in (first, third)
                }
                assert cleaned == 30


def test_deleted_records_stay_deleted(parent: barnabas.Broker) -> None:
    parent.create_topic("t", config=SMALL)
    fill(parent, "t", BIG_BATCH)
    parent.services.core.delete_records([("t", 0, 50)])
    with parent.fork() as fork:
        assert read(fork, "t") == BIG_BATCH[50:]
        assert fork.services.core.partition_info("t", 0).log_start_offset == 50


def test_settings_of_topics_and_brokers_are_in_the_fork(tmp_path: Path) -> None:
    config: dict[str, ConfigValue] = {"num.partitions": 3, "listeners": "PLAINTEXT://[::1]:0"}
    with barnabas.Broker(tmp_path / "d", config=config) as parent:
        parent.create_topic("t", partitions=2, config={"retention.ms": 5_000})
        with parent.fork(config={"log.retention.hours": 7}) as fork:
            assert fork.bootstrap_servers.startswith("[::1]:")
            topic = fork.services.catalog.topic("t")
            assert topic is not None
            assert topic.config == {"retention.ms": "5000"}
            assert fork.services.config.integer("num.partitions") == 3
            assert fork.services.config.integer("log.retention.hours") == 7
            assert parent.services.config.integer("log.retention.hours") != 7


def test_committed_offsets_are_in_the_fork_and_members_are_not(parent: barnabas.Broker) -> None:
    fill(parent, "t", BIG_BATCH)
    reader = parent.consumer(["t"], group="g", auto_offset_reset="earliest", timeout=1)
    assert reader.poll(20) is not None
    reader.commit()
    position = reader.position("t", 0)
    with parent.fork() as fork:
        with fork.consumer(["t"], group="g", timeout=1) as again:
            seen = [value for batch in again for value in batch.values]
        assert seen == BIG_BATCH[position:]
        assert reader.assignment() == [("t", 0)]
    reader.close()


@pytest.mark.parametrize("is_commit", [True, False])
def test_an_open_transaction_is_ended_in_each_by_itself(
    parent: barnabas.Broker, is_commit: bool
) -> None:
    fill(parent, "t", [b"before"])
    producer = parent.producer(transactional_id="x")
    with suppress(InterruptedError), producer.transaction():
        producer.send("t", b"aborted").result(20)
        raise InterruptedError
    with producer.transaction():
        producer.send("t", b"committed").result(20)
    transaction = producer.transaction()
    transaction.__enter__()
    producer.send("t", b"open").result(20)
    with parent.fork() as fork:
        assert read_committed(fork, "t", 2) == [b"before", b"committed"]
        # As after a crash of the application: the next of this id ends what was open.
        with fork.producer(transactional_id="x") as next_one, next_one.transaction():
            next_one.send("t", b"fork").result(20)
        kept = [b"before", b"committed"]
        assert read_committed(fork, "t", 3) == [*kept, b"fork"]
        if is_commit:
            transaction.__exit__(None, None, None)
        else:
            transaction.__exit__(InterruptedError, InterruptedError(), None)
        expected = [*kept, b"open"] if is_commit else kept
        assert read_committed(parent, "t", len(expected)) == expected
        assert read_committed(fork, "t", 3) == [*kept, b"fork"]


def test_the_virtual_time_goes_on_in_each_by_itself() -> None:
    start = datetime(2030, 1, 1, tzinfo=UTC)
    with barnabas.Broker(clock=barnabas.VirtualClock(start)) as parent:
        parent.create_topic("t", config={"retention.ms": 3_600_000, "file.delete.delay.ms": 0})
        fill(parent, "t", [b"old"])
        parent.clock.advance(minutes=10)
        with parent.fork() as fork:
            assert fork.clock.now() == start + timedelta(minutes=10)
            fork.clock.advance(hours=2)
            assert parent.clock.now() == start + timedelta(minutes=10)
            assert read(fork, "t") == []
            assert read(parent, "t") == [b"old"]
        parent.clock.advance(hours=2)
        assert read(parent, "t") == []


def test_faults_and_hooks_are_not_inherited(parent: barnabas.Broker) -> None:
    seen: list[bytes | None] = []
    parent.create_topic("t")
    with (
        parent.on_append("t", lambda batch: seen.extend(batch.values)) as hook,
        parent.faults.fail("Produce", error="NOT_LEADER_OR_FOLLOWER") as fault,
        parent.fork() as fork,
    ):
        fill(fork, "t", [b"fork"])
        fill(parent, "t", [b"parent"])
        hook.wait(20)
        assert seen == [b"parent"]
        assert fault.matched == 0


def test_a_fork_can_be_kept(tmp_path: Path, parent: barnabas.Broker) -> None:
    fill(parent, "t", BIG_BATCH)
    parent.fork(tmp_path / "kept").close()
    fill(parent, "t", [b"parent"])
    with barnabas.Broker(tmp_path / "kept") as again:
        assert read(again, "t") == BIG_BATCH


def test_several_log_directories(tmp_path: Path) -> None:
    dirs = ",".join(str(tmp_path / name) for name in "ab")
    with barnabas.Broker(config={"log.dirs": dirs}) as parent:
        parent.create_topic("t", partitions=4)
        with parent.producer() as producer:
            for partition in range(4):
                producer.send("t", b"%d" % partition, partition=partition).result(20)
        with parent.fork() as fork:
            assert sorted(map(bytes, filter(None, read(fork, "t")))) == [b"0", b"1", b"2", b"3"]
            places = {info.directory for info in fork.services.core.partition_infos()}
            assert len(places) == 2
        assert not any(Path(place).exists() for place in places)
        with pytest.raises(barnabas.ConfigError, match="2 log directories"):
            parent.fork(tmp_path / "one")
        wanted = [tmp_path / "c", tmp_path / "d"]
        with parent.fork(config={"log.dirs": ",".join(map(str, wanted))}) as fork:
            assert fork.data_dir == wanted[0]
            assert all(any(path.glob("t-*")) for path in wanted)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second file system")
def test_a_directory_on_another_file_system_is_filled_by_copying(parent: barnabas.Broker) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == os.stat(parent.data_dir).st_dev:
            pytest.skip("it is the same file system")
        parent.create_topic("t", config=SMALL)
        fill(parent, "t", BIG_BATCH)
        with parent.fork(elsewhere) as fork:
            fill(fork, "t", [b"fork"])
            fill(parent, "t", [b"parent"])
            assert read(fork, "t") == [*BIG_BATCH, b"fork"]
            assert read(parent, "t") == [*BIG_BATCH, b"parent"]


def test_a_closed_broker_has_no_forks() -> None:
    broker = barnabas.Broker()
    broker.close()
    with pytest.raises(barnabas.BrokerClosed):
        broker.fork()


def test_what_cannot_be_a_forks_directory_is_refused(
    tmp_path: Path, parent: barnabas.Broker
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(barnabas.StartError, match="not an empty directory"):
        parent.fork(tmp_path / "full")
    with pytest.raises(barnabas.StartError, match="not an empty directory"):
        parent.fork(parent.data_dir)
    with pytest.raises(barnabas.StartError, match="not an empty directory"):
        parent.fork(tmp_path / "full" / "file")
    with pytest.raises(barnabas.ConfigError, match="give one of them"):
        parent.fork(tmp_path / "new", config={"log.dirs": "x"})
    with pytest.raises(barnabas.ConfigError, match="nope"):
        parent.fork(tmp_path / "new", config={"nope": 1})
    with pytest.raises(barnabas.StartError, match=r"127\.0\.0\.1"):
        parent.fork(tmp_path / "new", port=int(parent.bootstrap_servers.rpartition(":")[2]))
    with pytest.raises(barnabas.ConfigError, match=r"log\.dirs"):
        parent.fork(tmp_path / "new" / "a,")
    inside = [parent.data_dir / "fork", parent.data_dir / "t-0" / "deep" / "fork"]
    for target in inside:
        with pytest.raises(barnabas.StartError, match="broker's own"):
            parent.fork(target)
        assert not target.parent.joinpath("fork").exists()
    assert not (parent.data_dir / "t-0").exists()
    assert files_under(tmp_path / "full") == {"file"}
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["a,b", "a ", " a"])
def test_a_fork_is_where_it_is_asked_for(
    tmp_path: Path, parent: barnabas.Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(parent, "t", [b"one"])
    with parent.fork(tmp_path / name) as fork, fork.fork(str(tmp_path / (name + "2"))) as second:
        assert fork.data_dir == tmp_path / name
        assert second.data_dir == tmp_path / (name + "2")
        assert read(fork, "t") == read(second, "t") == [b"one"]
    with barnabas.Broker(tmp_path / name) as again:
        assert read(again, "t") == [b"one"]
    assert {path.name for path in tmp_path.iterdir()} == {"parent", name, name + "2"}
    temporary = tmp_path / name / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with parent.fork() as fork:
        assert fork.data_dir.parent == temporary
        assert read(fork, "t") == [b"one"]
    assert not any(temporary.iterdir())


def test_log_dirs_of_a_fork_are_different_directories(tmp_path: Path) -> None:
    dirs = ",".join(str(tmp_path / name) for name in "ab")
    with barnabas.Broker(config={"log.dirs": dirs}) as parent:
        for blank in ("", " "):
            with pytest.raises(
                barnabas.ConfigError, match=r"log\.dirs: There must be one at least"
            ):
                parent.fork(config={"log.dirs": blank})
        for second in ("new/../new/c", "new/c/d"):
            with pytest.raises(barnabas.ConfigError, match=r"log\.dirs"):
                parent.fork(config={"log.dirs": f"{tmp_path}/new/c,{tmp_path}/{second}"})
            assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
        temporary = tmp_path / "temporary, too"
        temporary.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(temporary))
            fork = parent.fork()
        with fork:
            assert len(list(temporary.glob("*/meta.properties"))) == 2
        assert not any(temporary.iterdir())


@pytest.mark.parametrize("call", ["make_directory", "write", "rename", "open"])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_fork_that_fails_leaves_nothing_behind(
    tmp_path: Path, parent: barnabas.Broker, call: faults.Call, is_there: bool
) -> None:
    fill(parent, "t", BIG_BATCH)
    target = tmp_path / "target"
    if is_there:
        target.mkdir()
    with (
        faults.fail(call, f"{target}/*", error=errno.ENOSPC, times=1) as fault,
        pytest.raises(barnabas.StartError, match="No space left"),
    ):
        parent.fork(target)
    assert fault.struck == 1
    assert target.exists() == is_there
    assert not is_there or not any(target.iterdir())
    fill(parent, "t", [b"goes on"])
    with parent.fork(target) as fork:
        assert read(fork, "t") == [*BIG_BATCH, b"goes on"]


def test_a_broker_with_an_offline_directory_is_not_forked(tmp_path: Path) -> None:
    dirs = ",".join(str(tmp_path / name) for name in "ab")
    config: dict[str, ConfigValue] = {"log.dirs": dirs, "log.flush.interval.messages": 1}
    parent = barnabas.Broker(config=config)
    parent.create_topic("t", partitions=2)
    with parent.producer() as producer, faults.fail("sync", f"{tmp_path}/b/*"):
        for partition in range(2):
            sent = producer.send("t", b"x", partition=partition)
            try:
                sent.result(20)
            except barnabas.KafkaError:
                failed = partition
    assert failed in (0, 1)
    with pytest.raises(barnabas.StartError, match=rf"{tmp_path}/b is offline"):
        parent.fork()
    with pytest.raises(barnabas.StartError):
        parent.fork(config={"log.dirs": f"{tmp_path}/c,{tmp_path}/d"})
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "d").exists()
    with pytest.raises(barnabas.BarnabasError, match="not stopped"):
        parent.close()


def test_others_go_on_while_a_fork_starts(tmp_path: Path, parent: barnabas.Broker) -> None:
    fill(parent, "t", BIG_BATCH)
    forks: list[barnabas.Broker] = []
    target = tmp_path / "target"
    with faults.delay("open", f"{target}/.lock", seconds=3) as fault:
        thread = threading.Thread(target=lambda: forks.append(parent.fork(target)))
        thread.start()
        while not fault.struck:
            time.sleep(0.01)
        parent.create_topic("meanwhile")
        assert parent.producer(linger_ms=0).send("meanwhile", b"v").result(20).offset == 0
        assert not forks, "the fork is not there yet"
        thread.join(30)
    with forks[0] as fork:
        assert read(fork, "t") == BIG_BATCH
        assert read(fork, "meanwhile") == []
