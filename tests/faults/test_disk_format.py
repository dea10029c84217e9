"""Kafka's own dump tool reads our files, and we read what Apache Kafka wrote."""

import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from barnabas.log import Log
from clients.contract import CODECS, Record, any_records, create_topic
from clients.test_confluent_kafka import ConfluentClient
from clients.test_kafka_python import KafkaPythonClient
from faults.conftest import ServerFactory
from peers.java import ToolShell
from peers.servers import KafkaServer, Server

pytestmark = pytest.mark.java

# Frequent index entries and small segments, so that there is much to be read of each kind of file.
CONFIG = {
    "log.index.interval.bytes": "256",
    "offsets.topic.num.partitions": "1",
}
TOPIC_CONFIG = {"internal.segment.bytes": "131072"}
ROUNDS = 2
COMPLAINT = re.compile(
    r"mismatch|out of order|non-consecutive|isvalid: false|corrupt|invalid|exception|error|"
    r"not found|could not|failed",
    re.IGNORECASE,
)
GROUP = "dumped-group"


@pytest.fixture(scope="module")
def shell() -> Iterator[ToolShell]:
    with ToolShell() as started:
        yield started


def _fill(server: Server) -> tuple[str, list[Record]]:
    """Every codec, with and without idempotence, and a group's offsets."""
    topic = create_topic(server.bootstrap, config=TOPIC_CONFIG)
    sent: list[Record] = []
    for _ in range(ROUNDS):
        for codec in CODECS:
            for client in (ConfluentClient(), KafkaPythonClient(idempotent=False)):
                client.produce(server.bootstrap, topic, client.records(), codec)
                sent += client.records()
    ConfluentClient().consume_in_group(server.bootstrap, topic, GROUP, 10)
    return topic, sent


def _files(directory: Path, suffix: str) -> list[Path]:
    found = sorted(directory.glob(f"*{suffix}"))
    assert found, f"no {suffix} in {directory}"
    return found


def _dump(shell: ToolShell, files: list[Path], *options: str) -> str:
    output = shell.dump_log_segments(files, *options)
    complaints = [line for line in output.splitlines() if COMPLAINT.search(line)]
    assert complaints == []
    return output


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_kafkas_dump_tool_reads_every_file_without_complaint(
    new_server: ServerFactory, shell: ToolShell, ending: str
) -> None:
    server = new_server(CONFIG)
    topic, sent = _fill(server)
    if ending == "stop":
        server.stop()
    else:
        server.kill()
        server.start()
        server.stop()
    directory = server.partition_dir(topic, 0)
    logs = _files(directory, ".log")
    assert len(logs) > 1
    dumped = _dump(shell, logs, "--deep-iteration")
    offsets = re.findall(r"^\| offset: (\d+)", dumped, re.MULTILINE)
    assert [int(offset) for offset in offsets] == list(range(len(sent)))
    entries = _dump(shell, _files(directory, ".index"), "--index-sanity-check")
    assert "passed sanity check" in entries
    assert (
        len(
            re.findall(
                r"^offset: \d+ position: \d+",
                _dump(shell, _files(directory, ".index")),
                re.MULTILINE,
            )
        )
        > 10
    )
    times = _dump(shell, _files(directory, ".timeindex"))
    assert len(re.findall(r"^timestamp: \d+ offset: \d+", times, re.MULTILINE)) > 10
    _dump(shell, _files(directory, ".timeindex"), "--index-sanity-check")
    snapshots = _dump(shell, _files(directory, ".snapshot"))
    last = len(any_records()) - 1
    assert re.search(rf"producerId: \d+ producerEpoch: 0 .*lastSequence: {last}\b", snapshots)


def test_kafkas_dump_tool_decodes_committed_offsets(
    new_server: ServerFactory, shell: ToolShell
) -> None:
    server = new_server(CONFIG)
    topic, _ = _fill(server)
    server.stop()
    directory = server.partition_dir("__consumer_offsets", 0)
    dumped = _dump(shell, _files(directory, ".log"), "--offsets-decoder")
    committed = [line for line in dumped.splitlines() if f'"topic":"{topic}"' in line]
    assert committed
    assert f'"group":"{GROUP}"' in committed[-1]
    assert '"offset":10' in committed[-1]
    assert '"protocolType":"consumer"' in dumped
    assert '"generation":1' in dumped


@dataclass(frozen=True)
class Written:
    """What Apache Kafka left on disk when it was killed."""

    data_dir: Path
    directory: Path
    sent: list[Record]

    def copy(self, to: Path) -> Path:
        return Path(shutil.copytree(self.directory, to / self.directory.name))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    with KafkaServer(tmp_path_factory.mktemp("kafka"), CONFIG) as kafka:
        topic, sent = _fill(kafka)
        kafka.kill()
    return Written(kafka.data_dir, kafka.partition_dir(topic, 0), sent)


def test_what_apache_kafka_wrote_is_read_back_equal(written: Written) -> None:
    before = {path: path.read_bytes() for path in written.directory.iterdir()}
    with Log(written.directory, read_only=True) as log:
        batches = list(log.batches())
        assert log.end_offset == len(written.sent)
    records = [record for batch in batches for record in batch.records()]
    assert [record.offset for record in records] == list(range(len(written.sent)))
    found = [Record(r.value, r.key, tuple(r.headers), r.timestamp) for r in records]
    assert found == written.sent
    assert {batch.codec_name for batch in batches} == set(CODECS)
    assert {batch.producer_id >= 0 for batch in batches} == {True, False}
    assert {path: path.read_bytes() for path in written.directory.iterdir()} == before


def _barnabas_dump(*paths: Path) -> list[dict[str, Any]]:
    program = Path(sys.executable).with_name("barnabas")
    command: list[str | Path] = [program, "dump", "--json", "--records", *paths]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_barnabas_dump_reads_every_file_that_apache_kafka_wrote(written: Written) -> None:
    dumped = _barnabas_dump(written.directory)
    offsets = [entry["offset"] for entry in dumped if entry["type"] == "record"]
    assert offsets == list(range(len(written.sent)))
    batches = [entry for entry in dumped if entry["type"] == "batch"]
    assert {batch["codec"] for batch in batches} == set(CODECS)
    assert all(batch["is_valid"] for batch in batches)
    suffixes = {Path(entry["file"]).suffix for entry in dumped}
    assert {".log", ".index", ".timeindex", ".snapshot", ".metadata"} <= suffixes


def test_barnabas_dump_decodes_the_offsets_that_apache_kafka_stored(written: Written) -> None:
    dumped = _barnabas_dump(written.data_dir / "__consumer_offsets-0")
    topic, _, partition = written.directory.name.rpartition("-")
    key = {"group": GROUP, "topic": topic, "partition": int(partition)}
    committed = [entry["value"]["offset"] for entry in dumped if entry.get("key") == key]
    assert committed[-1] == 10


def test_a_log_of_apache_kafka_is_continued(written: Written, tmp_path: Path) -> None:
    directory = written.copy(tmp_path)
    end = len(written.sent)
    with Log(directory) as log:
        assert log.end_offset == end
        assert log.append([(b"key", b"value")]) == end
    with Log(directory, read_only=True) as log:
        assert [record.value for record in log.records(end)] == [b"value"]


def test_zeroed_tail_of_a_log_of_apache_kafka_is_not_a_batch(
    written: Written, tmp_path: Path
) -> None:
    directory = written.copy(tmp_path)
    end = len(written.sent)
    with _files(directory, ".log")[-1].open("ab") as file:
        file.write(struct.pack(">q", end) + bytes(5000))
    with Log(directory, read_only=True) as log:
        assert log.end_offset == end


def test_kafkas_dump_tool_reads_what_a_bare_log_wrote(
    written: Written, shell: ToolShell, tmp_path: Path
) -> None:
    directory = tmp_path / "bare-0"
    count = 0
    with Log(directory, config={"index.interval.bytes": 200}) as log:
        for codec in CODECS:
            for start in range(0, len(written.sent), 50):
                records = [
                    (r.key, r.value, r.timestamp_ms or 0, r.headers)
                    for r in written.sent[start : start + 50]
                ]
                log.append(records, codec=codec)
                count += len(records)
            log.roll()
    dumped = _dump(shell, _files(directory, ".log"), "--deep-iteration")
    assert len(re.findall(r"^\| offset: \d+", dumped, re.MULTILINE)) == count
    _dump(shell, _files(directory, ".index"), "--index-sanity-check")
    _dump(shell, _files(directory, ".timeindex"), "--index-sanity-check")
