"""Compaction of the bare log against a model, under any order of operations."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from barnabas._records import CODEC_NAMES, Record
from barnabas.log import Log

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
CONFIG: dict[str, int | str | bool] = {
    "cleanup.policy": "compact",
    "internal.segment.bytes": 700,
    "index.interval.bytes": 150,
    "delete.retention.ms": 0,
    "file.delete.delay.ms": 0,
}
KEYS = st.integers(0, 6).map(lambda n: f"key-{n}".encode())
VALUES = st.one_of(st.none(), st.binary(max_size=60))
HEADERS = st.lists(st.tuples(st.sampled_from(("a", "b")), st.binary(max_size=5)), max_size=2)
RECORDS = st.lists(
    st.tuples(KEYS, VALUES, st.integers(1, 1_700_000_000_000), HEADERS), min_size=1, max_size=6
)


class CompactedLog(RuleBasedStateMachine):
    """`records`: all that was ever appended and not cut, by offset."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.mkdtemp(dir=MEMORY)
        self.records: dict[int, Record] = {}
        self.clean_end = 0

    @initialize()
    def open(self) -> None:
        self.log = Log(Path(self.directory) / "t-0", config=CONFIG)

    @rule(records=RECORDS, codec=st.sampled_from(CODEC_NAMES))
    def append(
        self,
        records: list[tuple[bytes, bytes | None, int, list[tuple[str, bytes]]]],
        codec: str,
    ) -> None:
        base_offset = self.log.append(records, codec=codec)
        for record in self.log.records(base_offset):
            self.records[record.offset] = record
        assert len(self.records) >= len(records)

    @rule()
    def compact(self) -> None:
        before = self.log.end_offset
        clean_end = self.log.compact()
        assert clean_end >= self.active_base()
        self.clean_end = max(clean_end, self.clean_end)
        assert self.log.end_offset == before

    @rule()
    def compact_with_little_memory(self) -> None:
        self.clean_end = max(self.log.compact(dedupe_buffer_bytes=1), self.clean_end)

    @rule()
    def roll(self) -> None:
        self.log.roll()

    @rule()
    def reopen(self) -> None:
        self.log.close()
        self.log = Log(Path(self.directory) / "t-0", config=CONFIG)

    @rule()
    def crash(self) -> None:
        # A copy of the directory is what SIGKILL leaves: the page cache stays.
        crashed = Path(tempfile.mkdtemp(dir=MEMORY))
        shutil.copytree(Path(self.directory) / "t-0", crashed / "t-0")
        (crashed / "t-0" / ".kafka_cleanshutdown").unlink(missing_ok=True)
        self.log.close()
        shutil.rmtree(self.directory)
        self.directory = str(crashed)
        self.log = Log(crashed / "t-0", config=CONFIG)
        assert self.log.recovery.bytes_cut == 0
        assert self.log.recovery.bytes_set_aside == 0

    @rule(share=st.floats(0, 1))
    def truncate(self, share: float) -> None:
        # What is compacted is committed, and stays.
        offset = self.clean_end + int(share * (self.log.end_offset - self.clean_end))
        self.log.truncate(offset)
        end = self.log.end_offset
        self.records = {at: record for at, record in self.records.items() if at < end}

    @invariant()
    def what_is_left_is_what_it_was(self) -> None:
        left = {record.offset: record for record in self.log}
        assert all(self.records[at] == record for at, record in left.items())
        alive = {
            record.key: at for at, record in sorted(self.records.items())
        }  # the last offset of each key
        for at, record in self.records.items():
            newest = alive[record.key] == at
            if at >= self.clean_end or (newest and record.value is not None):
                assert at in left, record
        last = {record.key: record for _, record in sorted(left.items())}
        for record in last.values():
            # A deleted key may be gone, tombstone and all, but its old values never come back.
            assert alive[record.key] == record.offset

    @invariant()
    def of_a_key_one_record_is_left_of_what_was_cleaned(self) -> None:
        cleaned = [record.key for record in self.log if record.offset < self.clean_end]
        assert len(cleaned) == len(set(cleaned))

    def active_base(self) -> int:
        """The offset from which on nothing may be cleaned: the active segment's first."""
        return max(int(path.stem) for path in (Path(self.directory) / "t-0").glob("*.log"))

    def teardown(self) -> None:
        self.log.close()
        shutil.rmtree(self.directory)


TestCompactedLog = CompactedLog.TestCase
TestCompactedLog.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
