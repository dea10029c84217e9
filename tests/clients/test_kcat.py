"""kcat (librdkafka), through its command line."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from clients.contract import (
    SESSION_TIMEOUT_MS,
    Client,
    ClientContract,
    Member,
    Record,
    any_records,
    create_topic,
    text_records,
)
from clients.test_confluent_kafka import ConfluentClient
from peers.processes import Child
from peers.servers import Server

TIMEOUT_S = 30
KEY_DELIMITER = b"|"
HEADERS = (("source", b"kcat"), ("twice", b"1"), ("twice", b"2"))
_ASSIGNED = re.compile(r"assigned: (.*)")
_PARTITION = re.compile(r"\[(\d+)\]")


class KcatClient(Client):
    sets_timestamps = False  # it has no option for them

    def records(self) -> list[Record]:
        return text_records(HEADERS)

    def produce(self, bootstrap: str, topic: str, records: Sequence[Record], codec: str) -> None:
        lines = [(r.key or b"") + KEY_DELIMITER + (r.value or b"") + b"\n" for r in records]
        headers = [f"-H{name}={(value or b'').decode()}" for name, value in records[0].headers]
        options = ["-P", "-t", topic, "-p0", "-Z", f"-K{KEY_DELIMITER.decode()}", f"-z{codec}"]
        _kcat(bootstrap, *options, *headers, "-Xlinger.ms=50", stdin=b"".join(lines))

    def consume(self, bootstrap: str, topic: str, count: int) -> list[Record]:
        options = ["-C", "-t", topic, "-p0", "-obeginning", f"-c{count}", "-J"]
        return _records(_kcat(bootstrap, *options))

    def consume_since(
        self, bootstrap: str, topic: str, timestamp_ms: int, count: int
    ) -> list[Record]:
        options = ["-C", "-t", topic, "-p0", f"-os@{timestamp_ms}", f"-c{count}", "-J"]
        return _records(_kcat(bootstrap, *options))

    def consume_in_group(self, bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
        options = ["-Xauto.offset.reset=earliest", f"-c{count}", "-J", f"-G{group}", topic]
        return _records(_kcat(bootstrap, *options))

    def start_member(self, bootstrap: str, topic: str, group: str, directory: Path) -> Member:
        command = [
            "kcat",
            f"-b{bootstrap}",
            "-Xauto.offset.reset=earliest",
            f"-Xsession.timeout.ms={SESSION_TIMEOUT_MS}",
            f"-Xheartbeat.interval.ms={SESSION_TIMEOUT_MS // 6}",
            "-Xauto.commit.interval.ms=50",
            "-u",
            "-f%s\n",
            f"-G{group}",
            topic,
        ]
        return KcatMember(Child(command, directory, "member"))


class KcatMember(Member):
    def assignment(self) -> frozenset[int]:
        found = _ASSIGNED.findall(self.child.stderr())
        return frozenset(map(int, _PARTITION.findall(found[-1]))) if found else frozenset()

    def values(self) -> set[str]:
        return set(self.child.stdout().split("\n")[:-1])


def _kcat(bootstrap: str, *options: str, stdin: bytes = b"") -> str:
    return _kcat_bytes(bootstrap, *options, stdin=stdin).decode()


def _kcat_bytes(bootstrap: str, *options: str, stdin: bytes = b"") -> bytes:
    command = ["kcat", f"-b{bootstrap}", "-q", *options]
    run = subprocess.run(command, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout


def _records(output: str) -> list[Record]:
    return [_record(json.loads(line)) for line in output.splitlines()]


def _record(envelope: dict[str, object]) -> Record:
    def text(value: object) -> bytes | None:
        return None if value is None else str(value).encode()

    flat = envelope.get("headers", [])
    assert isinstance(flat, list)
    headers = tuple(zip(flat[::2], map(text, flat[1::2]), strict=True))
    timestamp = envelope["ts"]
    assert isinstance(timestamp, int)
    return Record(text(envelope["payload"]), text(envelope["key"]), headers, timestamp)


class TestKcat(ClientContract):
    client = KcatClient()

    @pytest.mark.oracle
    def test_it_reads_the_bytes_and_timestamps_that_another_client_wrote(
        self, server: Server
    ) -> None:
        topic = create_topic(server.bootstrap)
        sent = any_records()
        ConfluentClient().produce(server.bootstrap, topic, sent, "none")
        # Lengths first: keys and values may hold any byte, and -1 is null.
        options = ["-C", "-t", topic, "-p0", "-obeginning", f"-c{len(sent)}", "-f%T %K %S %k%s"]
        output = _kcat_bytes(server.bootstrap, *options)
        for record in sent:
            timestamp, key_size, value_size, output = output.split(b" ", 3)
            key, output = _take(output, int(key_size))
            value, output = _take(output, int(value_size))
            assert (key, value, int(timestamp)) == (record.key, record.value, record.timestamp_ms)
        assert output == b""

    @pytest.mark.oracle
    def test_any_bytes_empty_and_null_that_it_writes_are_told_apart(
        self, server: Server, tmp_path: Path
    ) -> None:
        topic = create_topic(server.bootstrap)
        path = tmp_path / "value"
        path.write_bytes(bytes(range(256)))
        to_topic = ["-P", "-t", topic, "-p0"]
        _kcat(server.bootstrap, *to_topic, "-k", "key", str(path))
        _kcat(server.bootstrap, *to_topic, "-K|", stdin=b"empty|\n")
        _kcat(server.bootstrap, *to_topic, "-K|", "-Z", stdin=b"null|\n")
        _kcat(server.bootstrap, *to_topic, stdin=b"no key\n")
        read = ConfluentClient().consume(server.bootstrap, topic, 4)
        assert [(r.key, r.value) for r in read] == [
            (b"key", bytes(range(256))),
            (b"empty", b""),
            (b"null", None),
            (None, b"no key"),
        ]


def _take(data: bytes, size: int) -> tuple[bytes | None, bytes]:
    return (None, data) if size < 0 else (data[:size], data[size:])
