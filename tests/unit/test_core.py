"""The native core seen from Python: errors, callbacks, the GIL and the end of the interpreter."""

import errno
import gc
import queue
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import barnabas
from barnabas import _core
from barnabas._core import Core, CoreError
from barnabas._records import iter_batches
from barnabas.coordinator.hand_over import LogAppend
from barnabas.state.effects import Marker, Producer
from unit.core_appends import append_marker, append_records, create_partitions

UNKNOWN_TOPIC, CORRUPT, TOO_LARGE, INVALID_RECORD = 3, 2, 10, 87
TRANSACTION_COORDINATOR_FENCED = 52
TOPIC_ID = uuid.UUID(int=7).bytes


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    core = Core({})
    core.open_directories([str(tmp_path / "data")], "cluster", 1)
    core.load_partitions([], {})
    core.listen("127.0.0.1", 0)
    core.start()
    yield core
    core.stop(0)


def one_append(partition: int, value: bytes) -> LogAppend:
    return LogAppend("t", partition, ((None, value),), None, None)


def values(data: bytes) -> list[bytes | None]:
    return [value for batch in iter_batches(data) for value in batch.values]


def test_what_is_appended_is_read_back(core: Core) -> None:
    create_partitions(core, "t", TOPIC_ID, [(0, 0), (1, 0)], {})
    assert append_records(core, "t", 1, [(b"k", b"a"), (None, b"b")]) == 0
    assert append_records(core, "t", 1, [(b"k", None)]) == 2
    assert values(core.read_batches("t", 1, 0, 1 << 20)) == [b"a", b"b", None]
    assert core.read_batches("t", 1, 3, 1 << 20) == b""
    info = core.partition_info("t", 1)
    assert (info.log_start_offset, info.high_watermark, info.log_end_offset) == (0, 3, 3)
    assert {(i.topic, i.partition) for i in core.partition_infos()} == {("t", 0), ("t", 1)}


def test_a_stopped_core_leaves_what_the_next_one_loads(tmp_path: Path) -> None:
    path = str(tmp_path)
    for start in range(3):
        core = Core({})
        (identity,) = core.open_directories([path], "cluster", 1)
        assert identity.was_clean == (start > 0)
        (report,) = core.load_partitions([("t", TOPIC_ID, 0, start)], {"t": {}})
        assert report.error == ""
        assert report.log_end_offset == start
        core.listen("127.0.0.1", 0)
        core.start()
        append_records(core, "t", 0, [(None, b"%d" % start)])
        assert len(values(core.read_batches("t", 0, 0, 1 << 20))) == start + 1
        core.stop(0)


def test_errors_carry_kafkas_code_and_errno(core: Core, tmp_path: Path) -> None:
    with pytest.raises(CoreError) as caught:
        core.partition_info("missing", 0)
    assert caught.value.code == UNKNOWN_TOPIC
    assert caught.value.errno == 0
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(CoreError, match="file") as caught:
        Core({}).open_directories([str(file / "below")], "cluster", 1)
    assert caught.value.errno == errno.ENOTDIR


def test_bad_arguments_are_python_errors(core: Core) -> None:
    create_partitions(core, "t", TOPIC_ID, [(0, 0)], {})
    with pytest.raises(ValueError, match="16 bytes"):
        create_partitions(core, "u", b"short", [(0, 0)], {})
    with pytest.raises(ValueError, match="key, value"):
        append_records(core, "t", 0, [(b"k", b"v", b"more")])  # type: ignore[list-item]
    for short in (("t", 0, ()), ("t", 0, (), (7,), None), ("t", 0, (), None, ((7, 0), True))):
        with pytest.raises(ValueError, match="is "):
            core.append_all((short,), print)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        append_records(core, "t", 0, [(b"k", "text")])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"some\.key"):
        Core({"some.key": 1.5})  # type: ignore[dict-item]
    assert core.partition_info("t", 0).log_end_offset == 0


class Late:
    """Late outcomes, by index."""

    def __init__(self) -> None:
        self.told: queue.Queue[tuple[int, int]] = queue.Queue()

    def __call__(self, index: int, code: int) -> None:
        self.told.put((index, code))

    def all_of(self, codes: list[int | None]) -> list[int]:
        """The outcomes of all, once they are known."""
        known = dict(enumerate(codes))
        for _ in range(codes.count(None)):
            index, code = self.told.get(timeout=30)
            assert known[index] is None
            known[index] = code
        assert self.told.empty()
        return [code for code in known.values() if code is not None]


def test_one_call_appends_to_many_partitions_each_in_its_order(core: Core) -> None:
    create_partitions(core, "t", TOPIC_ID, [(n, 0) for n in range(20)], {})
    late = Late()
    for batch in range(10):
        appends = tuple(
            one_append(n, b"%d" % value) for value in (2 * batch, 2 * batch + 1) for n in range(20)
        )
        assert late.all_of(core.append_all(appends, late)) == [0] * 40
    for n in range(20):
        assert values(core.read_batches("t", n, 0, 1 << 20)) == [b"%d" % i for i in range(20)]


def test_a_refused_append_refuses_only_its_own(core: Core) -> None:
    create_partitions(core, "t", TOPIC_ID, [(0, 0), (1, 0)], {"max.message.bytes": 1000})
    late = Late()
    append_marker(core, ("t", 1), (7, 0), True, 5)
    appends = (
        one_append(0, b"first"),
        one_append(0, b"x" * 1000),
        LogAppend("t", 0, (), None, None),
        one_append(9, b"nowhere"),
        LogAppend("t", 1, (), None, Marker(Producer(7, 0), True, 4)),  # of an earlier coordinator
        one_append(1, b"other"),
        one_append(0, b"last"),
    )
    codes = late.all_of(core.append_all(appends, late))
    refusals = [TOO_LARGE, INVALID_RECORD, UNKNOWN_TOPIC, TRANSACTION_COORDINATOR_FENCED]
    assert codes == [0, *refusals, 0, 0]
    assert values(core.read_batches("t", 0, 0, 1 << 20)) == [b"first", b"last"]
    assert values(core.read_batches("t", 1, 1, 1 << 20)) == [b"other"]


def test_outcomes_wait_for_the_high_watermark(core: Core) -> None:
    create_partitions(core, "t", TOPIC_ID, [(0, 0)], {"flush.messages": 1})
    late = Late()
    for i in range(20):
        assert late.all_of(core.append_all((one_append(0, b"a"),), late)) == [0]
        assert core.partition_info("t", 0).high_watermark == i + 1


def test_a_callback_that_raises_disturbs_nobody(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_partitions(core, "t", TOPIC_ID, [(0, 0)], {"flush.messages": 1})
    raised = threading.Event()
    monkeypatch.setattr(sys, "unraisablehook", lambda _: raised.set())

    def on_late(_index: int, _code: int) -> None:
        raise RuntimeError("from a callback")

    while core.append_all((one_append(0, b"a"),), on_late) != [None]:
        pass  # its fsync was that quick
    assert raised.wait(30)
    end = core.partition_info("t", 0).log_end_offset
    assert append_records(core, "t", 0, [(None, b"b")]) == end


def test_a_callback_is_given_back_once_it_was_called(core: Core) -> None:
    create_partitions(core, "t", TOPIC_ID, [(0, 0)], {"flush.messages": 1})
    gone = threading.Event()

    class Callback:
        def __call__(self, _index: int, _code: int) -> None:
            pass

        def __del__(self) -> None:
            gone.set()

    core.append_all((one_append(0, b"a"),), Callback())
    for _ in range(100):
        gc.collect()
        if gone.wait(0.1):
            break
    assert gone.is_set()


def run_script(script: str, tmp_path: Path) -> str:
    """Runs it in an interpreter of its own, which must end, and end well."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


START = """
    import sys, threading
    from barnabas import _core

    def started(path):
        core = _core.Core({})
        core.open_directories([path], "cluster", 1)
        core.load_partitions([], {})
        core.listen("127.0.0.1", 0)
        core.start()
        made = core.begin_creation("t", bytes(range(16)), [(0, 0)], {"flush.messages": 1})
        while made.next_directory() is not None:
            made.step()
        return core
"""


def test_a_core_that_is_dropped_running_stops(tmp_path: Path) -> None:
    script = """
    core = started(sys.argv[1])
    for i in range(200):
        core.append_all((("t", 0, ((None, b"x"),), None, None),), lambda index, code: None)
    del core
    print("stopped")
    """
    assert run_script(START + script, tmp_path) == "stopped\n"


def test_the_interpreter_ends_with_a_core_running_and_callbacks_due(tmp_path: Path) -> None:
    script = """
    _core.set_log_sink(lambda level, component, message: None)
    core = started(sys.argv[1])
    for i in range(200):
        core.append_all((("t", 0, ((None, b"x"),), None, None),), lambda index, code: None)
    print("ending")
    """
    assert run_script(START + script, tmp_path) == "ending\n"


def test_the_log_sink_gets_the_cores_lines(tmp_path: Path) -> None:
    lines: list[tuple[int, str, str]] = []
    _core.set_log_sink(lambda *line: lines.append(line))
    try:
        with barnabas.Log(tmp_path / "t-0") as log:
            log.append([(None, b"a" * 100)])
        segment = tmp_path / "t-0" / f"{0:020}.log"
        segment.write_bytes(segment.read_bytes()[:-1])
        (tmp_path / "t-0" / ".kafka_cleanshutdown").unlink()
        _core.Log(str(tmp_path / "t-0")).close()
    finally:
        _core.set_log_sink(None)
    assert any(level == 30 and "t-0" in message for level, _, message in lines)


@pytest.mark.parametrize("codec", range(5))
def test_codecs_round_trip_and_stop_at_the_limit(codec: int) -> None:
    data = b"some text " * 1000
    packed = _core.compress(codec, data)
    assert _core.decompress(codec, packed, len(data)) == data
    with pytest.raises(CoreError) as caught:
        _core.decompress(codec, packed, len(data) - 1)
    assert caught.value.code == TOO_LARGE


def test_damaged_streams_and_unknown_codecs_are_refused() -> None:
    with pytest.raises(CoreError) as caught:
        _core.decompress(1, b"not gzip", 100)
    assert caught.value.code == CORRUPT
    with pytest.raises(ValueError, match="codec"):
        _core.compress(5, b"")


def test_the_checksum_is_crc32c() -> None:
    assert _core.crc32c(b"123456789") == 0xE3069283
