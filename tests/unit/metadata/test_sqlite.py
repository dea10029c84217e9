"""The SQLite store: conditions, damage, and a process killed in the middle of commits."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from barnabas.metadata.sqlite import FILE_NAME, SqliteStore
from barnabas.metadata.store import ABSENT, Delete, Entry, Put, StoreError, VersionConflict


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


def test_documents_survive_closing(path: Path) -> None:
    store = SqliteStore(path)
    store.commit([Put("/topics/a", b"1"), Put("/topics/b", b"2"), Put("/topicsx", b"3")])
    store.commit([Put("/topics/a", b"4")])
    store.close()
    store = SqliteStore(path)
    assert store.list("/topics/") == {"/topics/a": Entry(b"4", 1), "/topics/b": Entry(b"2", 0)}
    assert store.get("/topics/none") is None
    store.close()


def test_a_conflict_changes_nothing(path: Path) -> None:
    store = SqliteStore(path)
    store.commit([Put("/a", b"1", ABSENT)])
    with pytest.raises(VersionConflict) as conflict:
        store.commit([Put("/b", b"2"), Put("/a", b"3", ABSENT)])
    assert (conflict.value.path, conflict.value.expected, conflict.value.actual) == ("/a", -1, 0)
    assert store.get("/b") is None
    with pytest.raises(VersionConflict):
        store.commit([Delete("/a", 7)])
    store.commit([Delete("/a", 0), Delete("/never-there")])
    assert store.list("/") == {}
    store.close()


def test_a_damaged_file_is_refused_with_advice(path: Path) -> None:
    store = SqliteStore(path)
    store.commit([Put(f"/topics/{i}", os.urandom(200)) for i in range(500)])
    store.close()
    data = bytearray(path.read_bytes())
    data[8192:16384] = os.urandom(8192)
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"is damaged .*restore it from a backup"):
        SqliteStore(path)


@pytest.mark.parametrize("content", [b"not a database at all, but long enough" * 40, b"x"])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError):
        SqliteStore(path)


def test_the_database_of_another_program_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 12")
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreError, match="no metadata store of Barnabas"):
        SqliteStore(path)


_WRITER = """
import sys
from pathlib import Path
from barnabas.metadata.sqlite import SqliteStore
from barnabas.metadata.store import Put
store = SqliteStore(Path(sys.argv[1]))
first = int(sys.argv[2])
for i in range(first, first + 100_000):
    value = str(i).encode()
    middle = Put(f"/middle/{i % 50}", value * 50)
    store.commit([Put("/left", value), middle, Put("/right", value)])
    print(i, flush=True)
"""


def test_a_killed_writer_leaves_each_commit_done_or_not_done(path: Path) -> None:
    last = -1
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(last + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        for _ in range(20):
            last = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout:  # what it had committed before the signal arrived
            if line.endswith("\n"):
                last = int(line)
        writer.wait()
        store = SqliteStore(path)
        left, right = store.get("/left"), store.get("/right")
        assert left is not None
        assert right is not None
        assert left.value == right.value
        assert int(left.value) in (last, last + 1)  # the commit may be done and not yet printed
        last = int(left.value)
        store.close()
