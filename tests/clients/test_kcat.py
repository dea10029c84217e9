"""kcat (librdkafka), through its command line."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from clients.contract import (
    SESSION_TIMEOUT_MS,
    Client,
    ClientContract,
    Member,
    Record,
    text_records,
)
from peers.processes import Child

TIMEOUT_S = 30
KEY_DELIMITER = b"|"
HEADERS = (("source", b"kcat"), ("twice", b"1"), ("twice", b"2"))
_ASSIGNED = re.compile(r"assigned: (.*)")
_PARTITION = re.compile(r"\[(\d+)\]")


class KcatClient(Client):
    sets_timestamps = False

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
    command = ["kcat", f"-b{bootstrap}", "-q", *options]
    run = subprocess.run(command, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.decode()


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
