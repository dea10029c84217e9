"""A torn tail of every length there is, in a small log, without a broker."""

import itertools
import shutil
from pathlib import Path

import pytest

from barnabas._records import CODEC_NAMES
from barnabas.log import Log
from faults.segments import BatchAt, batches_of

SEGMENT = f"{0:020d}.log"
RECORDS_PER_BATCH = 3


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a log that was not closed: a batch of each codec, and their indexes."""
    directory: Path = tmp_path_factory.mktemp("tails")
    with Log(directory / "orders-0", config={"index.interval.bytes": 100}) as log:
        for number, codec in enumerate(CODEC_NAMES):
            values = [(b"k%d" % i, b"batch %d " % number * 5) for i in range(RECORDS_PER_BATCH)]
            log.append(values, codec=codec, timestamp_ms=1_700_000_000_000 + number)
        shutil.copytree(directory / "orders-0", directory / "crashed" / "orders-0")
    return directory / "crashed" / "orders-0"


def damaged(data: bytes, length: int, tail: str) -> bytes:
    """The segment's bytes with all behind `length` gone, or zeroed, or zeroed and more of it."""
    zeros = {"cut": 0, "zeroed": len(data) - length, "grown": len(data) - length + 4096}
    return data[:length] + bytes(zeros[tail])


def intact(before: bytes, after: bytes, batches: list[BatchAt]) -> int:
    """How many batches from the first on the damage left as they were."""
    whole = (after[b.position : b.end] == before[b.position : b.end] for b in batches)
    return sum(itertools.takewhile(bool, whole))


@pytest.mark.parametrize("tail", ["cut", "zeroed", "grown"])
def test_a_tail_of_any_length_is_cut_at_the_first_damaged_batch(
    crashed: Path, tmp_path: Path, tail: str
) -> None:
    data = (crashed / SEGMENT).read_bytes()
    batches = batches_of(crashed / SEGMENT)
    assert len(batches) == len(CODEC_NAMES)
    data = data[: batches[-1].end]
    with Log(crashed, read_only=True) as log:
        offsets = [record.offset for record in log]
    for length in range(len(data) + 1):
        directory = tmp_path / f"orders-{length}"
        shutil.copytree(crashed, directory)
        torn = damaged(data, length, tail)
        (directory / SEGMENT).write_bytes(torn)
        end = intact(data, torn, batches) * RECORDS_PER_BATCH
        with Log(directory) as log:
            assert [record.offset for record in log] == offsets[:end], length
            assert log.recovery.bytes_set_aside == 0, length
            assert log.append([(None, b"after")]) == end, length
        shutil.rmtree(directory)
