"""The Java client: as applications use it, and through Kafka's own tools.

The tools carry text only; `PlainClient` (tests/peers/java) carries every record there is.
"""

import base64
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from clients.contract import (
    CODECS,
    FIRST_TIMESTAMP_MS,
    SESSION_TIMEOUT_MS,
    Client,
    ClientContract,
    Member,
    Record,
    any_records,
    codecs_on_disk,
    create_topic,
    text_records,
)
from peers.java import (
    BROKER_API_VERSIONS_COMMAND,
    CONFIG_COMMAND,
    CONSOLE_CONSUMER,
    CONSOLE_PRODUCER,
    CONSUMER_GROUP_COMMAND,
    CONSUMER_PERFORMANCE,
    DELETE_RECORDS_COMMAND,
    GET_OFFSET_SHELL,
    LOG_DIRS_COMMAND,
    PLAIN_CLIENT,
    PRODUCER_PERFORMANCE,
    TOPIC_COMMAND,
    VERIFIABLE_CONSUMER,
    VERIFIABLE_PRODUCER,
    ToolShell,
    run_tool,
    tool_command,
)
from peers.processes import Child
from peers.servers import Server

pytestmark = pytest.mark.java

HEADERS = (("source", b"console"), ("other", b"2"))
NULL = "<null>"
PLAIN_NULL = "-"
TIMEOUT_MS = 30_000
DAY_MS = 86_400_000  # VerifiableProducer's timestamps run ahead of the clock


class ConsoleTools(Client):
    sets_timestamps = False

    def __init__(self) -> None:
        self._shell: ToolShell | None = None

    @property
    def shell(self) -> ToolShell:
        if self._shell is None:
            self._shell = ToolShell()
        return self._shell

    def close(self) -> None:
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def records(self) -> list[Record]:
        return text_records(HEADERS)

    def produce(self, bootstrap: str, topic: str, records: Sequence[Record], codec: str) -> None:
        properties = ("parse.headers=true", "parse.key=true", f"null.marker={NULL}")
        self.shell.run(
            CONSOLE_PRODUCER,
            f"--bootstrap-server={bootstrap}",
            f"--topic={topic}",
            f"--compression-codec={codec}",
            *_options("--reader-property", properties),
            stdin="".join(map(_line, records)).encode(),
        ).check()

    def consume(self, bootstrap: str, topic: str, count: int) -> list[Record]:
        return self._consume(bootstrap, topic, count, "--partition=0", "--offset=earliest")

    def consume_since(
        self, bootstrap: str, topic: str, timestamp_ms: int, count: int
    ) -> list[Record]:
        found = self.shell.run(
            GET_OFFSET_SHELL,
            f"--bootstrap-server={bootstrap}",
            f"--topic={topic}",
            f"--time={timestamp_ms}",
        ).check()
        offset = found.stdout.strip().rpartition(":")[2]
        return self._consume(bootstrap, topic, count, "--partition=0", f"--offset={offset}")

    def consume_in_group(self, bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
        return self._consume(bootstrap, topic, count, f"--group={group}", "--from-beginning")

    def start_member(self, bootstrap: str, topic: str, group: str, directory: Path) -> Member:
        directory.mkdir()
        properties = directory / "consumer.properties"
        properties.write_text(f"heartbeat.interval.ms={SESSION_TIMEOUT_MS // 6}\n")
        command = tool_command(
            VERIFIABLE_CONSUMER,
            f"--command-config={properties}",
            f"--bootstrap-server={bootstrap}",
            f"--topic={topic}",
            f"--group-id={group}",
            f"--session-timeout={SESSION_TIMEOUT_MS}",
            "--reset-policy=earliest",
            "--verbose",
        )
        return VerifiableMember(Child(command, directory, "member"))

    def _consume(self, bootstrap: str, topic: str, count: int, *options: str) -> list[Record]:
        properties = (
            "print.timestamp=true",
            "print.headers=true",
            "print.key=true",
            f"null.literal={NULL}",
        )
        result = self.shell.run(
            CONSOLE_CONSUMER,
            f"--bootstrap-server={bootstrap}",
            f"--topic={topic}",
            f"--max-messages={count}",
            f"--timeout-ms={TIMEOUT_MS}",
            *options,
            *_options("--formatter-property", properties),
        ).check()
        return [_record(line) for line in result.stdout.splitlines()]


class JavaClient(ConsoleTools):
    """What an application does; as members of groups, the clients of Kafka's system tests."""

    sets_timestamps = True

    def records(self) -> list[Record]:
        return any_records()

    def produce(self, bootstrap: str, topic: str, records: Sequence[Record], codec: str) -> None:
        stdin = "".join(map(_plain_line, records)).encode()
        self.shell.run(PLAIN_CLIENT, "produce", bootstrap, topic, codec, stdin=stdin).check()

    def consume(self, bootstrap: str, topic: str, count: int) -> list[Record]:
        return self._read("consume", bootstrap, topic, str(count))

    def consume_since(
        self, bootstrap: str, topic: str, timestamp_ms: int, count: int
    ) -> list[Record]:
        return self._read("since", bootstrap, topic, str(count), str(timestamp_ms))

    def consume_in_group(self, bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
        return self._read("group", bootstrap, topic, str(count), group)

    def _read(self, *args: str) -> list[Record]:
        output = self.shell.run(PLAIN_CLIENT, *args).check().stdout
        return [_plain_record(line) for line in output.splitlines()]


class VerifiableMember(Member):
    def assignment(self) -> frozenset[int]:
        owned: set[int] = set()
        for event in self._events():
            partitions = {
                p["partition"] for p in cast("list[dict[str, int]]", event.get("partitions", []))
            }
            if event["name"] == "partitions_assigned":
                owned |= partitions
            elif event["name"] == "partitions_revoked":
                owned -= partitions
        return frozenset(owned)

    def values(self) -> set[str]:
        return {str(e["value"]) for e in self._events() if e["name"] == "record_data"}

    def _events(self) -> list[Mapping[str, object]]:
        whole_lines = self.child.stdout().split("\n")[:-1]
        return [json.loads(line) for line in whole_lines if line.startswith("{")]


def _options(name: str, values: Sequence[str]) -> list[str]:
    return list(itertools.chain.from_iterable((name, value) for value in values))


def _line(record: Record) -> str:
    def text(value: bytes | None) -> str:
        return NULL if value is None else value.decode()

    headers = ",".join(f"{name}:{text(value)}" for name, value in record.headers)
    return f"{headers}\t{text(record.key)}\t{text(record.value)}\n"


def _record(line: str) -> Record:
    def data(text: str) -> bytes | None:
        return None if text == NULL else text.encode()

    timestamp, headers, key, value = line.split("\t")
    pairs = () if headers == "NO_HEADERS" else tuple(h.split(":", 1) for h in headers.split(","))
    return Record(
        data(value),
        data(key),
        tuple((name, data(text)) for name, text in pairs),
        int(timestamp.rpartition(":")[2]),
    )


def _plain_line(record: Record) -> str:
    def text(data: bytes | None) -> str:
        return PLAIN_NULL if data is None else base64.b64encode(data).decode()

    timestamp = PLAIN_NULL if record.timestamp_ms is None else str(record.timestamp_ms)
    headers = [(text(name.encode()), text(value)) for name, value in record.headers]
    return "\t".join([timestamp, text(record.key), text(record.value), *sum(headers, ())]) + "\n"


def _plain_record(line: str) -> Record:
    def data(text: str) -> bytes | None:
        return None if text == PLAIN_NULL else base64.b64decode(text)

    timestamp, key, value, *headers = line.split("\t")
    pairs = zip(headers[::2], headers[1::2], strict=True)
    return Record(
        data(value),
        data(key),
        tuple((base64.b64decode(name).decode(), data(text)) for name, text in pairs),
        int(timestamp),
    )


class TestJavaClient(ClientContract):
    client = JavaClient()

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _one_jvm(cls) -> Iterator[None]:
        yield
        cls.client.close()


class TestJavaTools(ClientContract):
    client = ConsoleTools()
    # Its members are those of TestJavaClient.
    test_a_group_of_three_survives_one_leaving_and_one_killed = None  # type: ignore[assignment]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _one_jvm(cls) -> Iterator[None]:
        yield
        cls.client.close()

    @pytest.mark.parametrize("codec", CODECS)
    def test_verifiable_consumer_reads_what_verifiable_producer_had_acknowledged(
        self, server: Server, tmp_path: Path, codec: str
    ) -> None:
        topic = create_topic(server.bootstrap, 3)
        count = 2000
        where = (f"--bootstrap-server={server.bootstrap}", f"--topic={topic}")
        properties = tmp_path / "producer.properties"
        properties.write_text(f"compression.type={codec}\n")
        produced = self._events(
            VERIFIABLE_PRODUCER,
            *where,
            f"--max-messages={count}",
            "--acks=-1",
            f"--command-config={properties}",
            f"--message-create-time={FIRST_TIMESTAMP_MS}",
        )
        acknowledged = [e["value"] for e in produced if e["name"] == "producer_send_success"]
        assert sorted(map(int, map(str, acknowledged))) == list(range(count))
        consumed = self._events(
            VERIFIABLE_CONSUMER,
            *where,
            f"--group-id=g-{topic}",
            f"--max-messages={count}",
            "--reset-policy=earliest",
            "--verbose",
        )
        read = [e["value"] for e in consumed if e["name"] == "record_data"]
        assert sorted(map(str, read)) == sorted(map(str, acknowledged))
        on_disk = [codecs_on_disk(server.partition_dir(topic, p)) for p in range(3)]
        assert set().union(*on_disk) == {codec}
        for record in self.client.consume_in_group(server.bootstrap, topic, f"t-{topic}", 10):
            assert record.timestamp_ms is not None
            assert 0 <= record.timestamp_ms - FIRST_TIMESTAMP_MS < DAY_MS

    def test_kafka_admin_tools_describe_what_they_made(self, server: Server) -> None:
        topic = create_topic(server.bootstrap)
        made = f"{topic}-made"
        where = f"--bootstrap-server={server.bootstrap}"
        create = (
            where,
            "--create",
            f"--topic={made}",
            "--partitions=2",
            "--config=retention.ms=60000",
        )
        self._run(TOPIC_COMMAND, *create)
        self._run(TOPIC_COMMAND, where, "--alter", f"--topic={made}", "--partitions=4")
        described = self._run(TOPIC_COMMAND, where, "--describe", f"--topic={made}")
        assert "PartitionCount: 4" in described
        assert "retention.ms=60000" in described
        of_topic = (where, "--entity-type=topics", f"--entity-name={made}")
        self._run(CONFIG_COMMAND, *of_topic, "--alter", "--add-config=max.message.bytes=2000")
        assert "max.message.bytes=2000" in self._run(CONFIG_COMMAND, *of_topic, "--describe")
        self._run(CONFIG_COMMAND, *of_topic, "--alter", "--delete-config=retention.ms")
        assert "retention.ms=60000" not in self._run(CONFIG_COMMAND, *of_topic, "--describe")
        assert made in self._run(LOG_DIRS_COMMAND, where, "--describe", f"--topic-list={made}")
        self._run(TOPIC_COMMAND, where, "--delete", f"--topic={made}")
        assert made not in self._run(TOPIC_COMMAND, where, "--list").split()

    def test_delete_records_command_moves_the_start(self, server: Server, tmp_path: Path) -> None:
        topic = create_topic(server.bootstrap)
        self.client.produce(server.bootstrap, topic, self.client.records(), "none")
        where = f"--bootstrap-server={server.bootstrap}"
        offsets = tmp_path / "offsets.json"
        asked = {"partitions": [{"topic": topic, "partition": 0, "offset": 3}], "version": 1}
        offsets.write_text(json.dumps(asked))
        said = self._run(DELETE_RECORDS_COMMAND, where, f"--offset-json-file={offsets}")
        assert f"partition: {topic}-0\tlow_watermark: 3" in said
        earliest = (where, f"--topic={topic}", "--time=-2")
        assert self._run(GET_OFFSET_SHELL, *earliest).split() == [f"{topic}:0:3"]
        left = len(self.client.records()) - 3
        assert len(self.client.consume(server.bootstrap, topic, left)) == left

    def test_consumer_group_command_describes_resets_and_deletes(self, server: Server) -> None:
        topic = create_topic(server.bootstrap)
        group = f"g-{topic}"
        self.client.produce(server.bootstrap, topic, self.client.records(), "none")
        self.client.consume_in_group(server.bootstrap, topic, group, 10)
        where = (f"--bootstrap-server={server.bootstrap}", f"--group={group}")
        end = len(self.client.records())
        described = self._run(CONSUMER_GROUP_COMMAND, *where, "--describe")
        row = next(line.split() for line in described.splitlines() if line.startswith(group))
        assert row[1:6] == [topic, "0", "10", str(end), str(end - 10)]
        reset = ("--reset-offsets", "--to-offset=3", f"--topic={topic}", "--execute")
        self._run(CONSUMER_GROUP_COMMAND, *where, *reset)
        rest = self.client.consume_in_group(server.bootstrap, topic, group, end - 3)
        assert [r.value for r in rest] == [r.value for r in self.client.records()[3:]]
        self._run(CONSUMER_GROUP_COMMAND, *where, "--delete")
        listed = self._run(CONSUMER_GROUP_COMMAND, where[0], "--list")
        assert group not in listed.split()

    def test_performance_tools_and_api_versions_run(self, server: Server) -> None:
        topic = create_topic(server.bootstrap)
        count = 20_000
        self._run(
            PRODUCER_PERFORMANCE,
            f"--bootstrap-server={server.bootstrap}",
            f"--topic={topic}",
            f"--num-records={count}",
            "--record-size=100",
            "--throughput=-1",
        )
        consumed = self._run(
            CONSUMER_PERFORMANCE,
            f"--bootstrap-server={server.bootstrap}",
            f"--topic={topic}",
            f"--num-records={count}",
        )
        assert int(float(consumed.splitlines()[1].split(",")[4])) >= count
        versions = self._run(BROKER_API_VERSIONS_COMMAND, f"--bootstrap-server={server.bootstrap}")
        assert "Produce(0)" in versions

    def _run(self, tool: str, *args: str) -> str:
        return self.client.shell.run(tool, *args).check().stdout

    def _events(self, tool: str, *args: str) -> list[dict[str, object]]:
        lines = run_tool(tool, *args).check().stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]
