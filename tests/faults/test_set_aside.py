"""What recovery has set aside of a corrupt log is the only copy of good records: it stays."""

from collections.abc import Callable, Sequence
from pathlib import Path

import barnabas
from faults.rows import Row
from faults.segments import BatchAt, batches_of, flip_bit
from unit.handlers.test_log_dirs import alter, await_home, place, produce, read

SEGMENT = f"{0:020}.log"
PER_BATCH = 4


def start(dirs: Sequence[Path]) -> barnabas.Broker:
    return barnabas.Broker(config={"log.dirs": ",".join(map(str, dirs))})


def forget_the_clean_stop(directory: Path) -> None:
    """The next start reads back what is there."""
    (directory / ".kafka_cleanshutdown").unlink()
    for path in directory.glob("recovery-point-offset-checkpoint*"):
        path.unlink()


def corrupt_second_batch(directory: Path) -> tuple[BatchAt, bytes]:
    """Where it is, and what there is from there on."""
    segment = directory / "t-0" / SEGMENT
    batch = batches_of(segment)[1]
    flip_bit(segment, 8 * (batch.end - 3))
    forget_the_clean_stop(directory)
    end = batches_of(segment)[-1].end
    return batch, segment.read_bytes()[batch.position : end]


def test_what_is_set_aside_goes_along_with_a_move_and_back(
    tmp_path: Path, count: Callable[..., None]
) -> None:
    here, there = dirs = [tmp_path / "a", tmp_path / "b"]
    with start(dirs) as broker:
        place(broker, "t", here)
        for number in range(4):
            produce(broker, "t", PER_BATCH, PER_BATCH * number)
    batch, kept = corrupt_second_batch(here)
    name = f"{SEGMENT}.corrupt-{batch.position}"
    with start(dirs) as broker:
        assert (here / "t-0" / name).read_bytes()[: len(kept)] == kept
        for home in (there, here):
            assert alter(broker, "t", home) == 0
            await_home(broker, "t", home)
            aside = {path.name for path in (home / "t-0").iterdir() if "corrupt" in path.name}
            assert aside == {name}
            assert (home / "t-0" / name).read_bytes()[: len(kept)] == kept
            assert len(read(broker, "t", PER_BATCH)) == PER_BATCH
    count(Row.WRONG_BIT)


def test_what_is_set_aside_twice_of_one_place_is_kept_twice(
    tmp_path: Path, count: Callable[..., None]
) -> None:
    with start([tmp_path]) as broker:
        broker.create_topic("t")
        produce(broker, "t", PER_BATCH)
    kept = []
    for life in range(3):
        with start([tmp_path]) as broker:
            for number in range(1, 4):
                produce(broker, "t", PER_BATCH, 100 * life + PER_BATCH * number)
        batch, cut = corrupt_second_batch(tmp_path)
        kept.append(cut)
        with start([tmp_path]):
            found = {path.name: path.read_bytes() for path in (tmp_path / "t-0").glob("*corrupt*")}
        first = f"{SEGMENT}.corrupt-{batch.position}"
        names = [first, f"{first}-2", f"{first}-3"][: life + 1]
        assert sorted(found) == sorted(names)
        assert [found[name][: len(cut)] for name, cut in zip(names, kept, strict=True)] == kept
    count(Row.WRONG_BIT, len(kept))
