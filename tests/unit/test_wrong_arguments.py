"""What the public Python API says of arguments that are none: which one, what was given, what is
taken.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from kio.schema.errors import ErrorCode

import barnabas
from barnabas.testing import faults


class Tools(NamedTuple):
    """Typed as anything: what they are handed is wrong on purpose."""

    broker: Any
    log: Any
    clock: Any
    producer: Any
    consumer: Any  # of a group
    api: Any  # barnabas
    faults: Any  # barnabas.testing.faults


LARGE = 2**63


async def see(_: object) -> None:
    """What a hook or a listener cannot be: nobody would await it."""


class Seer:
    """As `see`, an object."""

    async def __call__(self, _: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    clock = barnabas.VirtualClock()
    path = tmp_path_factory.mktemp("log") / "log"
    with barnabas.Broker(clock=clock) as broker, barnabas.Log(path) as log:
        broker.create_topic("t")
        broker.create_topic("own")
        consumer = broker.consumer(["t"], group="g")
        yield Tools(broker, log, clock, broker.producer(), consumer, barnabas, faults)
        assert log.end_offset == 0, "nothing of all that was taken"


def commit_offsets(tools: Tools) -> None:
    producer = tools.broker.producer(transactional_id="tx")
    with producer.transaction() as transaction:
        transaction.commit_offsets("g")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.api.Broker(5), "data_dir must be a str, a Path or None, not 5 (int)"),
        (lambda t: t.api.Broker(port="x"), "port must be an int, not 'x' (str)"),
        (lambda t: t.api.Broker(clock=1), "clock must be a barnabas.VirtualClock or None, not 1"),
        (lambda t: t.api.Broker(config=["a"]), "config must be a dict of Kafka's keys to values"),
        (
            lambda t: t.broker.fork(config={"num.partitions": [1]}),
            "config['num.partitions'] must be a str, int, float or bool, not [1] (list)",
        ),
        (lambda t: t.broker.create_topic(5), "name must be the name of a topic, not 5 (int)"),
        (
            lambda t: t.broker.create_topic("n", partitions="3"),
            "partitions must be an int, not '3' (str)",
        ),
        (lambda t: t.broker.create_topic("n", partitions=True), "not True (bool)"),
        (
            lambda t: t.broker.create_topic("n", config=["a"]),
            "config must be a dict of Kafka's keys to values, not ['a'] (list)",
        ),
        (
            lambda t: t.broker.create_topic("n", config={"retention.ms": None}),
            "config['retention.ms'] must be a str, int, float or bool, not None; without the key",
        ),
        (lambda t: t.broker.delete_topic(), "'name'"),
        (lambda t: t.broker.delete_topic(None), "name must be the name of a topic, not None"),
        (lambda t: t.broker.producer(transactional_id=5), "transactional_id must be a str or None"),
        (lambda t: t.broker.producer().flush("x"), "timeout must be a number of seconds or None"),
        (
            lambda t: t.broker.producer(linger_ms=60_000).send("t", b"").result("x"),
            "timeout must be a number of seconds or None, not 'x' (str)",
        ),
        (lambda t: t.broker.producer(linger_ms="x"), "linger_ms must be a number, not 'x'"),
        (lambda t: t.broker.producer(batch_size="x"), "batch_size must be an int, not 'x'"),
        (lambda t: t.broker.producer(compression_type=1), "compression_type must be one of none, "),
        (
            lambda t: t.broker.consumer("t"),
            "topics must be a list of names, such as ['orders'], not 't' (str)",
        ),
        (lambda t: t.broker.consumer(5), "topics must be a list of names"),
        (lambda t: t.broker.consumer([5]), "each of topics must be the name of a topic, not 5"),
        (
            lambda t: t.broker.consumer([("t", 0)]),
            "each of topics must be the name of a topic, not",
        ),
        (lambda t: t.broker.consumer(["t"], group=5), "group must be a str or None, not 5 (int)"),
        (lambda t: t.broker.consumer(["t"], timeout="x"), "timeout must be a number of seconds"),
        (lambda t: t.broker.consumer(["t"], on_revoked=1), "on_revoked must be something to be ca"),
        (
            lambda t: t.broker.consumer(["t"], group="g", session_timeout_ms="x"),
            "session_timeout_ms must be an int, not 'x' (str)",
        ),
        (lambda t: t.consumer.poll("x"), "timeout must be a number of seconds or None, not 'x'"),
        (lambda t: t.consumer.seek("t", 0, "x"), "offset must be an int, not 'x' (str)"),
        (lambda t: t.consumer.commit(["t"]), "offsets must be a dict of (topic, partition) to"),
        (lambda t: t.consumer.commit({"t": 1}), "each key of offsets must be (topic, partition)"),
        (lambda t: t.consumer.commit({("t", 0): "x"}), "each of offsets must be an int, not 'x'"),
        (commit_offsets, "consumer must be a consumer, as Broker.consumer() makes it, not 'g'"),
        (lambda t: t.broker.on_append("t", 5), "call must be something to be called with a batch"),
        (lambda t: t.broker.on_append(5, print), "topic must be the name of a topic, not 5 (int)"),
        (lambda t: t.clock.advance(5), "by must be a timedelta, not 5 (int); or say of what: sec"),
        (lambda t: t.clock.step(5), "by must be a timedelta, not 5 (int)"),
        (lambda t: t.clock.advance(), "say by how much: a timedelta, or seconds=5, for instance"),
        (lambda t: t.clock.step(), "say by how much: a timedelta, or seconds=5, for instance"),
        (lambda t: t.clock.advance(day=1), "there is no 'day' of a timedelta: did you mean days?"),
        (lambda t: t.clock.advance(days="1"), "days must be a number, not '1' (str)"),
        (lambda t: t.api.VirtualClock(5), "start must be a datetime with a time zone, or None"),
        (lambda t: t.api.scan(5, "t"), "source must be a data directory, a list of them, or HOST"),
        (lambda t: t.api.scan(".", 5), "topic must be the name of a topic, not 5 (int)"),
        (
            lambda t: t.api.scan(".", "t", partitions=0),
            "partitions must be a list of numbers, such as [0], or None, not 0 (int)",
        ),
        (lambda t: t.api.scan(".", "t", partitions=["0"]), "each of partitions must be an int"),
        (lambda t: t.api.Log(5), "path must be a str or a Path, not 5 (int)"),
        (lambda t: t.api.Log("l", config=["a"]), "config must be a dict of Kafka's keys to values"),
        (lambda t: t.log.append(b"x"), "records must be a list of (key, value), (key, value, tim"),
        (lambda t: t.log.append(5), "records must be a list of (key, value), "),
        (lambda t: t.log.append((b"k", b"v")), "a record is (key, value, ...), not bytes"),
        (lambda t: t.log.append([5]), "records[0] must be one of (key, value), "),
        (lambda t: t.log.append([(b"k",)]), "records[0] must be one of (key, value), "),
        (lambda t: t.log.append([(b"k", "v")]), "the value of records[0] must be bytes or None"),
        (lambda t: t.log.append([(b"k", b"v", "x")]), "the timestamp of records[0] must be ms si"),
        (
            lambda t: t.log.append([(None, b""), (b"k", b"v", 1, [b"h"])]),
            "each header of records[1] must be (str, bytes or None), not b'h' (bytes)",
        ),
        (
            lambda t: t.log.append([(b"k", b"v", 1, [("h", "v")])]),
            "each header of records[0] must be (str, bytes or None), not ('h', 'v') (tuple)",
        ),
        (
            lambda t: t.log.append([(b"k", b"v", 1, 5)]),
            "the headers of records[0] must be a list of (str, bytes or None), not 5 (int)",
        ),
        (
            lambda t: t.log.append_many([b""], timestamps=[1], timestamp_ms=1),
            "timestamp_ms is one for all, and each record has its own: give one of them",
        ),
        (lambda t: t.log.append([(None, b"")], timestamp_ms="x"), "timestamp_ms must be ms since"),
        (lambda t: t.log.append_batch("x"), "batch must be bytes, one encoded batch, not 'x'"),
        (lambda t: t.log.read("x"), "offset must be an int, not 'x' (str)"),
        (lambda t: t.broker.faults.fail(5), "api must be the name of an API, such as 'Produce'"),
        (lambda t: t.broker.faults.fail("Produce"), "error must be one of Kafka's errors, such as"),
        (lambda t: t.broker.faults.fail("Produce", time=1), "BrokerFaults.fail() got an un"),
        (lambda t: t.consumer.seek_to_time("x"), "timestamp_ms must be ms since the epoch, "),
        (
            lambda t: t.broker.producer().send("t", b"", timestamp="x"),
            "timestamp must be ms since the epoch, a datetime with a time zone or a datetime64, no",
        ),
        (lambda t: t.broker.faults.delay("Produce", seconds="x"), "seconds must be a number, not"),
        (
            lambda t: t.faults.fail("write", error="ENOSPC"),
            "error must be a number of the module errno, not 'ENOSPC' (str); errno.ENOSPC is one",
        ),
        (lambda t: t.broker.faults.disk.fail("write", 5), "pattern must be a str, not 5 (int)"),
        (lambda t: t.broker.on_append("t", see), "; it is called, and not awaited"),
        (lambda t: t.broker.on_append("t", Seer()), "; it is called, and not awaited"),
        (lambda t: t.broker.consumer(["t"], on_assigned=see), "; it is called, and not awaited"),
        (
            lambda t: t.broker.consumer(["t"], enable_auto_commit="false"),
            "enable_auto_commit must be True or False, not 'false' (str)",
        ),
        (lambda t: t.log.append_many([b""], timestamp_ms=1.9), "timestamp_ms must be ms since the"),
        (
            lambda t: t.broker.producer().send_many("t", pa.scalar(b"x")),
            "values must be a sequence of bytes, str or None, not <pyarrow.BinaryScalar: b'x'> (",
        ),
        (
            lambda t: t.broker.producer().send_many("t", pa.py_buffer(b"x")),
            "values must be a sequence of bytes, str or None, not <pyarrow.Buffer",
        ),
    ],
)
def test_a_wrong_type_is_named(tools: Tools, call: Callable[[Tools], object], message: str) -> None:
    with pytest.raises(TypeError) as refused:
        call(tools)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.api.Broker(""), "data_dir must be a directory, and is empty"),
        (lambda t: t.api.Broker(port=70000), "port must be 1 to 65535, or 0 for any that is free"),
        (lambda t: t.broker.consumer([]), "topics must be a list of names, such as ['orders'], an"),
        (lambda t: t.clock.advance(seconds=-1), "time does not go back"),
        (lambda t: t.clock.advance(hours=float("nan")), "hours must be a number, not nan"),
        (
            lambda t: t.clock.advance(hours=float("inf")),
            "hours=inf is more than a timedelta can be",
        ),
        (lambda t: t.clock.advance(days=10**400), "is more than a timedelta can be"),
        (lambda t: t.api.VirtualClock(datetime(2024, 1, 1)), "no time zone"),
        (lambda t: t.api.scan("host:99999", "t"), "source 'host:99999': a port is 1 to 65535"),
        (lambda t: t.api.scan([], "t"), "source must be a data directory, a list of them, or HOS"),
        (
            lambda t: t.broker.faults.fail("wrte"),
            "there is no API 'wrte': write is a call of the disk (faults.disk)",
        ),
        (lambda t: t.broker.faults.fail("produce"), "'produce': did you mean Produce?"),
        (lambda t: t.broker.faults.fail("write"), "no API 'write': write is a call of the disk"),
        (
            lambda t: t.broker.faults.fail("Produce", error="ENOSPC"),
            "no error 'ENOSPC' of Kafka's: it is of the disk (faults.disk)",
        ),
        (
            lambda t: t.broker.faults.fail("Produce", error="NOT_LEADER"),
            "did you mean NOT_LEADER_OR_FOLLOWER",
        ),
        (lambda t: t.faults.fail("wrte"), "there is no call 'wrte': did you mean write?"),
        (lambda t: t.broker.faults.disk.fail("xyz"), "'xyz': there are open, write, read, "),
        (lambda t: t.broker.faults.delay("Produce", seconds=1e30), "seconds=1e+30 is not within 0"),
        (lambda t: t.broker.faults.drop("Produce", times=2**64), "times=18446744073709551616: it"),
        (lambda t: t.faults.hold("write", nth=2**64), "nth=18446744073709551616: it must count"),
        (lambda t: t.broker.faults.disk.delay("write", seconds=-1), "seconds=-1 is not within 0"),
        (lambda t: t.faults.delay("write", seconds=float("nan")), "seconds=nan is not within 0"),
        (lambda t: t.broker.faults.disk.short("write", size=-1), "size -1 is below zero"),
        (lambda t: t.broker.faults.disk.tear(size=-1), "size -1 is below zero"),
        (lambda t: t.faults.fail("write", error=0), "error 0 is no number of the module errno"),
        (lambda t: t.faults.fail("write", error=-5), "error -5 is no number of the module errno"),
        (lambda t: t.faults.fail("write", error=10**10), "error 10000000000 is no number of the"),
        (lambda t: t.broker.producer().send("t", b"", timestamp=LARGE), "timestamp 92233720368"),
        (lambda t: t.broker.producer().send_many("t", [b""], timestamp=LARGE), "timestamp 9223372"),
        (
            lambda t: t.broker.producer().send("t", b"", timestamp=datetime(2026, 1, 1)),
            "timestamp 2026-01-01 00:00:00 has no time zone, so that it is no point in time",
        ),
        (lambda t: t.consumer.seek_to_time(datetime(2026, 1, 1)), "2026-01-01 00:00:00 has no ti"),
        (lambda t: t.consumer.seek_to_time(np.datetime64("NaT")), "timestamp_ms NaT is no time of"),
        (lambda t: t.consumer.seek_to_time(np.datetime64(2**62, "D")), "is no time of int"),
        (lambda t: t.consumer.seek("t", 0, LARGE), "offset 9223372036854775808 is not within 0"),
        (lambda t: t.consumer.seek_to_time(LARGE), "timestamp_ms 9223372036854775808 is not"),
        (lambda t: t.consumer.commit({("t", 0): LARGE}), "each of offsets 9223372036854775808 is"),
        (lambda t: t.consumer.commit({("t", LARGE): 0}), "each partition of offsets 922337203"),
        (lambda t: t.api.Log(""), "path must be a directory, and is empty"),
        (lambda t: t.log.append([(b"", b"")], timestamp_ms=LARGE), "timestamp_ms 92233720368"),
        (lambda t: t.log.append([(b"", b"", LARGE)]), "the timestamp of records[0] 9223372036854"),
        (lambda t: t.log.append_many([b""], timestamp_ms=LARGE), "timestamp_ms 92233720368"),
        (lambda t: t.log.read(LARGE), "offset 9223372036854775808 is not within"),
        (lambda t: t.log.read_bytes(0, max_bytes=-1), "max_bytes -1 is below zero"),
        (lambda t: t.log.truncate(LARGE), "offset 9223372036854775808 is not within"),
        (lambda t: t.log.offset_for_timestamp(LARGE), "timestamp_ms 9223372036854775808 is not"),
    ],
)
def test_a_value_that_cannot_be_is_named(
    tools: Tools, call: Callable[[Tools], object], message: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        call(tools)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        *(
            ({f"{name}_ms": value}, f"{name}_ms {value} is not within 1 and 2147483647")
            for name in ("session_timeout", "heartbeat_interval", "max_poll_interval")
            for value in (0, -1, 2**40)
        ),
        ({"auto_commit_interval_ms": -1}, "auto_commit_interval_ms -1 is not within 1 and"),
        ({"auto_commit_interval_ms": 2**40}, "auto_commit_interval_ms 1099511627776 is not with"),
        ({"fetch_bytes": 2**70}, "fetch_bytes 1180591620717411303424 is not within 1 and"),
        ({"group": "g" * 40_000}, "has 40,000 bytes: 32,767 at most"),
        ({"group": "\ud800"}, r"group '\ud800' is no text"),
        ({"group_instance_id": "i" * 40_000}, "has 40,000 bytes: 32,767 at most"),
        ({"group": None, "group_instance_id": "i"}, "group_instance_id 'i' needs a group"),
        ({"heartbeat_interval_ms": 45_000}, "heartbeat_interval_ms 45000 must be less than sess"),
        (
            {"session_timeout_ms": 5_999},
            "session_timeout_ms 5999 is not within 6000 and 1800000 (the broker's group.min.session"
            ".timeout.ms and group.max.session.timeout.ms)",
        ),
        ({"session_timeout_ms": 2_000_000}, "session_timeout_ms 2000000 is not within 6000 and 18"),
    ],
)
def test_a_consumers_setting_that_cannot_be_is_named(
    tools: Tools, caplog: pytest.LogCaptureFixture, setting: dict[str, Any], message: str
) -> None:
    with pytest.raises(barnabas.ConfigError) as refused:
        tools.broker.consumer(**{"topics": ["t"], "group": "g", **setting})
    assert message in str(refused.value)
    assert not caplog.records


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "\ud800", "t" * 250])
@pytest.mark.parametrize(
    "call",
    [
        lambda t, name: t.broker.consumer(["t", name]),
        lambda t, name: t.broker.on_append(name, print),
    ],
    ids=["consumer", "on_append"],
)
def test_what_can_be_no_topic_is_refused(
    tools: Tools, call: Callable[[Tools, str], object], name: str
) -> None:
    with pytest.raises(barnabas.KafkaError, match="must be 1 to 249 of a-z") as refused:
        call(tools, name)
    assert refused.value.code is ErrorCode.invalid_topic_exception


@pytest.mark.parametrize("name", ["t" * 249, "...", "A.b_c-9"])
def test_every_name_that_a_topic_may_have_is_taken(tools: Tools, name: str) -> None:
    with tools.broker.consumer([name]) as consumer:
        assert consumer.poll() is None


@pytest.mark.parametrize("timeout_ms", [0, -1, 900_001])
def test_a_transaction_timeout_that_the_broker_refuses_is_named(
    tools: Tools, timeout_ms: int
) -> None:
    message = rf"transaction_timeout_ms {timeout_ms} is not within 1 and 900000 \(the broker's tra"
    with pytest.raises(barnabas.ConfigError, match=message):
        tools.broker.producer(transactional_id="tx", transaction_timeout_ms=timeout_ms)


@pytest.mark.parametrize("transactional_id", ["x" * 40_000, "\ud800"])
def test_a_transactional_id_that_cannot_be_is_refused(tools: Tools, transactional_id: str) -> None:
    with pytest.raises(barnabas.ConfigError, match="transactional_id"):
        tools.broker.producer(transactional_id=transactional_id)


WAITS: dict[str, Callable[[Tools, float], object]] = {
    "poll": lambda t, timeout: t.consumer.poll(timeout),
    "iteration": lambda t, timeout: t.broker.consumer(["t"], timeout=timeout),
    "committed": lambda t, timeout: t.consumer.committed(timeout),
    "flush": lambda t, timeout: t.broker.producer().flush(timeout),
    "pending": lambda t, timeout: t.producer.send("own", b"").result(timeout),
    "bulk": lambda t, timeout: t.producer.send_many("own", [b""]).result(timeout),
    "hook": lambda t, timeout: t.broker.on_append("own", print).wait(timeout),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_nan_is_no_timeout(tools: Tools, wait: Callable[[Tools, float], object]) -> None:
    with pytest.raises(ValueError, match="timeout must be a number of seconds or None, not nan"):
        wait(tools, float("nan"))


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 10**400])
@pytest.mark.parametrize("wait", [WAITS[name] for name in ("pending", "bulk", "flush", "hook")])
def test_what_is_longer_than_a_life_is_no_timeout(
    tools: Tools, wait: Callable[[Tools, float], object], timeout: float
) -> None:
    assert wait(tools, timeout) is not False


def test_a_timeout_below_zero_is_over_at_once(tools: Tools) -> None:
    assert tools.broker.consumer(["t"]).poll(float("-inf")) is None
    lingers = tools.broker.producer(linger_ms=3_600_000).send("own", b"")
    with pytest.raises(TimeoutError):
        lingers.result(float("-inf"))


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("localhost", "localhost:9092"),
        ("localhost:", "localhost:9092"),
        ("localhost:x", "localhost:9092"),
        (":9092", "localhost:9092"),
        ("[::1]", r"\[::1\]:9092"),
    ],
)
def test_a_scan_of_a_cluster_without_a_port_says_what_is_meant(source: str, meant: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"a cluster is HOST:PORT, such as {meant}$"):
        barnabas.scan(source, "t")


def test_a_scan_of_a_file_says_that_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file, not a data directory"):
        barnabas.scan(tmp_path / "file", "t")


def test_a_directory_is_given_once(tmp_path: Path) -> None:
    with pytest.raises(barnabas.ConfigError, match=r"data_dir='.*' and log\.dirs: give one"):
        barnabas.Broker(tmp_path / "a", config={"log.dirs": str(tmp_path / "b")})


@pytest.mark.parametrize("blank", ["", " "])
def test_no_directory_at_all_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(barnabas.ConfigError, match=r"log\.dirs: There must be one at least"):
        barnabas.Broker(config={"log.dirs": blank})
    assert not any(tmp_path.iterdir())


def test_what_only_looks_odd_is_taken(tools: Tools) -> None:
    tools.broker.create_topic("odd", partitions=np.int64(2), config={"retention.ms": np.int64(5)})
    consumer = tools.broker.consumer({"odd"}, timeout=np.float32(0))
    assert consumer.assignment() == [("odd", 0), ("odd", 1)]
    assert consumer.poll(np.float64(0)) is None
    tools.broker.delete_topic("odd")
