"""Load that notices what a broker loses: idempotent producers, a committing consumer, a reader.

Each value names its producer and a number that grows by one per partition, so that whoever reads a
partition sees a loss, a duplicate or a reordering at once.
"""

import asyncio
import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

IN_FLIGHT_RECORDS = 200
BURST_RECORDS = 20
IDLE_S = 0.01
FLUSH_TIMEOUT_S = 60.0
READ_TIMEOUT_S = 30.0
RECONNECT = {"log_level": 0, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 100}


@dataclass
class Sent:
    """What one producer has sent and what was acknowledged, per partition."""

    name: str
    partitions: int
    rng: random.Random
    next_number: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    acknowledged: dict[int, dict[int, int]] = field(  # partition -> number -> offset
        default_factory=lambda: defaultdict(dict)
    )
    errors: list[str] = field(default_factory=list)

    def acknowledged_count(self) -> int:
        """For any thread."""
        return sum(map(len, list(self.acknowledged.values())))

    def next(self) -> tuple[int, int, bytes]:
        """(partition, number, value) of the next record."""
        partition = self.rng.randrange(self.partitions)
        number = self.next_number[partition]
        self.next_number[partition] += 1
        padding = "x" * self.rng.choice((0, 10, 100, 1000))
        return partition, number, f"{self.name} {number} {padding}".encode()


class LoadThread(threading.Thread):
    """Runs until `finish`, which raises what went wrong. It sends or commits now and then, and
    as much as it can while it is `hurrying`.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.stopping = threading.Event()
        self.hurrying = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self.failure = error

    def work(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        self.stopping.set()
        self.join(FLUSH_TIMEOUT_S + 10)
        assert not self.is_alive(), f"{self.name} did not finish"
        if self.failure is not None:
            raise self.failure


class ConfluentLoad(LoadThread):
    """An idempotent librdkafka producer with many small batches in flight."""

    def __init__(self, sent: Sent, bootstrap: str, topic: str, codec: str) -> None:
        super().__init__(sent.name)
        self.sent = sent
        self.topic = topic
        self.producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 1,
                "batch.num.messages": 25,
                "compression.type": codec,
                "delivery.timeout.ms": 120_000,
                "retry.backoff.ms": 20,
                **RECONNECT,
            }
        )

    def work(self) -> None:
        while not self.stopping.is_set():
            if not self.hurrying.is_set():
                if len(self.producer) == 0:
                    self._send()
                self.hurrying.wait(IDLE_S)
            elif len(self.producer) < IN_FLIGHT_RECORDS:
                for _ in range(BURST_RECORDS):
                    self._send()
            self.producer.poll(0.01)
        assert self.producer.flush(FLUSH_TIMEOUT_S) == 0, f"{self.name}: not all acknowledged"

    def _send(self) -> None:
        partition, number, value = self.sent.next()

        def on_delivery(error: object, message: Message) -> None:
            if error is not None:
                self.sent.errors.append(f"{number} of partition {partition}: {error}")
                return
            offset = message.offset()
            assert offset is not None
            self.sent.acknowledged[partition][number] = offset

        self.producer.produce(self.topic, value, partition=partition, on_delivery=on_delivery)


class AiokafkaLoad(LoadThread):
    """An idempotent aiokafka producer, an implementation with other habits."""

    def __init__(self, sent: Sent, bootstrap: str, topic: str) -> None:
        super().__init__(sent.name)
        self.sent = sent
        self.bootstrap = bootstrap
        self.topic = topic

    def work(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            enable_idempotence=True,
            retry_backoff_ms=20,
            request_timeout_ms=120_000,
        )
        async with producer:
            while not self.stopping.is_set():
                is_hurrying = self.hurrying.is_set()
                records = BURST_RECORDS if is_hurrying else 1
                burst = [await self._send(producer) for _ in range(records)]
                await asyncio.wait_for(asyncio.gather(*burst), FLUSH_TIMEOUT_S)
                if not is_hurrying:
                    await asyncio.sleep(IDLE_S)

    async def _send(self, producer: AIOKafkaProducer) -> asyncio.Task[None]:
        partition, number, value = self.sent.next()
        future = await producer.send(self.topic, value, partition=partition)

        async def acknowledged() -> None:
            metadata: RecordMetadata = await future
            self.sent.acknowledged[partition][number] = metadata.offset

        return asyncio.create_task(acknowledged())


class CommitLoad(LoadThread):
    """Commits ever larger offsets of a group, and checks that the committed one never goes back."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        super().__init__("committer")
        self.topic = topic
        self.partitions = partitions
        self.commits = 0
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"g-{topic}",
                "enable.auto.commit": False,
                **RECONNECT,
            }
        )

    def work(self) -> None:
        acknowledged = 0
        while not self.stopping.is_set():
            try:
                self._check(acknowledged)
                self._commit(acknowledged + 1)
                acknowledged += 1
                self.hurrying.wait(IDLE_S)
            except KafkaException:  # the broker is down: what was committed stays unknown
                self.stopping.wait(0.01)
        self._check(acknowledged)
        self.commits = acknowledged
        self.consumer.close()

    def _commit(self, offset: int) -> None:
        offsets = [TopicPartition(self.topic, p, offset) for p in range(self.partitions)]
        for committed in self.consumer.commit(offsets=offsets, asynchronous=False):
            if committed.error is not None:
                raise KafkaException(committed.error)

    def _check(self, acknowledged: int) -> None:
        wanted = [TopicPartition(self.topic, p) for p in range(self.partitions)]
        for found in self.consumer.committed(wanted, timeout=10):
            if found.error is not None:
                raise KafkaException(found.error)
            committed = max(found.offset, 0)
            # One more is possible: a commit whose answer was lost.
            assert acknowledged <= committed <= acknowledged + 1, (
                f"{acknowledged} was acknowledged, {committed} is committed"
            )


class FollowLoad(LoadThread):
    """Waits for what comes, on all partitions, so that fetches are waiting at any moment."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        super().__init__("follower")
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "unused",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 5000,
                **RECONNECT,
            }
        )
        self.consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])

    def work(self) -> None:
        next_offset: dict[int | None, int] = defaultdict(int)
        while not self.stopping.is_set():
            for message in self.consumer.consume(1000, 0.2):
                if message.error() is not None:
                    continue  # the broker is down
                offset = message.offset()
                assert offset == next_offset[message.partition()], "a record is missing"
                next_offset[message.partition()] = offset + 1
        assert sum(next_offset.values()) > 0
        self.consumer.close()


class PartitionReader:
    """Reads each partition once, from front to back, and remembers where each record was."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self.topic = topic
        self.positions = dict.fromkeys(range(partitions), 0)
        self.next_number: dict[tuple[str, int], int] = defaultdict(int)
        self.offsets: dict[str, dict[int, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "unused",
                "enable.auto.commit": False,
                "check.crcs": True,
                "fetch.wait.max.ms": 50,
                **RECONNECT,
            }
        )

    def end_offsets(self) -> dict[int, int]:
        # A broker that has just started must know its topics; librdkafka must ask it again.
        metadata = self.consumer.list_topics(self.topic, timeout=READ_TIMEOUT_S).topics[self.topic]
        assert metadata.error is None
        assert set(metadata.partitions) == set(self.positions)
        ends = {}
        for partition in self.positions:
            watermarks = self.consumer.get_watermark_offsets(
                TopicPartition(self.topic, partition), timeout=READ_TIMEOUT_S
            )
            assert watermarks is not None
            ends[partition] = watermarks[1]
        return ends

    def read_to_end(self) -> None:
        """Reads what is there now; raises on a loss, a duplicate or a reordering."""
        ends = self.end_offsets()
        for partition, end in ends.items():
            assert end >= self.positions[partition], f"partition {partition} became shorter"
        self.consumer.assign(
            [TopicPartition(self.topic, p, at) for p, at in self.positions.items()]
        )
        deadline = time.monotonic() + READ_TIMEOUT_S
        while any(self.positions[p] < end for p, end in ends.items()):
            assert time.monotonic() < deadline, f"read up to {self.positions} of {ends}"
            for message in self.consumer.consume(5000, 0.01):
                if message.error() is None:
                    self._check(message)
        self.consumer.unassign()

    def _check(self, message: Message) -> None:
        value, partition, offset = message.value(), message.partition(), message.offset()
        assert isinstance(value, bytes)
        assert partition is not None
        assert offset is not None
        name, number_text, _ = value.decode().split(" ", 2)
        number, expected = int(number_text), self.next_number[name, partition]
        assert number == expected, (
            f"partition {partition} offset {offset}: {name} wrote {expected} next, found {number}"
        )
        assert offset == self.positions[partition], f"offset {offset} follows {self.positions}"
        self.next_number[name, partition] += 1
        self.offsets[name][partition][number] = offset
        self.positions[partition] = offset + 1
