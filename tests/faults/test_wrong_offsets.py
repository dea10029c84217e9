"""A bit that flips where a batch says at which offset it begins, which no CRC covers: once that is
known, no reader is given the batch.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

import barnabas
from faults.rows import Row
from faults.segments import BATCH_HEADER_BYTES, batches_of, flip_bit
from faults.test_compaction import await_true, last_of_each, read_all
from faults.test_compaction_then_delete import (
    NEVER,
    RESTING,
    TIMEOUT_S,
    compact_under_fault,
    filled,
)
from faults.test_file_faults import STORAGE_ERROR
from peers.forks import ForkServer
from peers.servers import BarnabasServer
from unit.wire import WireClient

__all__ = ["compact_under_fault", "filled"]  # a fixture, and what the children run

RECORDS = 40
CORRUPT_MESSAGE = 2
LAST_STEPS = 60  # of a compaction
SEGMENTS = {"internal.segment.bytes": "1000", "index.interval.bytes": "100000"}


def flip(path: Path, position: int) -> None:
    """Moves the batch that begins there 65,536 offsets up, or back again."""
    flip_bit(path, 8 * (position + 5))


def base_offsets(records: bytes) -> list[int]:
    found = []
    while len(records) >= BATCH_HEADER_BYTES:
        found.append(int.from_bytes(records[:8]))
        records = records[12 + int.from_bytes(records[8:12]) :]
    return found


def fetch(client: WireClient, offset: int, topic: str = "t") -> tuple[int, list[int]]:
    """The error, and where the batches begin that came."""
    partition = {
        "partition": 0,
        "current_leader_epoch": -1,
        "fetch_offset": offset,
        "last_fetched_epoch": -1,
        "log_start_offset": -1,
        "partition_max_bytes": 1_000_000,
    }
    answer = client.ask(
        "Fetch",
        12,
        replica_id=-1,
        max_wait=100,
        min_bytes=1,
        max_bytes=10_000_000,
        isolation_level=0,
        session_id=0,
        session_epoch=-1,
        topics=[{"topic": topic, "partitions": [partition]}],
    )
    ((found,),) = (one.partitions for one in answer.responses)
    return int(found.error_code), base_offsets(bytes(found.records or b""))


@pytest.mark.parametrize("found_by", ["scrubber", "reader"])
def test_a_batch_found_out_of_place_is_not_sent_behind_another_one(
    tmp_path: Path, core_log: list[str], count: Callable[..., None], found_by: str
) -> None:
    with barnabas.Broker(tmp_path) as broker:
        broker.create_topic("t", config=SEGMENTS)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "linger.ms": 0})
        for _ in range(RECORDS):
            producer.produce("t", bytes(100), partition=0)
            assert producer.flush(TIMEOUT_S) == 0
    segment = sorted((tmp_path / "t-0").glob("*.log"))[1]
    first, wrong, next_one = batches_of(segment)[:3]
    last = batches_of(segment)[-1]
    flip(segment, wrong.position)
    interval = "100" if found_by == "scrubber" else "-1"
    with (
        barnabas.Broker(tmp_path, config={"log.scrub.interval.ms": interval}) as broker,
        WireClient(broker.bootstrap_servers) as client,
    ):
        if found_by == "scrubber":
            await_true(lambda: any("it is left as it is" in line for line in core_log))
        else:
            assert fetch(client, wrong.base_offset) == (CORRUPT_MESSAGE, [])
        assert fetch(client, first.base_offset) == (0, [first.base_offset])
        assert fetch(client, wrong.base_offset) == (CORRUPT_MESSAGE, [])
        rest = list(range(next_one.base_offset, last.last_offset + 1))
        assert fetch(client, next_one.base_offset) == (0, rest)
    count(Row.WRONG_BIT, 1)


@pytest.mark.slow
def test_a_compacted_segment_that_was_damaged_in_its_swap_takes_nothing_with_it(
    filled: tuple[Path, dict[bytes, bytes | None]],
    forks: ForkServer,
    tmp_path: Path,
    count: Callable[..., None],
    steps: Callable[[int, int], list[int]],
) -> None:
    source, values = filled
    refused = 0
    shutil.copytree(source, tmp_path / "whole")
    arguments = (str(tmp_path / "whole"), str(NEVER))
    total = int(forks.run(compact_under_fault, *arguments, timeout_s=TIMEOUT_S).output.split()[-1])
    # Of the last segments something is left.
    for nth in (total - n for n in steps(LAST_STEPS, 6)):
        root = tmp_path / str(nth) / "data"
        shutil.copytree(source, root)
        forks.run(compact_under_fault, str(root), str(nth), timeout_s=TIMEOUT_S)
        partition = root / "state-0"
        swaps = list(partition.glob("*.log.swap"))
        if not swaps or list(partition.glob("*.cleaned")):
            continue  # not decided, or done
        (swap,) = swaps
        if not batches_of(swap):
            continue
        flip(swap, batches_of(swap)[-1].position)
        files = {path.name: path.read_bytes() for path in partition.iterdir()}
        with BarnabasServer(root.parent, RESTING) as server, WireClient(server.bootstrap) as client:
            assert fetch(client, 0, "state") == (STORAGE_ERROR, [])
            assert f"{swap}: is not what compaction wrote" in server.output()
            server.kill()
        assert {path.name: path.read_bytes() for path in partition.iterdir()} == files
        flip(swap, batches_of(swap)[-1].position)
        with BarnabasServer(root.parent, RESTING) as server:
            assert last_of_each(read_all(server)) == values
        refused += 1
        shutil.rmtree(root.parent)
    count(Row.WRONG_BIT, refused)
