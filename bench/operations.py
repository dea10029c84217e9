"""What is measured: produce and fetch with confluent-kafka, and the CPU the broker spends on it."""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from peers.servers import Server

PARTITIONS = 4
RECORD_BYTES = (100, 1000)
VALUE_POOL = 1000
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Measurement:
    """One pass of one operation against one broker."""

    operation: str
    server: str
    payload_bytes: int
    wall_s: float
    broker_cpu_s: float

    @property
    def mb_per_s(self) -> float:
        return self.payload_bytes / 1e6 / self.wall_s

    @property
    def cpu_s_per_gb(self) -> float:
        return self.broker_cpu_s / (self.payload_bytes / 1e9)


def create_topic(server: Server) -> str:
    topic = f"bench-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 3})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(TIMEOUT_S)
    return topic


def delete_topic(server: Server, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 3})
    admin.delete_topics([topic])[topic].result(TIMEOUT_S)


def produce(server: Server, topic: str, record_bytes: int, payload_bytes: int) -> Measurement:
    """Records of random bytes, so that nothing is compressed by accident; librdkafka's defaults."""
    values = [os.urandom(record_bytes) for _ in range(VALUE_POOL)]
    producer = Producer({"bootstrap.servers": server.bootstrap, "acks": "all", "log_level": 3})
    count = payload_bytes // record_bytes

    def run() -> None:
        for i in range(count):
            value = values[i % VALUE_POOL]
            while True:
                try:
                    producer.produce(topic, value)
                    break
                except BufferError:
                    producer.poll(0.01)
            if i % VALUE_POOL == 0:
                producer.poll(0)
        assert producer.flush(TIMEOUT_S) == 0

    return _measure(f"produce {record_bytes} B", server, count * record_bytes, run)


def fetch(server: Server, topic: str, record_bytes: int, payload_bytes: int) -> Measurement:
    """All partitions of the topic from the start, by one consumer."""
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            # A client whose queue is full would sleep for a second, which is no broker's speed.
            "fetch.queue.backoff.ms": 5,
        }
    )
    count = payload_bytes // record_bytes

    def run() -> None:
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        deadline = time.monotonic() + TIMEOUT_S
        left = count
        while left:
            messages = consumer.consume(10_000, 0.1)
            left -= len(messages)
            assert messages or time.monotonic() < deadline, f"{left} of {count} records missing"

    measured = _measure(f"fetch {record_bytes} B", server, count * record_bytes, run)
    consumer.close()
    return measured


def _measure(
    operation: str, server: Server, payload_bytes: int, run: Callable[[], None]
) -> Measurement:
    cpu_before, begin = server.cpu_s(), time.monotonic()
    run()
    wall_s = time.monotonic() - begin
    return Measurement(operation, server.name, payload_bytes, wall_s, server.cpu_s() - cpu_before)


def measure_all(server: Server, record_bytes: int, payload_bytes: int) -> list[Measurement]:
    """Produces into a new topic, fetches it back, deletes it."""
    topic = create_topic(server)
    measured = [
        produce(server, topic, record_bytes, payload_bytes),
        fetch(server, topic, record_bytes, payload_bytes),
    ]
    delete_topic(server, topic)
    return measured
