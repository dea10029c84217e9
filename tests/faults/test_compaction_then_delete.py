"""A kill in a compaction, cleanup.policy becomes delete, another kill: the gaps that compaction has
left are no loss to the second recovery.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer

import barnabas
from clients.test_topic_settings import alter
from faults.rows import Row
from faults.test_compaction import TOPIC, await_true, create, last_of_each, read_all
from peers.forks import ForkServer
from peers.servers import BarnabasServer

TIMEOUT_S = 60
KILLED = -9
NEVER = 1_000_000  # there is no such step
CLEANING = {"log.cleaner.backoff.ms": "50", "log.cleaner.dedupe.buffer.size": "2000000"}
RESTING = {"log.cleaner.enable": "false"}


def compact_under_fault(root: str, nth: str) -> None:
    """In the child."""
    from barnabas.testing import faults

    fault = faults.kill("rename", f"{root}/{TOPIC}-0/*", is_done=True, nth=int(nth))
    with barnabas.Broker(root, config=CLEANING):
        await_true(lambda: is_clean(Path(root)))
    print(fault.matched)


def is_clean(root: Path) -> bool:
    """All but the active segment."""
    end = max(int(path.stem) for path in (root / f"{TOPIC}-0").glob("*.log"))
    checkpoint = root / "cleaner-offset-checkpoint"
    return checkpoint.exists() and f"{TOPIC} 0 {end}\n" in checkpoint.read_text()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bytes, bytes | None]]:
    """A directory of a broker that was killed before it compacted anything; the last values."""
    root = tmp_path_factory.mktemp("filled")
    with BarnabasServer(root, RESTING) as server:
        config = {
            "cleanup.policy": "compact",
            "internal.segment.bytes": "3000",
            "min.cleanable.dirty.ratio": "0.01",
            "file.delete.delay.ms": "0",
            "retention.ms": "-1",
        }
        create(server, config)
        producer = Producer({"bootstrap.servers": server.bootstrap})
        for number in range(400):
            producer.produce(TOPIC, bytes(100), b"key-%d" % (number % 7), partition=0)
            if number % 5 == 4:
                assert producer.flush(TIMEOUT_S) == 0
        values = last_of_each(read_all(server))
        server.kill()
    return server.data_dir, values


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_cleanup_policy_after_a_kill_in_a_swap_loses_nothing(
    filled: tuple[Path, dict[bytes, bytes | None]],
    forks: ForkServer,
    tmp_path: Path,
    *,
    measured: Callable[[str], None],
    count: Callable[..., None],
    steps: Callable[[int, int], list[int]],
) -> None:
    source, values = filled
    kills = gaps = 0
    never = tmp_path / "never"
    shutil.copytree(source, never)
    run = forks.run(compact_under_fault, str(never), str(NEVER), timeout_s=TIMEOUT_S)
    assert run.returncode == 0, run.output
    shutil.rmtree(never)
    total = int(run.output.split()[-1])
    for nth in steps(total, 13):
        root = tmp_path / str(nth) / "data"
        shutil.copytree(source, root)
        run = forks.run(compact_under_fault, str(root), str(nth), timeout_s=TIMEOUT_S)
        assert run.returncode in (0, KILLED), run.output
        with BarnabasServer(tmp_path / str(nth), RESTING) as server:
            alter(server, TOPIC, {"cleanup.policy": "delete"})
            found = read_all(server)
            gaps += max(found) + 1 > len(found)
            assert last_of_each(found) == values
            server.kill()
            server.start()
            assert read_all(server) == found, f"killed at rename {nth}"
            assert "missing" not in server.output()
            assert not list(root.rglob("*.corrupt*"))
        shutil.rmtree(tmp_path / str(nth))
        kills += run.returncode == KILLED
    assert gaps > 0
    measured(f"{kills} kills, there are {total} steps; {gaps} of the logs had gaps")
    count(Row.KILL, kills)
