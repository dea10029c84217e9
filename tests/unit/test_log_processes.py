"""One log, one process that writes and several that read, at the same time."""

import subprocess
import sys
from pathlib import Path

import pytest

from barnabas._core import CoreError
from barnabas.log import Log

READERS = 3
LOOKS = 5
SEGMENTS = 1000
SEGMENT_BYTES = 1 << 10

# Opens the log again and again, as a reader ends where the log ended when it was opened, until it
# has seen the end; says so after some looks that have each shown more.
READER = """
import sys
from pathlib import Path
from barnabas.log import Log

path, told, looks = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
seen, is_over = 0, False
while not is_over:
    with Log(path, read_only=True) as log:
        assert log.end_offset >= seen, f"ends at {log.end_offset}, {seen} records were there"
        looks -= log.end_offset > seen
        for record in log.records(seen):
            is_over = record.value == b"end"
            assert is_over or record.value == b"%d" % seen, f"{record} at {seen}"
            seen += 1
        assert log.end_offset == seen
    if looks <= 0:
        told.touch()
print(seen)
"""


def test_readers_in_other_processes_see_all_that_was_written_when_they_opened(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events-0"
    told = [tmp_path / f"reader-{i}" for i in range(READERS)]
    with Log(path, config={"internal.segment.bytes": SEGMENT_BYTES}) as log:

        def append(begin: int) -> None:
            log.append([(None, b"%d" % i) for i in range(begin, begin + 50)])

        # So many files that the system lists them in several pieces, while more are made.
        while log.stat().segment_count < SEGMENTS:
            append(log.end_offset)
        command = [sys.executable, "-c", READER, str(path)]
        readers = [
            subprocess.Popen([*command, str(file), str(LOOKS)], stdout=subprocess.PIPE)
            for file in told
        ]
        while any(
            reader.poll() is None and not file.exists()
            for reader, file in zip(readers, told, strict=True)
        ):
            append(log.end_offset)
        log.append([(None, b"end")])
        for reader in readers:
            out, _ = reader.communicate(timeout=60)
            assert reader.returncode == 0
            assert int(out) == log.end_offset


# What was committed under a key is only ever written over by more: each look has all keys, and of
# each no less than the look before.
COMPACTED_READER = """
import sys
from pathlib import Path
from barnabas._core import CoreError
from barnabas._records import CorruptBatch
from barnabas.log import Log

path, told, looks, keys = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
newest = {}
while looks > 0:
    with Log(path, read_only=True) as log:
        found = {}
        try:
            for record in log:
                found[record.key] = int(record.value)
        except (CoreError, CorruptBatch):
            continue  # a file that was open here was compacted meanwhile
    assert len(found) == keys, f"{len(found)} keys"
    for key, value in found.items():
        assert value >= newest.get(key, 0), f"{key}: {value} after {newest[key]}"
    looks -= found != newest
    newest = found
told.touch()
"""


def test_readers_miss_nothing_while_another_process_compacts(tmp_path: Path) -> None:
    path, told, keys = tmp_path / "events-0", tmp_path / "told", 100
    with Log(path, config={"internal.segment.bytes": 2 << 10, "cleanup.policy": "compact"}) as log:
        log.append_many([b"0"] * keys, [b"%d" % i for i in range(keys)])
        command = [sys.executable, "-c", COMPACTED_READER, str(path), str(told), "20", str(keys)]
        reader = subprocess.Popen(command)
        value = 0
        while reader.poll() is None and not told.exists():
            for _ in range(10):
                value += 1
                log.append([(b"%d" % (i % keys), b"%d" % value) for i in range(value, value + 50)])
            log.compact()
        assert reader.wait(60) == 0


def test_a_log_whose_compaction_was_interrupted_is_not_read_with_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "events-0"
    with Log(path, config={"internal.segment.bytes": 1 << 10}) as log:
        log.append_many([b"%099d" % i for i in range(100)], batch_size=500)
    swapped = sorted(path.glob("*.log"))[1]
    swapped.rename(f"{swapped}.swap")
    with pytest.raises(CoreError, match=rf"{swapped.name}\.swap: a compaction is not at its end"):
        Log(path, read_only=True)
    with Log(path):
        pass
    with Log(path, read_only=True) as reader:
        assert [record.offset for record in reader] == list(range(100))
