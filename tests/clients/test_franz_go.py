"""franz-go, in a small Go program that is built once."""

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from clients.contract import SESSION_TIMEOUT_MS, Client, ClientContract, Member, Record
from clients.members.events import start_event_member
from peers.franz import franz_program

# The first one waits for the build, which fetches the library.
pytestmark = [pytest.mark.go, pytest.mark.timeout(600)]

TIMEOUT_S = 60


class FranzClient(Client):
    def produce(self, bootstrap: str, topic: str, records: Sequence[Record], codec: str) -> None:
        lines = "".join(_line(record) for record in records)
        _franz("produce", bootstrap, topic, codec, stdin=lines)

    def consume(self, bootstrap: str, topic: str, count: int) -> list[Record]:
        return _records(_franz("consume", bootstrap, topic, str(count)))

    def consume_since(
        self, bootstrap: str, topic: str, timestamp_ms: int, count: int
    ) -> list[Record]:
        return _records(_franz("since", bootstrap, topic, str(count), str(timestamp_ms)))

    def consume_in_group(self, bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
        return _records(_franz("group", bootstrap, topic, str(count), group))

    def start_member(self, bootstrap: str, topic: str, group: str, directory: Path) -> Member:
        command = [str(franz_program()), "member", bootstrap, topic, group, str(SESSION_TIMEOUT_MS)]
        return start_event_member(command, directory)


def _franz(*args: str, stdin: str = "") -> str:
    assert shutil.which("go"), "the Go toolchain is missing: run ci/setup-peers.sh"
    run = subprocess.run(
        [franz_program(), *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def _line(record: Record) -> str:
    def text(data: bytes | None) -> str | None:
        return None if data is None else base64.b64encode(data).decode()

    fields = {
        "key": text(record.key),
        "value": text(record.value),
        "headers": [{"name": name, "value": text(value)} for name, value in record.headers],
        "timestamp_ms": record.timestamp_ms,
    }
    return json.dumps(fields) + "\n"


def _records(output: str) -> list[Record]:
    return [_record(json.loads(line)) for line in output.splitlines()]


def _record(fields: Mapping[str, object]) -> Record:
    def data(text: object) -> bytes | None:
        return None if text is None else base64.b64decode(str(text))

    headers = fields["headers"] or []
    timestamp = fields["timestamp_ms"]
    assert isinstance(headers, list)
    assert isinstance(timestamp, int)
    return Record(
        data(fields["value"]),
        data(fields["key"]),
        tuple((header["name"], data(header["value"])) for header in headers),
        timestamp,
    )


class TestFranzGo(ClientContract):
    client = FranzClient()
