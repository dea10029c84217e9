"""Power cuts in a commit of the metadata store: any sectors of it are on the disk, and what was
there before in the place of the others. The commit is done or not done.
"""

import random
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from barnabas.metadata.sqlite import CHECKPOINT_PAGES, FILE_NAME, SqliteStore
from barnabas.metadata.store import Entry, Put

LOG_NAME = f"{FILE_NAME}-wal"
SALTS = slice(16, 24)  # in the log's header: another pair for each time that it begins anew
SECTOR_BYTES = 512
COMMITS = 24  # into a log with an earlier one's frames behind its own
CUTS = 3  # of each commit

Documents = Mapping[str, Entry]


class Files(NamedTuple):
    """Those of a store, and what is in it."""

    store: bytes
    log: bytes
    documents: Documents

    @classmethod
    def of(cls, path: Path, store: SqliteStore) -> "Files":
        log = path.with_name(LOG_NAME)
        return cls(path.read_bytes(), log.read_bytes(), store.list("/"))


def torn(before: bytes, after: bytes, rng: random.Random) -> bytes:
    share = rng.choice((1, rng.uniform(0.2, 0.9), rng.uniform(0.8, 0.99)))
    sectors = []
    for at in range(0, len(after), SECTOR_BYTES):
        old, new = before[at : at + SECTOR_BYTES], after[at : at + SECTOR_BYTES]
        sectors.append(new if rng.random() < share else old.ljust(len(new), b"\0"))
    return b"".join(sectors)


def make(root: Path, store: bytes, log: bytes) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    (root / FILE_NAME).write_bytes(store)
    (root / LOG_NAME).write_bytes(log)
    return root / FILE_NAME


def commit(store: SqliteStore, number: int, rng: random.Random) -> None:
    puts = [
        Put(f"/topics/t{rng.randrange(20)}", b"%d" % number * rng.choice((1, 3000)))
        for _ in range(rng.randint(1, 3))
    ]
    store.commit(list({put.path: put for put in puts}.values()))


def test_a_commit_that_a_power_cut_tears_is_done_or_not_done(
    tmp_path: Path, seed: int, measured: Callable[[str], None]
) -> None:
    rng = random.Random(seed)
    path = tmp_path / FILE_NAME
    image = tmp_path / "image"
    outcomes = {"done": 0, "not done": 0}
    with closing(SqliteStore(path)) as store:
        commit(store, 0, rng)
        first = Files.of(path, store).log[SALTS]
        for number in range(CHECKPOINT_PAGES):
            commit(store, number, rng)
            if Files.of(path, store).log[SALTS] != first:
                break
        for number in range(COMMITS):
            before = Files.of(path, store)
            commit(store, number, rng)
            after = Files.of(path, store)
            if after.log[SALTS] != before.log[SALTS]:
                continue  # its header was fsynced in between
            for _ in range(CUTS):
                log = torn(before.log, after.log, rng)
                found = found_in(make(image, before.store, log))
                assert found in (before.documents, after.documents)
                outcomes["done" if found == after.documents else "not done"] += 1
                make(image, before.store, log)
                check_again(image, rng)
    measured(f"{sum(outcomes.values())} cuts: {outcomes}")
    assert all(outcomes.values())


def found_in(path: Path) -> Documents:
    with closing(SqliteStore(path)) as store:
        return store.list("/")


def check_again(image: Path, rng: random.Random) -> None:
    """The power goes once more, in the first commit after a cut."""
    with closing(SqliteStore(image / FILE_NAME)) as store:
        before = Files.of(image / FILE_NAME, store)
        commit(store, -1, rng)
        after = Files.of(image / FILE_NAME, store)
        again = make(image.with_name("again"), before.store, torn(before.log, after.log, rng))
    if any(again.with_name(LOG_NAME).read_bytes()[:SECTOR_BYTES]):  # its header is fsynced
        assert found_in(again) in (before.documents, after.documents)
