"""Each file of a data directory damaged or gone: it is rebuilt, or the start is refused, and either
is said. What readers are given is never wrong. An empty checkpoint is one that says nothing, as
with Kafka, which makes them so.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

import barnabas
from barnabas.errors import StartError
from faults.rows import Row
from faults.segments import flip_bit
from faults.test_compaction import await_true
from unit.wire import WireClient

TIMEOUT_S = 30
CONFIG = {"log.cleaner.backoff.ms": "100", "log.cleaner.dedupe.buffer.size": "2000000"}
SMALL = {"internal.segment.bytes": "1500", "index.interval.bytes": "200", "retention.ms": "-1"}
TRIMMED_TO = 23
FIRST_MS = 1_700_000_000_000

Damage = Callable[[Path], object]
DAMAGES: dict[str, Damage] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "garbage": lambda path: path.write_bytes(b"\xff" * path.stat().st_size),
}
MISSING, EMPTY, CUT, GARBAGE = DAMAGES
ALL = tuple(DAMAGES)


@dataclass(frozen=True)
class Files:
    """`refused` and `said`: by which damage the start is, and what a line of the log says."""

    pattern: str
    refused: dict[str, str]
    said: dict[str, str]
    forgets_the_log_start: bool = False
    damages: tuple[str, ...] = ALL


FILES = [
    Files("t-0/*.index", {}, {MISSING: "rebuilding", GARBAGE: "rebuilding"}),
    Files("t-0/*.timeindex", {}, {MISSING: "rebuilding", GARBAGE: "rebuilding"}),
    Files(
        "t-0/*.txnindex",
        {},
        {
            MISSING: "missing, rebuilding it",
            EMPTY: "missing, rebuilding it",
            CUT: "damaged, rebuilding it",
            GARBAGE: "damaged, rebuilding it",
        },
    ),
    Files(
        "t-0/*.txnindex.crc",
        {},
        dict.fromkeys((EMPTY, GARBAGE), "txnindex: damaged, rebuilding it"),
    ),
    Files("t-0/*.snapshot", {}, dict.fromkeys((EMPTY, CUT, GARBAGE), "not used, an older one")),
    Files(
        "t-0/leader-epoch-checkpoint",
        {},
        {GARBAGE: "rebuilding it from the log"},
    ),
    Files("t-0/partition.metadata", {}, {}),
    Files(
        "recovery-point-offset-checkpoint",
        {},
        dict.fromkeys(ALL, "every log is checked in full"),
    ),
    Files(
        "recovery-point-offset-checkpoint.crc",
        {},
        dict.fromkeys((EMPTY, GARBAGE), "every log is checked in full"),
    ),
    Files(
        "log-start-offset-checkpoint",
        dict.fromkeys(ALL, "log-start-offset-checkpoint: is not what was written there"),
        {},
    ),
    Files(
        "log-start-offset-checkpoint.crc",
        dict.fromkeys((EMPTY, GARBAGE), "log-start-offset-checkpoint.crc: "),
        {},
    ),
    # The way out that the refusal tells.
    Files("log-start-offset-checkpoint*", {}, {}, forgets_the_log_start=True, damages=(MISSING,)),
    Files("replication-offset-checkpoint", {}, {GARBAGE: "not used"}),
    Files(
        "cleaner-offset-checkpoint",
        {},
        dict.fromkeys(ALL, "compacted logs are compacted from their start"),
    ),
    Files(
        "cleaner-offset-checkpoint.crc",
        {},
        dict.fromkeys((EMPTY, GARBAGE), "compacted logs are compacted from their start"),
    ),
    Files("transaction-index-checkpoint", {}, {GARBAGE: "is not missed"}),
    Files(
        "meta.properties",
        {
            MISSING: "not made by Barnabas",
            EMPTY: 'version is "", not 1',
            GARBAGE: 'version is "", not 1',
        },
        {},
    ),
    Files(
        "metadata.sqlite",
        {
            MISSING: "that no metadata.sqlite knows",
            EMPTY: "that no metadata.sqlite knows",
            GARBAGE: "metadata.sqlite",
        },
        {},
        damages=(MISSING, EMPTY, GARBAGE),  # single bytes are for test_damaged_store
    ),
]


@dataclass(frozen=True)
class View:
    """What clients are given."""

    all: list[tuple[int, bytes | None]]
    committed: list[tuple[int, bytes | None]]
    trimmed: list[tuple[int, bytes | None]]
    values: dict[bytes | None, bytes | None]  # of the compacted topic
    look_ups: list[int]
    epoch_end: int
    producers: list[tuple[int, int, int]]


def records(
    broker: barnabas.Broker, topic: str, isolation: str = "read_uncommitted"
) -> list[tuple[int, bytes | None, bytes | None]]:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "g",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end is told by an answer without records
            "isolation.level": isolation,
            "check.crcs": True,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while True:
        message = consumer.poll(TIMEOUT_S)
        assert message is not None
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            break
        found.append((message.offset() or 0, message.key(), message.value()))
    consumer.close()
    return found


def look(broker: barnabas.Broker) -> View:
    def values_of(topic: str, isolation: str) -> list[tuple[int, bytes | None]]:
        return [(at, value) for at, _, value in records(broker, topic, isolation)]

    with WireClient(broker.bootstrap_servers) as client:
        wanted = [{"partition_index": 0, "timestamp": FIRST_MS + n} for n in range(0, 30, 7)]
        look_ups = [
            client.ask("ListOffsets", 7, replica_id=-1, topics=[{"name": "t", "partitions": [one]}])
            .topics[0]
            .partitions[0]
            .offset
            for one in wanted
        ]
        asked: dict[str, Any] = {"partition": 0, "current_leader_epoch": -1, "leader_epoch": 0}
        ends = client.ask(
            "OffsetForLeaderEpoch", 4, replica_id=-1, topics=[{"topic": "t", "partitions": [asked]}]
        )
        active = client.ask(
            "DescribeProducers", 0, topics=[{"name": "t", "partition_indexes": [0]}]
        )
    return View(
        values_of("t", "read_uncommitted"),
        values_of("t", "read_committed"),
        values_of("trimmed", "read_uncommitted"),
        {key: value for _, key, value in records(broker, "compacted")},
        look_ups,
        ends.topics[0].partitions[0].end_offset,
        sorted(
            (one.producer_id, one.last_sequence, one.current_txn_start_offset)
            for one in active.topics[0].partitions[0].active_producers
        ),
    )


def fill(broker: barnabas.Broker) -> None:
    servers: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.bootstrap_servers}
    for topic in ("t", "trimmed"):
        broker.create_topic(topic, config=SMALL)
    state = {**SMALL, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"}
    broker.create_topic("compacted", config=state)
    transactional = Producer({**servers, "transactional.id": "x"})
    transactional.init_transactions(TIMEOUT_S)
    idempotent = Producer({**servers, "enable.idempotence": True, "linger.ms": 0})
    for number in range(30):
        transactional.begin_transaction()
        value = b"%d " % number + bytes(50)
        transactional.produce("t", value, partition=0, timestamp=FIRST_MS + number)
        if number % 3:
            transactional.commit_transaction(TIMEOUT_S)
        else:
            transactional.flush(TIMEOUT_S)
            transactional.abort_transaction(TIMEOUT_S)
        idempotent.produce("t", b"between", partition=0, timestamp=FIRST_MS + number)
        idempotent.produce("trimmed", bytes(50), partition=0)
        idempotent.produce("compacted", b"%d" % number + bytes(50), b"%d" % (number % 4))
        assert idempotent.flush(TIMEOUT_S) == 0
    admin = AdminClient(servers)
    (trimmed,) = admin.delete_records([TopicPartition("trimmed", 0, TRIMMED_TO)]).values()
    trimmed.result(TIMEOUT_S)
    checkpoint = broker.data_dir / "cleaner-offset-checkpoint"
    await_true(lambda: checkpoint.exists() and "compacted 0 " in checkpoint.read_text())


def await_line(lines: list[str], what: str) -> None:
    await_true(lambda: any(what in line for line in lines))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, View]]:
    """The directory after a clean stop, and after a SIGKILL."""
    root = tmp_path_factory.mktemp("before")
    with barnabas.Broker(root / "clean", config=CONFIG) as broker:
        fill(broker)
    # A second run, so that the kill comes after a clean stop.
    with barnabas.Broker(root / "clean", config=CONFIG) as broker:
        view = look(broker)
        shutil.copytree(root / "clean", root / "killed")
    return {"clean": (root / "clean", view), "killed": (root / "killed", view)}


@pytest.mark.parametrize("stop", ["clean", "killed"])
@pytest.mark.parametrize("files", FILES, ids=lambda files: files.pattern.rpartition("/")[2])
def test_a_damaged_file_is_rebuilt_or_the_start_is_refused(
    before: dict[str, tuple[Path, View]],
    tmp_path: Path,
    core_log: list[str],
    measured: Callable[[str], None],
    count: Callable[..., None],
    *,
    files: Files,
    stop: str,
) -> None:
    source, expected = before[stop]
    outcomes = []
    for name in files.damages:
        root = tmp_path / name
        shutil.copytree(source, root)
        damaged = [path for path in root.glob(files.pattern) if path.stat().st_size]
        assert damaged
        for path in damaged:
            DAMAGES[name](path)
        core_log.clear()
        if name in files.refused:
            with pytest.raises(StartError) as refused:
                barnabas.Broker(root, config=CONFIG)
            assert files.refused[name] in str(refused.value)
            outcomes.append(f"{name}: refused")
            continue
        for _ in range(2):  # what is rebuilt is so for good
            with barnabas.Broker(root, config=CONFIG) as broker:
                found = look(broker)
            if files.forgets_the_log_start:
                assert found.trimmed[-len(expected.trimmed) :] == expected.trimmed
            else:
                assert found.trimmed == expected.trimmed
            assert (found.all, found.committed) == (expected.all, expected.committed)
            assert found.values == expected.values
            assert found.look_ups == expected.look_ups
            assert found.epoch_end == expected.epoch_end
            assert found.producers == expected.producers
        what = files.said.get(name, "")
        print(name, *core_log, sep="\n  ")
        if what:
            await_line(core_log, what)
        outcomes.append(f"{name}: as before")
    measured("; ".join(outcomes))
    count(Row.DAMAGED_FILE, len(outcomes))


@pytest.mark.parametrize(
    ("pattern", "refused"),
    [
        ("t-0/leader-epoch-checkpoint", ""),
        ("recovery-point-offset-checkpoint", ""),
        ("log-start-offset-checkpoint", "log-start-offset-checkpoint"),
    ],
)
def test_one_wrong_bit_is_put_right_or_the_file_is_named(
    before: dict[str, tuple[Path, View]],
    tmp_path: Path,
    pattern: str,
    refused: str,
    count: Callable[..., None],
) -> None:
    """A few bits of each; tests/native/storage/wrong_bit_test.cc has those of what is in a log."""
    source, expected = before["killed"]
    size = (source / pattern).stat().st_size
    for number, bit in enumerate(range(3, 8 * size, 8 * size // 6)):
        root = tmp_path / str(number)
        shutil.copytree(source, root)
        flip_bit(root / pattern, bit)
        if refused:
            with pytest.raises(StartError, match=refused):
                barnabas.Broker(root, config=CONFIG)
        else:
            with barnabas.Broker(root, config=CONFIG) as broker:
                assert look(broker) == expected, bit
        shutil.rmtree(root)
    count(Row.DAMAGED_FILE, number + 1)


def test_a_wrong_bit_in_a_topic_id_costs_nothing_once_the_file_is_removed(
    before: dict[str, tuple[Path, View]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    count: Callable[..., None],
) -> None:
    source, expected = before["clean"]
    shutil.copytree(source, tmp_path / "data")
    metadata = tmp_path / "data" / "t-0" / "partition.metadata"
    flip_bit(metadata, 8 * (metadata.read_bytes().index(b"topic_id: ") + len("topic_id: ")) + 1)
    broker = barnabas.Broker(tmp_path / "data", config=CONFIG)
    assert "by its partition.metadata. If it is this topic's, remove that file" in caplog.text
    with pytest.raises(barnabas.BarnabasError, match="t-0 was not opened"):
        broker.close()
    metadata.unlink()
    with barnabas.Broker(tmp_path / "data", config=CONFIG) as broker:
        assert look(broker) == expected
    count(Row.DAMAGED_FILE)
