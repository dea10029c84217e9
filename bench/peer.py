"""What is measured: a broker that speaks Kafka's protocol, and how its cost is read."""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from confluent_kafka.cimpl import NewTopic

from barnabas.bench.usage import Usage, process_usage
from peers.servers import Server

ADMIN_TIMEOUT_S = 120.0
# What a delete leaves to do is not done within another operation. Tansu has no files.
TOPIC_SETTINGS = {"file.delete.delay.ms": "0"}


@dataclass(frozen=True)
class Measured:
    """What one repetition of an operation gave."""

    metrics: dict[str, float]  # by the names of results.METRICS
    percentiles_ms: list[tuple[float, float]] | None = None
    notes: tuple[str, ...] = ()


class Peer:
    """A running broker under load.

    `new_server` makes it, and others like it, in a directory; `memo` is what the kernel is told of
    the repetition: sizes of requests and answers.
    """

    def __init__(self, new_server: Callable[[Path], Server], directory: Path) -> None:
        self.new_server = new_server
        self.server = new_server(directory)
        self.name = self.server.name
        self.memo: dict[str, float] = {}
        self.half_load = 0.0  # requests a second; 0: not known yet
        self._filled: dict[int, tuple[str, dict[str, float]]] = {}

    @property
    def bootstrap(self) -> str:
        return self.server.bootstrap

    def usage(self) -> Usage:
        """Of the broker's process, since its start."""
        return process_usage(self.server.pid)

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def create_topic(self, partitions: int, config: Mapping[str, str] | None = None) -> str:
        """The name of a new topic whose partitions serve."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        admin = self.admin()
        settings = {**({} if self.name == "tansu" else TOPIC_SETTINGS), **(config or {})}
        topic = NewTopic(name, partitions, 1, config=settings)
        admin.create_topics([topic])[name].result(ADMIN_TIMEOUT_S)
        if self.name == "kafka":
            self._await_leaders(name, partitions)
        return name

    @contextlib.contextmanager
    def topic(self, partitions: int, config: Mapping[str, str] | None = None) -> Iterator[str]:
        """A topic that is deleted afterwards."""
        name = self.create_topic(partitions, config)
        try:
            yield name
        finally:
            self._delete_topic(name)

    def filled_topic(self, partitions: int, fill: Callable[[str], object]) -> str:
        """A topic that `fill` has written to, the same in all repetitions of an operation; the memo
        is as it was after that.
        """
        if partitions not in self._filled:
            name = self.create_topic(partitions)
            try:
                fill(name)
            except BaseException:
                self._delete_topic(name)
                raise
            self._filled[partitions] = (name, dict(self.memo))
        name, memo = self._filled[partitions]
        self.memo.update(memo)
        return name

    def forget_topics(self) -> None:
        """Deletes those of `filled_topic`."""
        while self._filled:
            _, (name, _) = self._filled.popitem()
            with contextlib.suppress(KafkaException):  # of a broker that has ended
                self._delete_topic(name)

    def _delete_topic(self, name: str) -> None:
        admin = self.admin()  # a client that is dropped takes its requests with it
        try:
            admin.delete_topics([name])[name].result(ADMIN_TIMEOUT_S)
        except KafkaException:
            if self.name != "tansu":  # which may fail to; the run goes on
                raise

    def _await_leaders(self, topic: str, partitions: int) -> None:
        """Kafka says that a topic is made before all of its partitions serve."""
        wanted = {TopicPartition(topic, p): OffsetSpec.latest() for p in range(partitions)}
        deadline = time.monotonic() + ADMIN_TIMEOUT_S
        admin = self.admin()
        while True:
            try:
                for found in admin.list_offsets(wanted, request_timeout=10).values():
                    found.result(ADMIN_TIMEOUT_S)
                return
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


@dataclass
class Cost:
    """What a broker used between the begin and the end of a `with` block."""

    peer: Peer
    cpu_s: float = 0.0
    context_switches: int = 0
    peak_rss_bytes: int = 0
    _begin: Usage | None = field(default=None, repr=False)

    def __enter__(self) -> "Cost":
        self._begin = self.peer.usage()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._begin is not None
        end = self.peer.usage()
        self.cpu_s = end.cpu_s - self._begin.cpu_s
        self.context_switches = end.context_switches - self._begin.context_switches
        self.peak_rss_bytes = end.peak_rss_bytes
