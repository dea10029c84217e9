"""Limits that the kernel sets: a full disk, a quota, a largest file. None costs what is there.

Quotas need a file system that has them: btrfs on a loop device, or tmpfs where the kernel was built
with CONFIG_TMPFS_QUOTA. The broker is started without CAP_SYS_RESOURCE, which no quota binds.
"""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from clients.contract import create_topic
from faults.rows import Row
from faults.segments import batches_of
from faults.soak.small_disk import SmallDisk
from peers.servers import BarnabasServer

TIMEOUT_S = 30
STORAGE_ERROR = KafkaError.KAFKA_STORAGE_ERROR
GROUP = 4242
FILLER = "filler"
MIB = 1 << 20
QUOTA = 48 * MIB
LEFT = 12 * MIB  # of it, or of a disk, for the broker
LARGEST_FILE = 8 * MIB
VALUE_BYTES = 100_000
REFUSALS = 5


class LimitedServer(BarnabasServer):
    """Started by another program, which limits it."""

    def __init__(self, directory: Path, data_dir: Path, started_by: Sequence[str]) -> None:
        super().__init__(directory, data_dir=data_dir)
        self._started_by = started_by

    def _command(self) -> list[str]:
        return [*self._started_by, *super()._command()]


@dataclass(frozen=True)
class Limit:
    directory: Path
    error: int
    lift: Callable[[LimitedServer], object]
    started_by: Sequence[str] = ()


Mounted = tuple[Path, Callable[[], object]]
"""A directory with a quota, and what ends that, or gives room back."""


def _run(*command: object) -> None:
    subprocess.run([*map(str, command)], check=True, capture_output=True, timeout=TIMEOUT_S)


@contextmanager
def _btrfs(root: Path) -> Iterator[Mounted]:
    """To give room back needs some here: a truncation may fail, too, until the quota is lifted."""
    image, disk = root / "image", root / "disk"
    with image.open("wb") as file:
        file.truncate(256 * MIB)
    disk.mkdir()
    _run("mkfs.btrfs", "--quiet", image)
    _run("mount", "-o", "loop", image, disk)
    try:
        _run("btrfs", "quota", "enable", disk)
        _run("btrfs", "subvolume", "create", disk / "limited")
        _run("btrfs", "qgroup", "limit", QUOTA, disk / "limited")

        def lift() -> None:
            _run("btrfs", "qgroup", "limit", "none", disk / "limited")

        yield disk / "limited", lift
    finally:
        _run("umount", disk)


@contextmanager
def _tmpfs(root: Path) -> Iterator[Mounted]:
    disk = root / "quota"
    disk.mkdir()
    options = f"size={4 * QUOTA},grpquota,grpquota_block_hardlimit={QUOTA}"
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", disk)
    try:
        yield disk, (disk / FILLER).unlink
    finally:
        _run("umount", disk)


FILE_SYSTEMS: list[Callable[[Path], AbstractContextManager[Mounted]]] = [_btrfs, _tmpfs]


@contextmanager
def quota(root: Path) -> Iterator[Limit]:
    """Most of it is used by somebody else, until it is lifted."""
    reasons = []
    with ExitStack() as stack:
        for mounted in FILE_SYSTEMS:
            try:
                directory, lift = stack.enter_context(mounted(root))
                break
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", None) or b""
                reasons.append(said.decode().strip() or str(error))
        else:
            pytest.skip(f"no file system with quotas: {'; '.join(reasons)}")
        filler = directory / FILLER
        filler.write_bytes(os.urandom(QUOTA - LEFT))
        os.chown(filler, -1, GROUP)
        _run("sync", "-f", directory)
        no_power = "--bounding-set=-sys_resource"
        started_by = ["setpriv", f"--regid={GROUP}", "--clear-groups", no_power]
        yield Limit(directory, errno.EDQUOT, lambda _: lift(), started_by)


@contextmanager
def full_disk(root: Path) -> Iterator[Limit]:
    disk = SmallDisk(root / "disk")
    disk.mount()
    try:
        disk.fill(LEFT)
        yield Limit(disk.path, errno.ENOSPC, lambda _: disk.free())
    finally:
        disk.unmount()


@contextmanager
def largest_file(root: Path) -> Iterator[Limit]:
    def lift(server: LimitedServer) -> None:
        _run("prlimit", f"--pid={server.pid}", "--fsize=unlimited")

    yield Limit(root, errno.EFBIG, lift, ["prlimit", f"--fsize={LARGEST_FILE}:unlimited"])


def error_of_a_write(limit: Limit) -> int:
    """The errno that the system has for others who write there, limited likewise."""
    code = f"""if True:
        import sys
        try:
            with open(sys.argv[1], "wb", buffering=0) as file:
                while True:
                    file.write(bytes({MIB}))
        except OSError as error:
            print(error.errno)
    """
    probe = limit.directory / "probe"
    command = [*limit.started_by, sys.executable, "-c", code, str(probe)]
    said = subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S).stdout
    probe.unlink(missing_ok=True)
    return int(said)


def send(producer: Producer, topic: str, value: bytes) -> int | None:
    """The error, or None: it was acknowledged."""
    outcome: list[int | None] = []

    def on_delivery(error: KafkaError | None, _: object) -> None:
        outcome.append(None if error is None else error.code())

    producer.produce(topic, value, partition=0, on_delivery=on_delivery)
    assert producer.flush(TIMEOUT_S) == 0
    return outcome[0]


def read(server: BarnabasServer, topic: str) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": "g",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "check.crcs": True,
            "fetch.wait.max.ms": 10,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[bytes] = []
    while (message := consumer.poll(TIMEOUT_S)) is not None and message.error() is None:
        found.append(message.value() or b"")
    assert message is not None
    error = message.error()
    assert error is not None
    assert error.code() == KafkaError._PARTITION_EOF
    consumer.close()
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts disks")
@pytest.mark.parametrize("limited", [quota, full_disk, largest_file])
def test_at_a_limit_writes_are_refused_whole_reads_go_on_and_writes_resume(
    tmp_path: Path,
    limited: Callable[[Path], AbstractContextManager[Limit]],
    count: Callable[..., None],
) -> None:
    with (
        limited(tmp_path) as limit,
        LimitedServer(tmp_path / "server", limit.directory / "data", limit.started_by) as server,
    ):
        topic = create_topic(server.bootstrap)
        producer = Producer(
            {"bootstrap.servers": server.bootstrap, "retries": 0, "acks": "all", "linger.ms": 0}
        )
        (segment,) = server.partition_dir(topic, 0).glob("*.log")
        accepted: list[bytes] = []
        refused = 0
        while refused < REFUSALS:
            value = os.urandom(VALUE_BYTES)
            error = send(producer, topic, value)
            if error is None:
                accepted.append(value)
                assert len(accepted) * VALUE_BYTES < QUOTA, "there is no limit"
                continue
            assert error == STORAGE_ERROR
            refused += 1
        assert len(accepted) > 10
        assert error_of_a_write(limit) == limit.error
        assert read(server, topic) == accepted
        assert f"append to {topic}-0: " in server.output()
        assert os.strerror(limit.error) in server.output()
        limit.lift(server)
        for _ in range(10):
            accepted.append(os.urandom(VALUE_BYTES))
            assert send(producer, topic, accepted[-1]) is None
        assert read(server, topic) == accepted
        last = batches_of(segment)[-1]
        assert last.end == segment.stat().st_size, "a part of a batch is left"
        assert last.last_offset == len(accepted) - 1
        server.kill()
        server.start()
        assert read(server, topic) == accepted
        assert "cut" not in server.output()
        server.stop()
    count(Row.NO_ROOM, refused)
