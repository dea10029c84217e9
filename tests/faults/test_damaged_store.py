"""A wrong byte in the metadata store: it is refused with advice, or has what was stored."""

import os
import random
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

import barnabas
from barnabas.errors import StartError
from barnabas.metadata.peek import partition_count
from barnabas.metadata.records import PartitionRecord, TopicRecord
from barnabas.metadata.sqlite import (
    APPLICATION_ID,
    FILE_NAME,
    FORMAT_WITHOUT_DIGEST,
    HEADER_BYTES,
    SqliteStore,
)
from barnabas.metadata.sqlite_check import DOCUMENT_SCHEMA
from barnabas.metadata.store import Delete, Entry, Put, StoreError
from unit.wire import WireClient

LOG_NAME = f"{FILE_NAME}-wal"
LOG_HEADER_BYTES = 32
FRAME_BYTES = 24 + 4096
FRAME_HEADER_BYTES = 24
FLIPS = 200  # at random places, beside those that are tried one by one
BROKERS = 12
HEADER_FIELDS = (24, 40, 60, 92)  # a change counter, a cookie, the format, the version of SQLite
DAMAGES = (0xFF, 1, 2, 3, 4, 8, 16, 32, 64, 128)

Documents = Mapping[str, Entry]


def documents(path: Path) -> Documents:
    with closing(SqliteStore(path)) as store:
        return store.list("/")


def expect_refused(path: Path) -> None:
    with pytest.raises(StoreError, match=r"metadata\.sqlite.* restore it from a backup, or move"):
        SqliteStore(path)


def damaged(data: bytes, position: int, chance: random.Random) -> bytes:
    changed = bytearray(data)
    changed[position] ^= chance.choice(DAMAGES)
    return bytes(changed)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a store with small documents, one that takes several pages, and room of deleted ones."""
    path = tmp_path / FILE_NAME
    with closing(SqliteStore(path)) as store:
        names = [f"/topics/t{number}" for number in range(80)]
        chance = random.Random(6)
        store.commit([Put(name, chance.randbytes(20 + 7 * i)) for i, name in enumerate(names)])
        store.commit([Put("/topics/large", chance.randbytes(9000))])
        store.commit([Delete(name) for name in names[::5]])
        store.commit([Put(name, b"changed") for name in names[1::7]])
    return path


def test_a_wrong_byte_is_refused_or_changes_no_document(
    path: Path, measured: Callable[[str], None]
) -> None:
    chance = random.Random(7)
    data = path.read_bytes()
    expected = documents(path)
    outcomes: Counter[str] = Counter()
    places = [*range(HEADER_BYTES), *(chance.randrange(len(data)) for _ in range(FLIPS))]
    for position in places:
        path.write_bytes(damaged(data, position, chance))
        try:
            found = documents(path)
        except StoreError:
            expect_refused(path)
            outcomes["refused"] += 1
            continue
        assert found == expected, f"byte {position}"
        # And goes on as a whole one.
        with closing(SqliteStore(path)) as store:
            store.commit([Put("/topics/new", b"n"), Delete("/topics/large")])
        changed = {**expected, "/topics/new": Entry(b"n", 0)}
        del changed["/topics/large"]
        assert documents(path) == changed, f"byte {position}"
        outcomes["the same"] += 1
    measured(f"{len(places)} bytes: {dict(outcomes)}")
    assert outcomes["refused"] > FLIPS / 4
    assert outcomes["the same"] > FLIPS / 10


def test_a_file_that_was_cut_is_refused(path: Path) -> None:
    data = path.read_bytes()
    for size in (len(data) - 1, len(data) - 4096, len(data) // 2, 4096, HEADER_BYTES, 10):
        path.write_bytes(data[:size])
        expect_refused(path)


def test_a_wrong_byte_in_the_write_ahead_log_is_refused_or_costs_the_last_commit(
    tmp_path: Path, measured: Callable[[str], None]
) -> None:
    chance = random.Random(8)
    files = tmp_path / "files"
    files.mkdir()
    with closing(SqliteStore(files / FILE_NAME)) as store:
        store.commit([Put("/topics/first", b"1")])
    with closing(SqliteStore(files / FILE_NAME)) as store:
        for number in range(6):
            store.commit([Put(f"/topics/t{number}", chance.randbytes(100))])
        expected = store.list("/")
        killed = tmp_path / "killed"  # as a SIGKILL leaves it
        shutil.copytree(files, killed)
    without_last = {name: entry for name, entry in expected.items() if name != "/topics/t5"}
    data = (killed / LOG_NAME).read_bytes()
    frames = range(LOG_HEADER_BYTES, len(data), FRAME_BYTES)
    headers = [at + i for at in frames for i in range(FRAME_HEADER_BYTES)]
    anywhere = [chance.randrange(len(data)) for _ in range(FLIPS // 3)]
    outcomes: Counter[str] = Counter()
    for number, position in enumerate([*range(LOG_HEADER_BYTES), *headers, *anywhere]):
        root = tmp_path / str(number)
        shutil.copytree(killed, root)
        (root / LOG_NAME).write_bytes(damaged(data, position, chance))
        try:
            found = documents(root / FILE_NAME)
        except StoreError:
            expect_refused(root / FILE_NAME)  # the next start, too: nothing is forgotten
            outcomes["refused"] += 1
        else:
            assert found in (expected, without_last), f"byte {position}"
            assert found == expected or position >= frames[-2], f"byte {position}"
            outcomes["the same" if found == expected else "without the last"] += 1
        shutil.rmtree(root)
    measured(f"{outcomes.total()} bytes: {dict(outcomes)}")
    assert documents(killed / FILE_NAME) == expected
    assert outcomes["refused"] > len(headers) / 2


def served(broker: barnabas.Broker) -> dict[str, tuple[str, int, dict[str, str]]]:
    """Id, partitions and configuration of each topic, as clients are told."""
    with WireClient(broker.bootstrap_servers) as client:
        topics = client.ask("Metadata", 12, topics=None).topics
        resources = [
            {"resource_type": 2, "resource_name": topic.name, "configuration_keys": None}
            for topic in topics
        ]
        described = client.ask("DescribeConfigs", 4, resources=resources).results
    configs = {
        result.resource_name: {entry.name: entry.value for entry in result.configs}
        for result in described
    }
    return {t.name: (str(t.topic_id), len(t.partitions), configs[t.name]) for t in topics}


def test_a_broker_serves_the_same_topics_or_does_not_start(
    tmp_path: Path, measured: Callable[[str], None]
) -> None:
    chance = random.Random(9)
    whole = tmp_path / "whole"
    with barnabas.Broker(whole) as broker:
        for number in range(1, 13):
            config = {"retention.ms": str(number * 1_000_000)}
            broker.create_topic(f"t{number}", partitions=1 + number % 3, config=config)
        expected = served(broker)
    data = (whole / FILE_NAME).read_bytes()
    used = [position for position, byte in enumerate(data) if byte]
    outcomes: Counter[str] = Counter()
    refusals: list[str] = []
    for number in range(BROKERS):
        root = tmp_path / str(number)
        shutil.copytree(whole, root)
        position = chance.choice(used) if number % 3 else HEADER_FIELDS[number // 3]
        (root / FILE_NAME).write_bytes(damaged(data, position, chance))
        try:
            with barnabas.Broker(root) as broker:
                assert served(broker) == expected, f"byte {position}"
            outcomes["the same"] += 1
        except StartError as error:
            refusals.append(str(error))
            outcomes["refused"] += 1
        assert not list(root.glob("*-stray"))
    measured(f"{BROKERS} brokers: {dict(outcomes)}")
    assert outcomes["the same"]
    assert refusals
    assert all(re.search(r"metadata\.sqlite.* restore it from a backup", r) for r in refusals)


def test_a_log_that_a_kill_has_cut_anywhere_is_taken(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    with closing(SqliteStore(files / FILE_NAME)) as store:
        for number in range(4):
            store.commit([Put(f"/topics/t{number}", b"v")])
        for name in os.listdir(files):
            shutil.copy(files / name, tmp_path / name)
    data = (tmp_path / LOG_NAME).read_bytes()
    counts = []
    for size in range(len(data), 0, -1000):
        (tmp_path / LOG_NAME).write_bytes(data[:size])
        copy = tmp_path / str(size)
        copy.mkdir()
        for name in (FILE_NAME, LOG_NAME):
            shutil.copy(tmp_path / name, copy / name)
        counts.append(len(documents(copy / FILE_NAME)))
    assert counts == sorted(counts, reverse=True)
    assert {counts[0], counts[-1]} == {4, 0}


def test_a_store_of_the_first_format_gets_a_digest(path: Path) -> None:
    topic = TopicRecord("t", bytes(16), (PartitionRecord(0, 0, (1,)),))
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(DOCUMENT_SCHEMA)
        connection.execute("INSERT INTO document VALUES (?, ?, 3)", (topic.path, topic.encode()))
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {FORMAT_WITHOUT_DIGEST}")
        connection.commit()
    assert documents(path) == {topic.path: Entry(topic.encode(), 3)}
    assert partition_count(path.parent, "t") == 1
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE document SET version = 4")
        connection.commit()
    expect_refused(path)
    assert partition_count(path.parent, "t") is None
