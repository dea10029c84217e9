"""barnabas.Log on real files."""

import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from barnabas._core import CoreError
from barnabas._records import CorruptBatch, Record, encode_batch
from barnabas.embed import Broker
from barnabas.errors import ConfigError
from barnabas.log import Log
from barnabas.testing import faults

OUT_OF_RANGE, CORRUPT, TOO_LARGE, OUT_OF_ORDER, INVALID_RECORD = 1, 2, 10, 45, 87
CODECS = pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders-0"


def values(log: Log, start: int | None = None) -> list[bytes | None]:
    return [record.value for record in log.records(start)]


@CODECS
def test_what_is_appended_is_read_back(path: Path, codec: str) -> None:
    with Log(path) as log:
        assert log.append([(b"k", b"a", 5, [("h", b"1")]), (None, None)], codec=codec) == 0
        assert log.append([(b"k", b"b")], timestamp_ms=7, codec=codec) == 2
        records = list(log)
        assert records[0] == Record(0, 5, b"k", b"a", (("h", b"1"),))
        assert records[2] == Record(2, 7, b"k", b"b")
        assert [batch.codec_name for batch in log.batches()] == [codec, codec]
        assert all(batch.crc_valid() for batch in log.batches())


def test_records_of_another_log_get_new_offsets(path: Path) -> None:
    with Log(path) as log:
        log.append([(b"k", b"a"), (b"k", b"b", 5, [("h", b"1")])], timestamp_ms=3)
        assert log.append(list(log)[1:]) == 2
        assert list(log)[2] == Record(2, 5, b"k", b"b", (("h", b"1"),))


@pytest.mark.parametrize("record", [b"ab", "ab"])
def test_a_value_alone_is_no_record(path: Path, record: Any) -> None:
    with Log(path) as log, pytest.raises(TypeError, match=r"a record is \(key, value, \.\.\.\)"):
        log.append([record])


def test_a_log_shows_where_it_is(path: Path) -> None:
    with Log(path) as log:
        assert str(path) in repr(log)


def test_the_files_are_those_of_kafka(path: Path) -> None:
    with Log(path, config={"internal.segment.bytes": 200}) as log:
        for i in range(6):
            log.append([(b"k", bytes(50))], timestamp_ms=i)
        assert log.stat().segment_count > 1
    names = {file.name for file in path.iterdir()}
    assert {f"{0:020}.log", f"{0:020}.index", f"{0:020}.timeindex"} <= names


def test_a_reopened_log_goes_on_where_it_ended(path: Path) -> None:
    with Log(path) as log:
        log.append([(None, b"a"), (None, b"b")])
    with Log(path) as log:
        assert not log.recovery.checked, "the stop was clean"
        assert log.append([(None, b"c")]) == 2
        assert values(log) == [b"a", b"b", b"c"]


def test_an_unclean_stop_loses_nothing_and_is_checked(path: Path, tmp_path: Path) -> None:
    with Log(path) as log:
        log.append([(None, b"a")])
        crashed = tmp_path / "copy" / "orders-0"
        shutil.copytree(path, crashed)
    with Log(crashed) as log:
        assert log.recovery.checked
        assert values(log) == [b"a"]


@pytest.mark.parametrize("kept", [1, 30, 60, 61, 70])
@pytest.mark.parametrize("tail", ["cut", "zeroed"])
def test_a_torn_tail_is_cut_at_the_last_whole_batch(
    path: Path, tmp_path: Path, tail: str, kept: int
) -> None:
    with Log(path) as log:
        log.append([(None, b"a" * 20)])
        log.append([(None, b"b" * 20)])
        first = next(log.batches()).size_bytes
        crashed = tmp_path / "copy" / "orders-0"
        shutil.copytree(path, crashed)
    segment = crashed / f"{0:020}.log"
    data = segment.read_bytes()
    zeros = b"" if tail == "cut" else bytes(len(data) - first - kept)
    segment.write_bytes(data[: first + kept] + zeros)
    with Log(crashed) as log:
        assert values(log) == [b"a" * 20]
        assert log.end_offset == 1
        assert log.recovery.bytes_cut + log.recovery.bytes_set_aside >= kept
        assert log.append([(None, b"c")]) == 1


def test_a_damaged_batch_before_good_ones_is_set_aside(path: Path, tmp_path: Path) -> None:
    with Log(path) as log:
        for value in (b"a", b"b", b"c"):
            log.append([(None, value * 20)])
        first = next(log.batches()).size_bytes
        crashed = tmp_path / "copy" / "orders-0"
        shutil.copytree(path, crashed)
    segment = crashed / f"{0:020}.log"
    data = bytearray(segment.read_bytes())
    data[first + 80] ^= 1
    segment.write_bytes(data)
    with Log(crashed) as log:
        report = log.recovery
        assert values(log) == [b"a" * 20]
        assert report.bytes_set_aside == len(data) - first
        assert Path(report.set_aside_path).exists()
        assert "crc" in report.reason.lower()


def test_reads_start_at_the_batch_that_holds_the_offset(path: Path) -> None:
    with Log(path) as log:
        log.append([(None, b"%d" % i) for i in range(5)])
        log.append([(None, b"%d" % i) for i in range(5, 8)])
        assert log.read(3)[0].base_offset == 0
        assert values(log, 3) == [b"3", b"4", b"5", b"6", b"7"]
        assert len(log.read(0, max_bytes=1)) == 1, "one batch at least"
        assert log.read(8) == []
        for offset in (-1, 9):
            with pytest.raises(CoreError) as caught:
                log.read(offset)
            assert caught.value.code == OUT_OF_RANGE


def test_a_record_is_found_by_its_time(path: Path) -> None:
    with Log(path) as log:
        log.append([(None, b"a", 100), (None, b"b", 300), (None, b"c", 200)])
        log.append([(None, b"d", 400)])
        assert [log.offset_for_timestamp(t) for t in (0, 100, 101, 300, 301, 400, 401)] == [
            0, 0, 1, 1, 3, 3, None,
        ]  # fmt: skip


def test_truncation_removes_from_the_offset_on(path: Path) -> None:
    with Log(path, config={"internal.segment.bytes": 200}) as log:
        for i in range(10):
            log.append([(None, b"%d" % i)])
        log.truncate(4)
        assert log.end_offset == 4
        assert values(log) == [b"0", b"1", b"2", b"3"]
        assert log.append([(None, b"new")]) == 4
    with Log(path) as log:
        assert values(log) == [b"0", b"1", b"2", b"3", b"new"]


def test_truncation_below_zero_is_refused(path: Path) -> None:
    with Log(path) as log:
        log.append([(None, b"a")])
        with pytest.raises(ValueError, match="-5 is below zero"):
            log.truncate(-5)
        assert values(log) == [b"a"]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_directory_of_something_else_is_refused_and_left_alone(
    tmp_path: Path, read_only: bool
) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"holds no log, but other files: 'thesis\.tex'"):
        Log(tmp_path, read_only=read_only)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_other_files_beside_a_log_are_no_reason_to_refuse_it(path: Path) -> None:
    with Log(path) as log:
        log.append([(None, b"a")])
    (path / "notes.txt").write_text("mine")
    with Log(path) as log:
        assert values(log) == [b"a"]


def test_a_wrong_batch_is_refused_and_nothing_is_appended(path: Path) -> None:
    good = encode_batch([(None, b"a")])
    flipped = bytearray(good)
    flipped[-1] ^= 1
    with Log(path, config={"max.message.bytes": 500}) as log:
        for batch, code in [
            (bytes(flipped), CORRUPT),
            (encode_batch([(None, bytes(600))]), TOO_LARGE),
            (encode_batch([(None, b"a")], base_offset=3), INVALID_RECORD),
            (good + good, INVALID_RECORD),
        ]:
            with pytest.raises(CoreError) as caught:
                log.append_batch(batch)
            assert caught.value.code == code
        assert log.end_offset == 0
        assert list(log) == []


def test_a_producers_retry_is_recognised_also_after_a_restart(path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000  # a producer that is silent for a day is forgotten

    def batch(sequence: int) -> bytes:
        return encode_batch(
            [(None, b"x", now_ms)], producer_id=7, producer_epoch=0, base_sequence=sequence
        )

    with Log(path) as log:
        for sequence in range(6):
            assert log.append_batch(batch(sequence)) == sequence
        assert [log.append_batch(batch(sequence)) for sequence in range(1, 6)] == [1, 2, 3, 4, 5]
    with Log(path) as log:
        assert [log.append_batch(batch(sequence)) for sequence in range(1, 6)] == [1, 2, 3, 4, 5]
        with pytest.raises(CoreError) as caught:
            log.append_batch(batch(9))
        assert caught.value.code == OUT_OF_ORDER
        assert log.end_offset == 6


def test_compression_type_of_the_log_reencodes(path: Path) -> None:
    with Log(path, config={"compression.type": "zstd"}) as log:
        log.append([(None, bytes(1000))])
        (batch,) = log.batches()
        assert batch.codec_name == "zstd"
        assert values(log) == [bytes(1000)]


def test_one_writer_at_a_time(path: Path) -> None:
    with Log(path) as log:
        log.append([(None, b"a")])
        with pytest.raises(CoreError, match="in use by another process, or by this one"):
            Log(path)
        with Log(path, read_only=True) as reader:
            assert values(reader) == [b"a"]


def test_reading_only_changes_no_file(path: Path) -> None:
    with Log(path) as log:
        log.append([(None, b"a" * 50)])
    segment = path / f"{0:020}.log"
    segment.write_bytes(segment.read_bytes() + b"torn")
    (path / f"{0:020}.index").unlink()
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with Log(path, read_only=True) as log:
        assert values(log) == [b"a" * 50]
        with pytest.raises(ValueError, match="read-only"):
            log.append([(None, b"b")])
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_reading_a_log_that_is_not_there_says_so(path: Path) -> None:
    with pytest.raises(CoreError, match="orders-0"):
        Log(path, read_only=True)
    assert not path.exists()


def test_a_closed_log_is_not_usable(path: Path) -> None:
    log = Log(path)
    log.close()
    log.close()
    with pytest.raises(ValueError, match="closed"):
        log.append([(None, b"a")])
    with pytest.raises(ValueError, match="closed"):
        log.read(0)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"segment.byte": 1}, "segment.byte"),
        ({"max.message.bytes": -1}, "max.message.bytes"),
        ({"compression.type": "brotli"}, "compression.type"),
    ],
)
def test_a_bad_configuration_is_refused_by_name(
    path: Path, config: dict[str, int | str | bool], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        Log(path, config=config)
    assert not path.exists()


def test_without_a_configuration_kafkas_defaults_hold(path: Path) -> None:
    with Log(path) as log, pytest.raises(CoreError) as caught:
        log.append([(None, bytes(1_048_588))])
    assert caught.value.code == TOO_LARGE


def test_an_unknown_codec_is_named(path: Path) -> None:
    with Log(path) as log, pytest.raises(ValueError, match="brotli"):
        log.append([(None, b"a")], codec="brotli")


def test_readers_follow_a_writer_in_other_threads(path: Path) -> None:
    count = 300
    with Log(path, config={"internal.segment.bytes": 4000, "index.interval.bytes": 100}) as log:
        seen: list[list[int]] = [[], []]

        def follow(offsets: list[int]) -> None:
            while len(offsets) < count:
                offsets.extend(record.offset for record in log.records(len(offsets)))

        readers = [threading.Thread(target=follow, args=(offsets,)) for offsets in seen]
        for reader in readers:
            reader.start()
        for i in range(count):
            log.append([(None, b"%d" % i)])
        for reader in readers:
            reader.join(timeout=60)
        assert seen == [list(range(count))] * 2


def test_records_of_a_batch_whose_bytes_have_changed_are_not_given(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Log(path) as log:
        log.append([(b"k", b"good")])
        log.append([(b"k", b"changed")])
        log.append([(b"k", b"after")])
    segment = path / f"{0:020}.log"
    segment.write_bytes(segment.read_bytes().replace(b"changed", b"Changed"))
    caplog.clear()
    with Log(path, read_only=True) as log:
        records = log.records()
        assert next(records).value == b"good"
        with pytest.raises(CorruptBatch, match="offset 1"):
            next(records)
        assert [batch.crc_valid() for batch in log.batches()] == [True, False, True]
        assert values(log, 2) == [b"after"]


def test_a_log_that_a_broker_writes_to_is_read_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Broker(tmp_path / "d") as broker:
        broker.create_topic("t")
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
        producer.produce("t", b"v", partition=0)
        assert producer.flush(20) == 0
        caplog.clear()
        with Log(tmp_path / "d" / "t-0", read_only=True) as log:
            assert values(log) == [b"v"]
        assert [r.getMessage() for r in caplog.records if r.levelname != "INFO"] == []


@pytest.mark.parametrize("name", ["events", "events/", "./events//"])
def test_a_log_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for offset in range(2):
        with Log(name) as log:
            assert log.append([(None, b"x")]) == offset
    assert (tmp_path / "events" / f"{0:020}.log").exists()


def test_what_is_appended_while_it_is_read_comes_the_next_time(path: Path) -> None:
    with Log(path) as log:
        log.append([(None, b"1"), (None, b"2")])
        for record in log:
            log.append([(None, b"again " + (record.value or b""))])
        assert values(log) == [b"1", b"2", b"again 1", b"again 2"]
        assert [log.append([(None, b"")]) for _ in log.batches(2)] == [4, 5]


def test_what_is_cut_off_while_it_is_read_does_not_come(path: Path) -> None:
    with Log(path) as log:
        log.append_many([b"%1000d" % number for number in range(3_000)], batch_size=1_000)
        seen = 0
        for _ in log:
            seen += 1
            if seen == 1:
                log.truncate(1_500)
        assert seen == 1_500


def test_an_index_that_compaction_replaces_is_not_called_damaged(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config: dict[str, Any] = {"cleanup.policy": "compact", "index.interval.bytes": 1}
    with Log(path, config=config) as log:
        for number in range(40):
            log.append([(b"k%d" % (number % 7), b"v" * number)])
        log.roll()
        log.append([(b"k", b"last")])
    found: list[int] = []
    with Log(path, config=config) as log:
        reader = threading.Thread(target=lambda: found.append(log.read(35)[0].base_offset))
        with faults.hold("open", f"{path}/{0:020}.index", times=1) as fault:
            reader.start()
            while not fault.struck:
                time.sleep(0.001)
            assert log.compact() == 40
        reader.join(20)
        assert found == [35]
        assert [batch.base_offset for batch in log.batches()] == [33, 34, 35, 36, 37, 38, 39, 40]
    assert "damaged" not in capfd.readouterr().err


def test_what_is_cut_off_beside_a_reader_is_not_called_damaged(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config: dict[str, Any] = {"index.interval.bytes": 1}
    with Log(path, config=config) as log:
        for number in range(40):
            log.append([(None, b"%d" % number)])
    with (
        Log(path, config=config) as log,
        Log(path, read_only=True) as reader,
        Log(path, read_only=True) as looking,
    ):
        log.truncate(39)
        assert values(reader) == [b"%d" % number for number in range(39)]
        log.truncate(3)
        with suppress(CoreError):  # or it is found in what is left
            looking.read(30)
        assert values(looking, 1) == [b"1", b"2"]
        log.append([(None, b"again")])
    assert "damaged" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["batches", "records"])
def test_where_reading_begins_is_a_number(tmp_path: Path, name: str) -> None:
    with Log(tmp_path / "t-0") as log:
        log.append([(None, b"v")])
        with pytest.raises(TypeError, match="start must be an int"):
            list(getattr(log, name)("0"))
