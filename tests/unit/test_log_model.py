"""The log against a model: a Python list of batches, under any order of operations."""

import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from barnabas._core import CoreError
from barnabas._records import Record, encode_batch
from barnabas.log import Log

REMEMBERED_BATCHES = 5  # of each producer
OUT_OF_ORDER_SEQUENCE = 45
# Not long ago: a producer whose last batch is older than a day is forgotten.
START_MS = time.time_ns() // 1_000_000
# Thousands of fsyncs are not what is tested here.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
CONFIG: dict[str, int | str | bool] = {
    "internal.segment.bytes": 900,
    "index.interval.bytes": 150,
}


@dataclass
class ModelBatch:
    records: list[Record]
    size_bytes: int
    producer_id: int = -1
    base_sequence: int = -1

    @property
    def base_offset(self) -> int:
        return self.records[0].offset

    @property
    def next_sequence(self) -> int:
        return self.base_sequence + len(self.records)


@dataclass
class Model:
    batches: list[ModelBatch] = field(default_factory=list)

    @property
    def end_offset(self) -> int:
        return self.batches[-1].records[-1].offset + 1 if self.batches else 0

    def records(self) -> list[Record]:
        return [record for batch in self.batches for record in batch.records]

    def of_producer(self, producer_id: int) -> list[ModelBatch]:
        return [b for b in self.batches if b.producer_id == producer_id][-REMEMBERED_BATCHES:]

    def cut_bytes(self, count: int) -> None:
        """Tears `count` bytes off the end: every batch they touch is gone."""
        while count > 0 and self.batches:
            count -= self.batches.pop().size_bytes

    def first_at_or_after(self, timestamp_ms: int) -> int | None:
        return next((r.offset for r in self.records() if r.timestamp >= timestamp_ms), None)


payload = st.none() | st.binary(max_size=120)
contents = st.lists(
    st.tuples(payload, payload, st.integers(START_MS, START_MS + 50)), min_size=1, max_size=6
)
producers = st.integers(1, 3)


class LogAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="barnabas-log-", dir=MEMORY))
        self.generation = 0
        self.model = Model()

    @initialize()
    def open(self) -> None:
        self.log = Log(self.directory, config=CONFIG)

    @property
    def directory(self) -> Path:
        return self.root / str(self.generation) / "t-0"

    # -- writing

    @rule(contents=contents, codec=st.integers(0, 4))
    def append(self, contents: list[tuple[bytes | None, bytes | None, int]], codec: int) -> None:
        self._append(contents, codec)

    @rule(contents=contents, producer_id=producers)
    def append_as_a_producer(
        self, contents: list[tuple[bytes | None, bytes | None, int]], producer_id: int
    ) -> None:
        earlier = self.model.of_producer(producer_id)
        sequence = earlier[-1].next_sequence if earlier else 0
        self._append(contents, 0, producer_id, sequence)

    def _append(
        self,
        contents: list[tuple[bytes | None, bytes | None, int]],
        codec: int,
        producer_id: int = -1,
        sequence: int = -1,
    ) -> None:
        batch = encode_batch(
            contents,
            codec=codec,
            producer_id=producer_id,
            producer_epoch=0 if producer_id >= 0 else -1,
            base_sequence=sequence,
        )
        start = self.model.end_offset
        assert self.log.append_batch(batch) == start
        records = [
            Record(start + i, timestamp, key, value)
            for i, (key, value, timestamp) in enumerate(contents)
        ]
        self.model.batches.append(ModelBatch(records, len(batch), producer_id, sequence))

    @rule(producer_id=producers, back=st.integers(0, REMEMBERED_BATCHES - 1))
    def retry_a_batch(self, producer_id: int, back: int) -> None:
        remembered = self.model.of_producer(producer_id)
        if back >= len(remembered):
            return
        again = remembered[-1 - back]
        batch = encode_batch(
            [(None, b"again", START_MS)] * len(again.records),
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=again.base_sequence,
        )
        assert self.log.append_batch(batch) == again.base_offset

    @rule(producer_id=producers, gap=st.integers(1, 10))
    def leave_a_gap_in_the_sequence(self, producer_id: int, gap: int) -> None:
        remembered = self.model.of_producer(producer_id)
        if not remembered:
            return
        batch = encode_batch(
            [(None, b"gap", START_MS)],
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=remembered[-1].next_sequence + gap,
        )
        with pytest.raises(CoreError) as caught:
            self.log.append_batch(batch)
        assert caught.value.code == OUT_OF_ORDER_SEQUENCE

    @rule()
    def roll(self) -> None:
        self.log.roll()

    @rule()
    def flush(self) -> None:
        assert self.log.flush() == self.model.end_offset

    @precondition(lambda self: self.model.batches)
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, self.model.end_offset), label="offset")
        self.log.truncate(offset)
        while self.model.end_offset > offset:
            self.model.batches.pop()

    # -- stopping

    @rule()
    def reopen_after_a_clean_stop(self) -> None:
        self.log.close()
        self.log = Log(self.directory, config=CONFIG)
        assert not self.log.recovery.checked

    def _crash(self) -> Path:
        """Goes on with the files as they are at this moment; returns the last segment's."""
        old = self.directory
        self.generation += 1
        shutil.copytree(old, self.directory)
        self.log.close()
        shutil.rmtree(old.parent)
        return max(self.directory.glob("*.log"))

    @rule()
    def reopen_after_a_crash(self) -> None:
        self._crash()
        self.log = Log(self.directory, config=CONFIG)
        assert self.log.recovery.bytes_cut == 0

    @rule(torn=st.integers(1, 400), zero_fill=st.booleans())
    def reopen_after_a_crash_that_tore_the_tail(self, torn: int, zero_fill: bool) -> None:
        segment = self._crash()
        data = segment.read_bytes()
        kept = data[: max(0, len(data) - torn)]
        if zero_fill:
            # What was zero anyway is not torn.
            while len(kept) < len(data) and data[len(kept)] == 0:
                kept += b"\0"
        segment.write_bytes(kept.ljust(len(data), b"\0") if zero_fill else kept)
        self.model.cut_bytes(len(data) - len(kept))
        self.log = Log(self.directory, config=CONFIG)

    @rule(suffix=st.sampled_from([".index", ".timeindex", ".snapshot"]))
    def reopen_without_some_files(self, suffix: str) -> None:
        self.log.close()
        for file in self.directory.glob(f"*{suffix}"):
            file.unlink()
        self.log = Log(self.directory, config=CONFIG)

    # -- reading

    @rule(data=st.data())
    def read_from_an_offset(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, self.model.end_offset), label="offset")
        expected = [r for r in self.model.records() if r.offset >= offset]
        assert list(self.log.records(offset)) == expected

    @rule(timestamp_ms=st.integers(START_MS, START_MS + 51))
    def look_up_a_time(self, timestamp_ms: int) -> None:
        assert self.log.offset_for_timestamp(timestamp_ms) == self.model.first_at_or_after(
            timestamp_ms
        )

    @rule(torn=st.integers(0, 300))
    def read_only_what_a_crash_left(self, torn: int) -> None:
        copy = self.root / "copy" / "t-0"
        shutil.copytree(self.directory, copy)
        segment = max(copy.glob("*.log"))
        data = segment.read_bytes()
        segment.write_bytes(data[: max(0, len(data) - torn)])
        before = {file.name: file.read_bytes() for file in copy.iterdir()}
        seen = Model(list(self.model.batches))
        seen.cut_bytes(min(torn, len(data)))
        with Log(copy, config=CONFIG, read_only=True) as log:
            assert list(log) == seen.records()
        assert {file.name: file.read_bytes() for file in copy.iterdir()} == before
        shutil.rmtree(copy.parent)

    @invariant()
    def the_ends_agree(self) -> None:
        if hasattr(self, "log"):
            assert self.log.start_offset == 0
            assert self.log.end_offset == self.model.end_offset

    def teardown(self) -> None:
        if hasattr(self, "log"):
            assert list(self.log) == self.model.records()
            self.log.close()
        shutil.rmtree(self.root)


LogAgainstModel.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLogAgainstModel = LogAgainstModel.TestCase
