"""A power cut while a partition moves: the copy was fsynced, the log's last batches were not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import barnabas
from barnabas._records import iter_batches
from faults.rows import Row
from unit.handlers.test_log_dirs import (
    RATE,
    TIMEOUT_S,
    alter,
    await_home,
    await_true,
    place,
)

LOG = f"{0:020d}.log"
SENT, LOST, SENT_SINCE = 40, 10, 15


def start(dirs: list[Path], bytes_per_second: int) -> barnabas.Broker:
    return barnabas.Broker(config={"log.dirs": ",".join(map(str, dirs)), RATE: bytes_per_second})


def send(broker: barnabas.Broker, what: str, count: int) -> list[bytes]:
    """Each in a batch of its own."""
    values = [f"{what} {number} ".encode().ljust(2_000, b"x") for number in range(count)]
    with broker.producer(linger_ms=0) as producer:
        for value in values:
            producer.send("t", value).result(TIMEOUT_S)
    return values


def read(broker: barnabas.Broker) -> list[bytes | None]:
    with broker.consumer(["t"], auto_offset_reset="earliest", timeout=0) as consumer:
        return [value for batch in consumer for value in batch.values]


def cut_power(home: Path, copy: Path) -> None:
    """What may be left of a move then, and of a broker that was killed by it."""
    content = (home / "t-0" / LOG).read_bytes()
    (copy / LOG).write_bytes(content)
    kept = list(iter_batches(content))[:-LOST]
    with (home / "t-0" / LOG).open("rb+") as log:
        log.truncate(sum(batch.size_bytes for batch in kept))
    for directory in (home, copy.parent):
        (directory / ".kafka_cleanshutdown").unlink()
        for checkpoint in directory.glob("recovery-point-offset-checkpoint*"):
            checkpoint.unlink()
    for partition in (home / "t-0", copy):
        for index in (*partition.glob("*.index"), *partition.glob("*.timeindex")):
            index.unlink()


@pytest.mark.parametrize("is_away", [False, True])
def test_what_was_written_since_is_not_taken_for_what_the_copy_had(
    tmp_path: Path, is_away: bool, count: Callable[..., None]
) -> None:
    """`is_away`: the disk with the copy is not there at the first start."""
    dirs = [tmp_path / name for name in "ab"]
    with start(dirs, bytes_per_second=2_000) as broker:
        place(broker, "t", dirs[0])
        sent = send(broker, "before", SENT)
        assert alter(broker, "t", dirs[1]) == 0
        await_true(lambda: any(dirs[1].glob("t-0.*-future")))
    (copy,) = dirs[1].glob("t-0.*-future")
    cut_power(dirs[0], copy)
    expected = sent[:-LOST]
    if is_away:
        disk = dirs[1].rename(tmp_path / "disk")
        with start(dirs, bytes_per_second=10**9) as broker:
            expected += send(broker, "since", SENT_SINCE)
        shutil.rmtree(dirs[1], ignore_errors=True)
        disk.rename(dirs[1])
    with start(dirs, bytes_per_second=10**9) as broker:
        expected += send(broker, "in the end", SENT_SINCE)
        await_home(broker, "t", dirs[1])
        assert read(broker) == expected
    count(Row.POWER_LOSS)
