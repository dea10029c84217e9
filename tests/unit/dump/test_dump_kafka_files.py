"""barnabas.dump on what Apache Kafka wrote, compared with what Kafka's own tool says of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from barnabas.dump.files import files_below, read_file
from barnabas.dump.finding import Damage, Entry
from peers.java import ToolShell
from peers.servers import KafkaServer

pytestmark = pytest.mark.java

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
CONFIG = {
    "log.index.interval.bytes": "200",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
}
_BATCH = re.compile(
    r"baseOffset: (\d+) lastOffset: (\d+) count: (\d+) .*"
    r"producerId: (-?\d+) producerEpoch: (-?\d+) .*"
    r"isTransactional: (\w+) isControl: (\w+) .*"
    r"position: (\d+) .*size: (\d+) .*compresscodec: (\w+) crc: (\d+) isvalid: (\w+)"
)
_INDEX = re.compile(r"^offset: (\d+) position: (\d+)", re.MULTILINE)
_TIME = re.compile(r"^timestamp: (\d+) offset: (\d+)", re.MULTILINE)
_PRODUCER = re.compile(r"producerId: (\d+) producerEpoch: (-?\d+) .*lastSequence: (-?\d+)")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a stopped Kafka: every codec, every kind of producer, a group."""
    server = KafkaServer(tmp_path_factory.mktemp("kafka"), CONFIG)
    with server:
        admin = AdminClient({"bootstrap.servers": server.bootstrap})
        topics = [NewTopic(name, 1, 1) for name in ("codecs", "kinds")]
        for future in admin.create_topics(topics).values():
            future.result()
        _produce_codecs(server.bootstrap)
        _produce_kinds(server.bootstrap)
        _commit(server.bootstrap)
        server.stop()
    return server.data_dir


def _produce_codecs(bootstrap: str) -> None:
    for codec in CODECS:
        config = {"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 20}
        producer = Producer(config)
        for i in range(300):
            producer.produce("codecs", b"value %d " % i * 9, b"%d" % i, headers=[("codec", codec)])
            if i % 50 == 49:
                producer.flush(20)


def _produce_kinds(bootstrap: str) -> None:
    idempotent = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    idempotent.produce("kinds", b"idempotent")
    idempotent.flush(20)
    transactional = Producer({"bootstrap.servers": bootstrap, "transactional.id": "tx"})
    transactional.init_transactions(20)
    for commits in (True, False):
        transactional.begin_transaction()
        transactional.produce("kinds", b"transactional")
        transactional.flush(20)
        if commits:
            transactional.commit_transaction(20)
        else:
            transactional.abort_transaction(20)


def _commit(bootstrap: str) -> None:
    config = {"bootstrap.servers": bootstrap, "group.id": "readers"}
    consumer = Consumer({**config, "auto.offset.reset": "earliest"})
    consumer.subscribe(["codecs"])
    message = consumer.poll(30)
    assert message is not None
    consumer.commit(message=message, asynchronous=False)
    consumer.close()


@pytest.fixture(scope="module")
def kafka_dump() -> Iterator[ToolShell]:
    with ToolShell() as shell:
        yield shell


def entries(path: Path, deep: bool = False) -> list[Entry]:
    findings = read_file(path, deep)
    assert findings is not None
    found = list(findings)
    assert [item for item in found if isinstance(item, Damage)] == [], path
    return [item for item in found if isinstance(item, Entry)]


def only(directory: Path, suffix: str) -> Path:
    (path,) = directory.glob(f"*{suffix}")
    return path


def test_nothing_that_kafka_wrote_is_damaged(data_dir: Path) -> None:
    paths = list(files_below(data_dir))
    found = {path.suffix or path.name for path in paths}
    assert found >= {
        ".log",
        ".index",
        ".timeindex",
        ".txnindex",
        ".snapshot",
        ".checkpoint",
        ".properties",
        ".metadata",
        "leader-epoch-checkpoint",
        "recovery-point-offset-checkpoint",
        ".kafka_cleanshutdown",
        "quorum-state",
    }
    for path in paths:
        entries(path, deep=True)


@pytest.mark.parametrize(
    "directory", ["codecs-0", "kinds-0", "__consumer_offsets-0", "__cluster_metadata-0"]
)
def test_batches_are_those_that_kafkas_tool_sees(
    data_dir: Path, kafka_dump: ToolShell, directory: str
) -> None:
    path = only(data_dir / directory, ".log")
    theirs = _BATCH.findall(kafka_dump.dump_log_segments([path]))
    ours = [
        (
            str(entry.fields["base_offset"]),
            str(entry.fields["last_offset"]),
            str(entry.fields["record_count"]),
            str(entry.fields.get("producer_id", -1)),
            str(entry.fields.get("producer_epoch", -1)),
            str(entry.fields["is_transactional"]).lower(),
            str(entry.fields["is_control"]).lower(),
            str(entry.position),
            str(entry.fields["size_bytes"]),
            str(entry.fields["codec"]),
            str(entry.fields["crc"]),
            str(entry.fields["is_valid"]).lower(),
        )
        for entry in entries(path)
    ]
    assert ours == theirs
    assert ours


def test_records_of_every_codec_are_read(data_dir: Path) -> None:
    found = entries(only(data_dir / "codecs-0", ".log"), deep=True)
    records = [entry.fields for entry in found if entry.kind == "record"]
    assert [record["offset"] for record in records] == list(range(1500))
    assert [record["value"] for record in records[:300]] == [
        b"value %d " % i * 9 for i in range(300)
    ]
    assert [record["headers"] for record in records[::300]] == [
        (("codec", codec.encode()),) for codec in CODECS
    ]


def test_markers_are_named(data_dir: Path) -> None:
    found = entries(only(data_dir / "kinds-0", ".log"), deep=True)
    assert [e.fields["control"] for e in found if "control" in e.fields] == ["commit", "abort"]
    (aborted,) = entries(only(data_dir / "kinds-0", ".txnindex"))
    assert (aborted.fields["first_offset"], aborted.fields["last_offset"]) == (3, 4)


def test_indexes_are_those_that_kafkas_tool_sees(data_dir: Path, kafka_dump: ToolShell) -> None:
    path = only(data_dir / "codecs-0", ".index")
    theirs = _INDEX.findall(kafka_dump.dump_log_segments([path]))
    ours = [(str(e.fields["offset"]), str(e.fields["segment_position"])) for e in entries(path)]
    assert ours == theirs
    path = only(data_dir / "codecs-0", ".timeindex")
    theirs = _TIME.findall(kafka_dump.dump_log_segments([path]))
    ours = [(str(e.fields["timestamp"]), str(e.fields["offset"])) for e in entries(path)]
    assert ours == theirs


def test_snapshots_are_those_that_kafkas_tool_sees(data_dir: Path, kafka_dump: ToolShell) -> None:
    path = only(data_dir / "kinds-0", ".snapshot")
    theirs = _PRODUCER.findall(kafka_dump.dump_log_segments([path]))
    names = ("producer_id", "producer_epoch", "last_sequence")
    ours = [tuple(str(e.fields[name]) for name in names) for e in entries(path)]
    assert sorted(ours) == sorted(theirs)
    assert len(ours) == 2


def test_internal_topics_have_names(data_dir: Path) -> None:
    found = entries(only(data_dir / "__consumer_offsets-0", ".log"), deep=True)
    commits = [e.fields for e in found if e.fields.get("record_type") == "OffsetCommit"]
    assert commits[0]["key"] == {"group": "readers", "topic": "codecs", "partition": 0}
    assert {e.fields.get("record_type") for e in found} >= {"GroupMetadata"}
    found = entries(only(data_dir / "__transaction_state-0", ".log"), deep=True)
    values = [entry.fields.get("value") for entry in found]
    statuses = [value["transaction_status"] for value in values if isinstance(value, dict)]
    assert statuses[0] == "empty"
    assert "ongoing" in statuses
    assert statuses[-1] == "complete_abort"
