"""Power cuts of a whole broker: disks are made that a cut may leave, and each is opened."""

import pickle
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import barnabas
from barnabas.metadata.records import DELETED_TOPICS_PREFIX, TOPICS_PREFIX, Tombstone, TopicRecord
from barnabas.metadata.sqlite import FILE_NAME, SqliteStore
from barnabas.metadata.store import Delete, Put
from faults.power.disk import Disk, Image, read_image, write_image
from faults.power.life import Life, World, check, lives, record
from faults.power.trace import Kind, read_trace, strace_command
from faults.power.workload import Setting
from peers.forks import Ended, ForkServer

S_PER_IMAGE = 3  # several times what one takes
IMAGES_OF_LIARS = 20
IMAGES_OF_A_LOG = 30
IMAGES_A_CHANGE = 30
WRITE_LOG = """
import os, sys
import barnabas
log = barnabas.Log(sys.argv[1])
log.append([(None, b"value")])
assert log.flush() == 1
os._exit(0)
"""
START = """
import os, sys
import barnabas
barnabas.Broker(sys.argv[1])
os._exit(0)
"""
IGNORED: dict[str, Callable[[str], bool]] = {
    "segments": lambda path: path.endswith(".log"),
    "the store's log": lambda path: path.endswith("-wal"),
    "directories of partitions": lambda path: re.search(r"/\w+-\d$", path) is not None,
}
COMPLAINT = re.compile(r"(AssertionError|TimeoutError|barnabas\.errors\.(StartError|KafkaError))\b")


def checked(forks: ForkServer, life: Life, seed: str, images: int, kept: Path) -> Ended:
    """How the check of so many disks has ended; what failed is in `kept`."""
    kept.mkdir(parents=True)
    path = kept / "life"
    path.write_bytes(pickle.dumps(life))
    arguments = (str(path), seed, str(images), str(kept / "image"))
    ended = forks.run(check, *arguments, timeout_s=60 + images * S_PER_IMAGE)
    if ended.returncode == 0:
        path.unlink()
    return ended


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_what_was_acknowledged_is_there_and_nothing_else_than_what_was_sent(
    forks: ForkServer,
    seed: int,
    pytestconfig: pytest.Config,
    tmp_path: Path,
    measured: Callable[[str], None],
) -> None:
    images = int(pytestconfig.getoption("--images"))
    events = records = 0
    for number, (life, life_seed, share) in enumerate(lives(tmp_path, seed, images)):
        kept = tmp_path / f"checked-{number}"
        ended = checked(forks, life, life_seed, share, kept)
        assert ended.returncode == 0, f"--seed {seed}, {kept}: {ended.output[-8000:]}"
        events += len(life.events)
        records += len(life.journal.records)
    measured(f"{images} disks of {events:,} events, {records:,} records; --seed {seed}")


@pytest.mark.slow
def test_a_disk_that_ignores_fsyncs_is_noticed(
    forks: ForkServer, seed: int, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    """The check can fail."""
    life = record(tmp_path / "server", f"{seed}", World(Setting()))
    events = life.events
    for what, is_ignored in IGNORED.items():
        nodes = {node for node, path in life.trace.paths.items() if is_ignored(path)}
        life.trace.events = [
            event
            for event in events
            if event.call.kind is not Kind.SYNC or event.call.node not in nodes
        ]
        ended = checked(forks, life, f"{seed}", IMAGES_OF_LIARS, tmp_path / what)
        complaint = ended.output.splitlines()[-1]
        measured(f"{what}: {complaint}")
        assert ended.returncode == 1, what
        assert COMPLAINT.match(complaint), complaint


def test_a_flushed_log_is_there_with_the_directories_that_were_made_for_it(tmp_path: Path) -> None:
    root, trace_path, image = tmp_path / "root", tmp_path / "trace", tmp_path / "image"
    root.mkdir()
    log = [sys.executable, "-c", WRITE_LOG, str(root / "new" / "deeper" / "log-0")]
    subprocess.run([*strace_command(trace_path), *log], check=True)
    trace = read_trace(trace_path, root)
    disk = Disk(trace, {})
    for event in trace.events:
        disk.take(event)
    for number in range(IMAGES_OF_A_LOG):
        write_image(disk.after_cut(random.Random(number)), image)
        with barnabas.Log(image / "new" / "deeper" / "log-0") as left:
            assert [record.value for record in left] == [b"value"]


def test_a_deletion_that_a_start_finishes_is_not_undone(tmp_path: Path) -> None:
    """By a cut after the store has forgotten it: the directory would be nobody's."""
    root, trace_path = tmp_path / "root", tmp_path / "trace"
    with barnabas.Broker(root / "data") as broker:
        broker.create_topic("gone")
    _delete_in_store(root / "data", "gone")
    before = read_image(root)
    start = [sys.executable, "-c", START, str(root / "data")]
    subprocess.run([*strace_command(trace_path), *start], check=True)
    trace = read_trace(trace_path, root, [*before])
    disk = Disk(trace, before)
    back = 0
    for position, event in enumerate(trace.events):
        disk.take(event)
        for number in range(IMAGES_A_CHANGE):
            image = disk.after_cut(random.Random(f"{position} {number}"))
            if "data/gone-0/" in image:
                back += 1
                assert _deleted(image, tmp_path / "image"), f"gone-0 is back behind {event.call}"
    assert back > 0


def _delete_in_store(data_dir: Path, topic: str) -> None:
    """As a broker does that is killed before it gets to the directories."""
    store = SqliteStore(data_dir / FILE_NAME)
    entry = store.get(TOPICS_PREFIX + topic)
    assert entry is not None
    record = TopicRecord.decode(topic, entry.value)
    tombstone = Tombstone(topic, record.topic_id, len(record.partitions))
    store.commit([Delete(record.path), Put(tombstone.path, tombstone.encode())])
    store.close()


def _deleted(image: Image, scratch: Path) -> set[str]:
    """The topics that the store of a disk is still to delete."""
    write_image(image, scratch)
    store = SqliteStore(scratch / "data" / FILE_NAME)
    stones = store.list(DELETED_TOPICS_PREFIX).items()
    store.close()
    return {Tombstone.decode(path, entry.value).name for path, entry in stones}
