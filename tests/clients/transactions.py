"""What transactions promise, as any client sees it; run with each client (test_transactions.py)."""

import abc
import itertools
import time
import uuid
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from barnabas.closing import Closing
from peers.servers import Server

TIMEOUT_S = 30
_ids = itertools.count()


class Client(Closing):
    """Transactional producers in a process; errors are told by name."""

    fenced: frozenset[str]  # what a producer that another has replaced is told

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    @abc.abstractmethod
    def tell(self, line: str) -> str:
        """Does what the line says (see TransactionClient.java); "ok …" or "error NAME"."""

    def ok(self, line: str) -> str:
        """Does it; it has to succeed. Returns what was read."""
        answer = self.tell(line)
        assert answer.startswith("ok"), f"{line}: {answer}"
        return answer[3:]

    def fails(self, line: str) -> str:
        """Does it; it has to fail. Returns the error's name."""
        answer = self.tell(line)
        assert answer.startswith("error "), f"{line}: {answer}"
        return answer[6:]


def new_topic(server: Server, partitions: int = 1) -> str:
    name = f"txn-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([NewTopic(name, partitions)])[name].result(TIMEOUT_S)
    return name


def new_id() -> str:
    return f"id-{next(_ids)}-{uuid.uuid4().hex[:8]}"


def values(server: Server, topic: str, *, committed: bool = True, partition: int = 0) -> list[str]:
    """What is in a partition, up to its end as the reader sees it."""
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # the end is told by an answer without records
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    found: list[str] = []
    try:
        while True:
            message = consumer.poll(TIMEOUT_S)
            assert message is not None
            if message.error() is not None:
                return found  # the end of the partition
            value = message.value()
            assert isinstance(value, bytes)
            found.append(value.decode())
    finally:
        consumer.close()


def committed_offset(server: Server, group: str, topic: str) -> int:
    """What the group has committed for partition 0; waits until it is stable."""
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": group})
    try:
        (found,) = consumer.committed([TopicPartition(topic, 0)], TIMEOUT_S)
        return int(found.offset)
    finally:
        consumer.close()


def until(condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def has_committed(server: Server, group: str, topic: str, offset: int) -> Callable[[], bool]:
    return lambda: committed_offset(server, group, topic) == offset


def is_readable(
    server: Server, topic: str, expected: list[str], partition: int = 0
) -> Callable[[], bool]:
    def check() -> bool:
        try:
            return values(server, topic, partition=partition) == expected
        except KafkaException:
            return False  # the broker is starting

    return check
