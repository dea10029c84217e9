"""SIGKILL at each step of the deletion of records, and of the segments that held them: what was
deleted does not come back, and of the rest nothing is missing.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

import barnabas
from barnabas.testing import faults
from faults.test_compaction import await_true
from peers.forks import Ended

TIMEOUT_S = 30
RECORDS = 40
DELETED_TO = 23  # within a segment
CONFIG = {"log.retention.check.interval.ms": "50"}
TOPIC = {
    "internal.segment.bytes": "1500",
    "index.interval.bytes": "100",
    "file.delete.delay.ms": "0",
}


def segments_below(root: Path, offset: int) -> list[Path]:
    """Those of which no record is at or above the offset, and what is left of them."""
    bases = sorted(int(path.stem) for path in (root / "t-0").glob("*.log"))
    holder = max((base for base in bases if base <= offset), default=0)
    return [path for path in (root / "t-0").glob("*.*") if path.name[:20] < f"{holder:020}"]


def await_gone(root: Path, offset: int) -> None:
    await_true(lambda: not segments_below(root, offset))


def delete_under_fault(root: str, call: faults.Call, is_done: str, nth: str) -> None:
    """In the child: says when it was answered, and how many calls matched."""
    with barnabas.Broker(root, config=CONFIG) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        fault = faults.kill(call, f"{root}/*", is_done=is_done == "done", nth=int(nth))
        (deleted,) = admin.delete_records([TopicPartition("t", 0, DELETED_TO)]).values()
        assert deleted.result(TIMEOUT_S).low_watermark == DELETED_TO
        print("answered", flush=True)
        await_gone(Path(root), DELETED_TO)
        print(f"matched {fault.matched}", flush=True)
        fault.remove()


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("before")
    with barnabas.Broker(root, config=CONFIG) as broker:
        broker.create_topic("t", config=TOPIC)
        with broker.producer() as producer:
            for number in range(RECORDS):
                producer.send("t", b"%d " % number + bytes(200)).result(TIMEOUT_S)
    assert len(segments_below(root, DELETED_TO)) > 10
    return root


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("is_done", ["done", "not done"])
@pytest.mark.parametrize(
    ("call", "share"), [("rename", 3), ("unlink", 4), ("write", 1), ("sync", 1), ("open", 5)]
)
def test_a_kill_at_any_step_of_a_deletion_brings_nothing_back(
    before: Path,
    kill_at_steps: Callable[..., int],
    *,
    call: str,
    share: int,
    is_done: str,
) -> None:
    def check(root: Path, run: Ended) -> None:
        expect_deleted_or_not(root, is_sure="answered" in run.output)

    kill_at_steps(
        before, share, delete_under_fault, call, is_done, check=check, timeout_s=TIMEOUT_S
    )


def expect_deleted_or_not(root: Path, *, is_sure: bool) -> None:
    """What was not answered may have gone in part, segment by segment."""
    least = DELETED_TO if is_sure else 0
    for _ in range(2):  # another start must not bring anything back
        with barnabas.Broker(root, config=CONFIG) as broker:
            with broker.consumer(["t"], auto_offset_reset="earliest", timeout=0) as consumer:
                found = [
                    (int(offset), int((value or b"").split()[0]))
                    for batch in consumer
                    for offset, value in zip(batch.offsets, batch.values, strict=True)
                ]
            start = found[0][0]
            assert least <= start <= DELETED_TO
            assert found == [(number, number) for number in range(start, RECORDS)]
            await_gone(root, start)
        least = start
    assert not list((root / "t-0").glob("*.deleted"))
