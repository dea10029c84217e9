"""Brokers as processes that tests and benchmarks start, stop and kill: Barnabas and Apache Kafka.

Both offer the same interface (`Server`), so that a test written for one runs against the other:
Apache Kafka is the oracle that shows the test itself is right.
"""

import abc
import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from peers.cache import cached_dir
from peers.java import (
    KAFKA_VERSION,
    SHORT_LIVED_JVM,
    STORAGE_TOOL,
    broker_command,
    tool_command,
)
from peers.processes import Child, can_connect, free_port

# A Kafka that was killed is not registered again before its session is over: else 9 s.
SHORT_SESSION = {"broker.session.timeout.ms": "2500", "broker.heartbeat.interval.ms": "500"}
_READY = re.compile(r"^barnabas ready on (\S+):(\d+)$", re.MULTILINE)


class Server(abc.ABC):
    """One broker with a data directory that outlives its process."""

    name: str

    def __init__(self, directory: Path, config: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.config = dict(config or {})
        self.starts = 0
        self.start_s = 0.0  # how long the last start took, until clients were served
        self.port = 0
        self.child: Child | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    def prepare(self) -> None:
        """Chooses the port and makes what a first start needs, so that a launch only launches."""
        self.port = self.port or free_port()

    def start(self) -> None:
        """Starts the broker; returns once it serves clients. A restart keeps port and data."""
        begin = time.monotonic()
        self.launch()
        self._wait_until_ready(self._running())
        self.start_s = time.monotonic() - begin

    def launch(self) -> None:
        """Starts the process and does not wait for it."""
        self.starts += 1
        self.child = Child(self._command(), self.directory, f"broker-{self.starts}")

    def stop(self) -> None:
        """A clean shutdown."""
        child = self._running()
        self.child = None
        code = child.terminate(timeout_s=60)
        self._check_stop(code, child)

    def kill(self) -> None:
        """SIGKILL."""
        child = self._running()
        self.child = None
        child.kill()

    def cpu_s(self) -> float:
        """CPU seconds (user and system, all threads) that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def partition_dir(self, topic: str, partition: int) -> Path:
        return self.data_dir / f"{topic}-{partition}"

    def output(self) -> str:
        """What the running or last broker wrote on stdout and stderr."""
        paths = (self.directory / f"broker-{self.starts}.{end}" for end in ("out", "err"))
        return "\n".join(path.read_text(errors="replace") for path in paths)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.child is not None:
            self.kill()

    def _running(self) -> Child:
        assert self.child is not None, f"{self.name} is not running"
        return self.child

    @abc.abstractmethod
    def _command(self) -> list[str]: ...

    @abc.abstractmethod
    def _wait_until_ready(self, child: Child) -> None: ...

    def _check_stop(self, code: int, child: Child) -> None:
        assert code == 0, child.describe()


class BarnabasServer(Server):
    """`barnabas serve`, with the interpreter and environment of the caller unless `program` is of
    another.
    """

    name = "barnabas"
    program = Path(sys.executable).with_name("barnabas")

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, str] | None = None,
        *,
        data_dir: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, config)
        self.data_dir = data_dir or self.data_dir
        self.options = list(options)  # of the command line, besides

    def _command(self) -> list[str]:
        self.prepare()
        settings = [f"--set={key}={value}" for key, value in self.config.items()]
        return [
            str(self.program),
            "serve",
            *([] if "log.dirs" in self.config else [f"--data-dir={self.data_dir}"]),
            f"--listen=127.0.0.1:{self.port}",
            *self.options,
            *settings,
        ]

    def _wait_until_ready(self, child: Child) -> None:
        child.wait_for(lambda: _READY.search(child.stdout()), 60, "the ready line")
        ready = _READY.search(child.stdout())
        assert ready is not None
        self.port = int(ready[2])


class KafkaServer(Server):
    """Apache Kafka, one KRaft node that is broker and controller."""

    name = "kafka"

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, str] | None = None,
        *,
        heap: str = "512m",
        jvm: Sequence[str] = SHORT_LIVED_JVM,
    ) -> None:
        super().__init__(directory, config)
        self.heap = heap
        self.jvm = jvm
        self._controller_port = 0

    @property
    def properties(self) -> Path:
        """The file that it is started with."""
        return self.directory / "server.properties"

    def _command(self) -> list[str]:
        self.prepare()
        return broker_command(str(self.properties), self.heap, self.jvm)

    def prepare(self) -> None:
        if not self.port:
            self._format(self.properties)

    def _wait_until_ready(self, child: Child) -> None:
        child.wait_for(lambda: can_connect("127.0.0.1", self.port), 60, "the broker to listen")
        child.wait_for(self._leads_its_topics, 60, "the broker to know its topics")

    def _leads_its_topics(self) -> bool:
        """Kafka serves clients before it has replayed its topics and opened their logs."""
        directories = self.config.get("log.dirs", str(self.data_dir)).split(",")
        files = (path for d in directories for path in Path(d).glob("*/partition.metadata"))
        logs = {path.parent.name for path in files}
        split = (name.rpartition("-") for name in logs if not name.startswith("__cluster"))
        latest = OffsetSpec.latest()
        ends = {TopicPartition(topic, int(p)): latest for topic, _, p in split if p.isdecimal()}
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        try:
            admin.list_topics(timeout=5)
            for found in admin.list_offsets(ends, request_timeout=5).values() if ends else ():
                found.result()
        except KafkaException:
            return False
        return True

    def _format(self, properties: Path) -> None:
        self.port, self._controller_port = free_port(), free_port()
        self.directory.mkdir(parents=True, exist_ok=True)
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},"
            f"CONTROLLER://127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.data_dir),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            **(SHORT_SESSION if self.jvm == SHORT_LIVED_JVM else {}),
            **self.config,
        }
        _write_properties(properties, settings)
        if "log.dirs" in self.config:
            _run_format(properties)
            return
        # As the tool would, which needs a JVM to write two small files.
        shutil.copytree(_formatted(settings), self.data_dir, dirs_exist_ok=True)
        meta = self.data_dir / "meta.properties"
        text = meta.read_text()
        for identity in ("cluster.id", "directory.id"):
            text, count = re.subn(rf"(?m)^{identity}=.*$", f"{identity}={_new_id()}", text)
            assert count == 1, text
        meta.write_text(text)

    def _check_stop(self, code: int, child: Child) -> None:
        assert code in (0, 143), child.describe()  # a JVM that ends on SIGTERM says 128 + 15


def _formatted(settings: Mapping[str, str]) -> Path:
    """A directory that Kafka's own tool has formatted."""

    def fill(directory: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            properties = Path(scratch, "server.properties")
            _write_properties(properties, {**settings, "log.dirs": str(directory)})
            _run_format(properties)

    return cached_dir(f"kafka-{KAFKA_VERSION}/formatted", fill)


def _run_format(properties: Path) -> None:
    command = tool_command(STORAGE_TOOL, "format", "-t", _new_id(), "-c", str(properties))
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


def _write_properties(path: Path, settings: Mapping[str, str]) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))


def _new_id() -> str:
    """As Kafka's: one that begins with a dash would be taken for an option."""
    while True:
        new = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not new.startswith("-"):
            return new
