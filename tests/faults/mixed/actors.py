"""Who is at work in a mixed run. Every record carries its number, so that readers miss none."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import barnabas

EMBEDDED, NETWORK, TRANSACTIONS = "embedded", "network", "transactions"
RECORD_BYTES = 200
ABORTED, OF_FORK = 10**12, 2 * 10**12  # numbers that do not count
CLIENT_S = 15  # how long a network client lives
CLIENT_TIMEOUT_S = 180


def encode(number: int) -> bytes:
    return b"%016d" % number + bytes(RECORD_BYTES - 16)


def decode(value: bytes | str | None) -> int:
    assert isinstance(value, bytes)
    assert len(value) == RECORD_BYTES
    return int(value[:16])


class Actor(threading.Thread):
    """Takes steps until it is stopped; remembers why it failed."""

    pause_s = 0.002

    def __init__(self, broker: barnabas.Broker) -> None:
        super().__init__(name=type(self).__name__)
        self.broker = broker
        self.stopping = threading.Event()
        self.failure: BaseException | None = None
        self.count = 0

    def run(self) -> None:
        try:
            for _ in self.steps():
                if self.stopping.wait(self.pause_s):
                    break
        except BaseException as failure:
            self.failure = failure

    def steps(self) -> Iterator[None]:
        raise NotImplementedError


class EmbeddedSender(Actor):
    """One by one, and in columns."""

    def steps(self) -> Iterator[None]:
        with self.broker.producer() as producer:
            while True:
                futures = [producer.send(EMBEDDED, encode(self.count + n)) for n in range(20)]
                self.count += 20
                for future in futures:
                    future.result(60)
                yield
                column = [encode(self.count + n) for n in range(100)]
                self.count += len(column)
                producer.send_many(EMBEDDED, column).result(60)
                yield


class NumberedReader(Actor):
    """Sees a topic's records in the order of their numbers, none twice."""

    topic = EMBEDDED
    isolation_level = "read_uncommitted"

    def steps(self) -> Iterator[None]:
        with self.broker.consumer(
            [self.topic],
            group=f"{self.topic}-readers",
            auto_offset_reset="earliest",
            isolation_level=self.isolation_level,
            auto_commit_interval_ms=500,
        ) as consumer:
            while True:
                batch = consumer.poll(0.2)
                for value in [] if batch is None else batch.values:
                    assert decode(value) == self.count, (decode(value), self.count)
                    self.count += 1
                yield


class TransactionReader(NumberedReader):
    """Sees what was committed alone."""

    topic = TRANSACTIONS
    isolation_level = "read_committed"


class TransactionalSender(Actor):
    """Commits what it counts, and aborts every third transaction."""

    pause_s = 0.01

    def steps(self) -> Iterator[None]:
        with self.broker.producer(transactional_id="mixed") as producer:
            while True:
                for _ in range(2):
                    with producer.transaction():
                        for n in range(10):
                            producer.send(TRANSACTIONS, encode(self.count + n))
                    self.count += 10
                    yield
                try:
                    with producer.transaction():
                        producer.send(TRANSACTIONS, encode(ABORTED)).result(60)
                        raise InterruptedError
                except InterruptedError:
                    yield


class Hook(Actor):
    """Counts what network clients append; the callable is a new one now and then."""

    pause_s = 5.0

    def steps(self) -> Iterator[None]:
        while True:
            with self.broker.on_append(NETWORK, self._see):
                yield

    def _see(self, batch: barnabas.ConsumedBatch) -> None:
        self.count += len(batch)


class NetworkClients(Actor):
    """Processes with a producer and a consumer, one after the other."""

    def steps(self) -> Iterator[None]:
        program = Path(__file__).with_name("client.py")
        while True:
            command = [sys.executable, str(program), self.broker.bootstrap_servers]
            done = subprocess.run(
                [*command, NETWORK, str(self.count), str(CLIENT_S)],
                capture_output=True,
                text=True,
                timeout=CLIENT_TIMEOUT_S,
                check=False,
                env={"PYTHONUNBUFFERED": "1"},
            )
            assert done.returncode == 0, done.stdout + done.stderr
            self.count = int(done.stdout)
            yield


class Forker(Actor):
    """Forks the broker while all the others are at work, and looks at what the fork has."""

    pause_s = 0.5

    def __init__(self, broker: barnabas.Broker) -> None:
        super().__init__(broker)
        self.fork_s: list[float] = []  # how long the newest took

    def steps(self) -> Iterator[None]:
        while True:
            began = time.monotonic()
            with self.broker.fork() as fork:
                self.fork_s = [*self.fork_s[-999:], time.monotonic() - began]
                for topic in (EMBEDDED, TRANSACTIONS, NETWORK):
                    self._check(fork, topic)
                with fork.fork() as forks_fork:
                    self._check(forks_fork, EMBEDDED)
            self.count += 2
            yield

    def _check(self, fork: barnabas.Broker, topic: str) -> None:
        """The newest records go on by one, and so does the fork itself."""
        info = fork.services.core.partition_info(topic, 0)
        with fork.producer() as producer:
            sent = producer.send(topic, encode(OF_FORK)).result(60)
        # The fork may have ended a transaction that was decided.
        assert sent.offset == info.log_end_offset or topic == TRANSACTIONS, (topic, sent, info)
        level = "read_committed" if topic == TRANSACTIONS else "read_uncommitted"
        with fork.consumer([topic], isolation_level=level, timeout=0) as consumer:
            consumer.poll(0)
            consumer.seek(topic, 0, max(info.log_start_offset, info.log_end_offset - 300))
            numbers = [decode(value) for batch in consumer for value in batch.values]
        own = [number for number in numbers if number == OF_FORK]
        assert own or topic == TRANSACTIONS, (topic, numbers)
        numbers = numbers[: len(numbers) - len(own)]
        expected = list(range(numbers[0], numbers[0] + len(numbers))) if numbers else []
        assert numbers == expected, (topic, numbers)
