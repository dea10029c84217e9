"""Apache Kafka's jars, and Kafka's own command-line tools run from them.

`tool_command` is the command line of a tool in a JVM of its own; `ToolShell` runs many tools in
one JVM, which saves half a second of CPU each. Both, and brokers of tests, map archived classes.
"""

import base64
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from barnabas.closing import Closing
from peers.archives import archives, using, writing
from peers.cache import cached_dir
from peers.processes import Child, ProcessFailedError, can_connect, free_port

KAFKA_VERSION = "4.3.0"
_JAVA_DIR = Path(__file__).parent / "java"
_JAR = "programs.jar"
_TOOLS = "tools.jsa"
_BROKER = "broker.jsa"

DUMP_LOG_SEGMENTS = "org.apache.kafka.tools.DumpLogSegments"
CONSOLE_PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
VERIFIABLE_PRODUCER = "org.apache.kafka.tools.VerifiableProducer"
VERIFIABLE_CONSUMER = "org.apache.kafka.tools.VerifiableConsumer"
PRODUCER_PERFORMANCE = "org.apache.kafka.tools.ProducerPerformance"
CONSUMER_PERFORMANCE = "org.apache.kafka.tools.ConsumerPerformance"
TOPIC_COMMAND = "org.apache.kafka.tools.TopicCommand"
GET_OFFSET_SHELL = "org.apache.kafka.tools.GetOffsetShell"
CONSUMER_GROUP_COMMAND = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONFIG_COMMAND = "kafka.admin.ConfigCommand"
DELETE_RECORDS_COMMAND = "org.apache.kafka.tools.DeleteRecordsCommand"
LOG_DIRS_COMMAND = "org.apache.kafka.tools.LogDirsCommand"
TRANSACTIONAL_MESSAGE_COPIER = "org.apache.kafka.tools.TransactionalMessageCopier"
BROKER_API_VERSIONS_COMMAND = "org.apache.kafka.tools.BrokerApiVersionsCommand"
STORAGE_TOOL = "kafka.tools.StorageTool"
BROKER = "kafka.Kafka"
BROKER_JVM = (
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
)
# What lives for seconds: the serial collector and the first compiler tier start fastest.
SHORT_LIVED_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
TRANSACTIONS_COMMAND = "org.apache.kafka.tools.TransactionsCommand"
PLAIN_CLIENT = "PlainClient"  # ours, on Kafka's client library
TRANSACTION_CLIENT = "TransactionClient"  # ours too
WORD_COUNT = "WordCount"  # ours, on Kafka Streams
_TOOL_SHELL = "ToolShell"


def have_java() -> bool:
    return all(shutil.which(program) for program in ("java", "javac", "mvn"))


def kafka_libs() -> Path:
    """The directory with Kafka's jars, fetched from Maven Central on first use."""
    return _fetched("libs", _JAVA_DIR)


def _fetched(name: str, directory_of_pom: Path) -> Path:
    """The jars that a pom.xml depends on, of Kafka's version."""

    def fetch(directory: Path) -> None:
        subprocess.run(
            [
                "mvn",
                "-q",
                "-B",
                "-f",
                str(directory_of_pom / "pom.xml"),
                f"-Dkafka.version={KAFKA_VERSION}",
                "dependency:copy-dependencies",
                f"-DoutputDirectory={directory}",
            ],
            check=True,
            stdin=subprocess.DEVNULL,
        )

    return cached_dir(f"kafka-{KAFKA_VERSION}/{name}", fetch)


def tool_command(tool: str, *args: str, heap: str = "256m") -> list[str]:
    """The command line that runs the tool (a class name) in a JVM of its own."""
    return _tool_command(tool, *args, heap=heap, options=using(_archives() / _TOOLS))


def own_command(program: str, *args: str, heap: str = "256m") -> list[str]:
    """The command line of one of the programs in `java/`, compiled on first use."""
    return tool_command(program, *args, heap=heap)


def streams_command(program: str, *args: str, heap: str = "256m") -> list[str]:
    """As own_command: of the Kafka Streams applications in `java/streams/`."""
    directory = _JAVA_DIR / "streams"
    libs = _fetched("streams-libs", directory)
    own = _compiled("streams-programs", directory, libs)
    return [*_jvm(heap), "-cp", f"{libs}/*:{own}", program, *args]


def fetch_all() -> None:
    """Has all that the commands need there."""
    own_command(_TOOL_SHELL)
    streams_command(WORD_COUNT)


def _tool_command(tool: str, *args: str, heap: str, options: Sequence[str]) -> list[str]:
    libs = kafka_libs()
    own = _compiled("programs", _JAVA_DIR, libs)
    return [*_jvm(heap), *options, "-cp", f"{libs}/*:{own}", tool, *args]


def _compiled(name: str, directory: Path, libs: Path) -> Path:
    """A jar, since no archive takes classes from a directory."""
    sources = sorted(directory.glob("*.java"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]

    def compile_all(made: Path) -> None:
        with tempfile.TemporaryDirectory() as classes:
            subprocess.run(
                ["javac", "-cp", f"{libs}/*", "-d", classes, *map(str, sources)], check=True
            )
            jar = str(made / _JAR)
            subprocess.run(["jar", "--create", "--file", jar, "-C", classes, "."], check=True)

    return cached_dir(f"kafka-{KAFKA_VERSION}/{name}-{digest}", compile_all) / _JAR


def broker_command(properties: str, heap: str, jvm: Sequence[str]) -> list[str]:
    """The command line of a broker; BROKER_JVM are the options of Kafka's own start script."""
    options = using(_archives() / _BROKER) if jvm == SHORT_LIVED_JVM else ()
    return _broker_command(properties, heap, (*jvm, *options))


def _broker_command(properties: str, heap: str, jvm: Sequence[str]) -> list[str]:
    sizes = [f"-Xms{heap}", f"-Xmx{heap}"]
    return ["java", *sizes, *jvm, "-cp", f"{kafka_libs()}/*", BROKER, properties]


def _jvm(heap: str) -> list[str]:
    return ["java", f"-Xmx{heap}", *SHORT_LIVED_JVM]


@dataclass(frozen=True)
class ToolResult:
    exit_code: int
    stdout: str
    stderr: str

    def check(self) -> "ToolResult":
        """Itself; raises when the tool failed."""
        if self.exit_code:
            raise ProcessFailedError(f"exit code {self.exit_code}\n{self.stdout}\n{self.stderr}")
        return self


def run_tool(tool: str, *args: str, timeout_s: float = 60) -> ToolResult:
    """Runs the tool in a JVM of its own: for those that need their process to end."""
    run = subprocess.run(
        tool_command(tool, *args),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return ToolResult(run.returncode, run.stdout, run.stderr)


class ToolShell(Closing):
    """Runs Kafka's tools, their `main` methods unchanged, one after another in one JVM."""

    def __init__(self, command: Sequence[str] = ()) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="barnabas-tools-")
        self._process = subprocess.Popen(
            command or own_command(_TOOL_SHELL, heap="512m"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, tool: str, *args: str, stdin: bytes = b"") -> ToolResult:
        """Runs the tool (a class name) to its end. What it prints is decoded as UTF-8."""
        directory = Path(self._directory.name)
        files = [directory / name for name in ("stdin", "stdout", "stderr")]
        files[0].write_bytes(stdin)
        fields = [*map(str, files), tool, *args]
        line = "\t".join(base64.b64encode(field.encode()).decode() for field in fields)
        requests, answers = self._pipes()
        requests.write(line + "\n")
        requests.flush()
        answer = answers.readline()
        if not answer:
            raise ProcessFailedError(f"the JVM ended while it ran {tool} {args}")
        stdout, stderr = (path.read_text(errors="replace") for path in files[1:])
        return ToolResult(int(answer), stdout, stderr)

    def dump_log_segments(self, files: Sequence[Path], *options: str) -> str:
        """What DumpLogSegments prints about the files; raises when it fails."""
        result = self.run(DUMP_LOG_SEGMENTS, "--files", ",".join(map(str, files)), *options)
        return result.check().stdout

    def end(self) -> None:
        """Its regular end, which `close` does not wait for."""
        self._pipes()[0].close()
        self._process.wait()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in self._pipes():
            pipe.close()
        self._directory.cleanup()

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def _archives() -> Path:
    """The directory of the archives."""
    return archives(f"kafka-{KAFKA_VERSION}/archives", _write_archives)


def _write_archives(directory: Path) -> None:
    """What a broker and the tools load that have done a little of everything."""
    port, controller_port = free_port(), free_port()
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(directory / "data"),
        "offsets.topic.num.partitions": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }
    properties = directory / "server.properties"
    properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    tools = writing(directory / _TOOLS)
    with ToolShell(_tool_command(_TOOL_SHELL, heap="512m", options=tools)) as shell:
        cluster_id = "AAAAAAAAAAAAAAAAAAAAAQ"
        shell.run(STORAGE_TOOL, "format", "-t", cluster_id, "-c", str(properties)).check()
        options = (*SHORT_LIVED_JVM, *writing(directory / _BROKER))
        broker = Child(_broker_command(str(properties), "512m", options), directory, "broker")
        try:
            broker.wait_for(lambda: can_connect("127.0.0.1", port), 60, "the broker to listen")
            _use_a_little_of_all(shell, f"127.0.0.1:{port}")
            shell.dump_log_segments([directory / "data" / "from-0" / f"{0:020}.log"])
            broker.terminate(timeout_s=120)  # it writes, while a compiler has the processors
        finally:
            broker.kill()
        shell.end()
    for path in set(directory.iterdir()) - {directory / _TOOLS, directory / _BROKER}:
        (shutil.rmtree if path.is_dir() else Path.unlink)(path)


def _use_a_little_of_all(shell: ToolShell, bootstrap: str) -> None:
    server = f"--bootstrap-server={bootstrap}"
    for topic in ("from", "to"):
        shell.run(TOPIC_COMMAND, server, "--create", f"--topic={topic}").check()
    shell.run(CONSOLE_PRODUCER, server, "--topic=from", stdin=b"a\nb\n").check()
    shell.run(
        TRANSACTIONAL_MESSAGE_COPIER,
        *("--broker-list", bootstrap, "--consumer-group", "copiers", "--transactional-id", "t"),
        *("--input-topic", "from", "--input-partition", "0", "--output-topic", "to"),
        *("--transaction-size", "1", "--max-messages", "2"),
    ).check()
    shell.run(
        CONSOLE_CONSUMER, server, "--topic=to", "--from-beginning", "--max-messages=2"
    ).check()
    shell.run(VERIFIABLE_PRODUCER, server, "--topic=from", "--max-messages=2").check()
    shell.run(
        VERIFIABLE_CONSUMER, server, "--topic=from", "--group-id=g", "--max-messages=2"
    ).check()
