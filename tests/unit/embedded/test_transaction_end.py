"""The end of a transaction while other threads go on sending."""

import threading
from collections.abc import Callable

import pytest
from kio.schema.errors import ErrorCode

import barnabas
from barnabas._sender import Delivery
from barnabas.embedded.producer import Producer
from barnabas.errors import KafkaError

LONG_MS = 3_600_000
END = b"end"


def read(broker: barnabas.Broker, topic: str, isolation_level: str) -> list[bytes | None]:
    """What there is to be read before END, which is sent here."""
    broker.producer().send(topic, END).result(30)
    values: list[bytes | None] = []
    with broker.consumer(
        [topic], isolation_level=isolation_level, auto_offset_reset="earliest"
    ) as consumer:
        while not values or values[-1] != END:
            batch = consumer.poll(30)
            assert batch is not None
            values += batch.values
    return values[:-1]


def refusal_of(act: Callable[[], object]) -> ErrorCode:
    with pytest.raises(KafkaError) as refused:
        act()
    return refused.value.code


class Sender(threading.Thread):
    """Sends until it is refused; knows which records are said to be written."""

    def __init__(self, producer: Producer, topic: str, number: int, *, is_bulk: bool) -> None:
        super().__init__()
        self._producer = producer
        self._topic = topic
        self._name = b"%d" % number
        self._send = self._send_many if is_bulk else self._send_one
        self._count = 0
        self._pending: list[tuple[bytes, Delivery]] = []
        self.has_begun = threading.Event()
        self.written: list[bytes] = []
        self.errors: set[ErrorCode] = set()

    def run(self) -> None:
        try:
            while True:
                self._send()
                self.has_begun.set()
        except KafkaError as error:
            self.errors.add(error.code)

    def settle(self) -> None:
        self.join()
        for value, delivery in self._pending:
            error = delivery.exception(30)
            if error is None:
                self.written.append(value)
            else:
                assert isinstance(error, KafkaError)
                self.errors.add(error.code)

    def _send_one(self) -> None:
        value = self._next()
        self._pending.append((value, self._producer.send(self._topic, value)))

    def _send_many(self) -> None:
        values = [self._next() for _ in range(50)]
        delivery = self._producer.send_many(self._topic, values)
        self.written += values[: len(delivery)]
        delivery.result(30)

    def _next(self) -> bytes:
        self._count += 1
        return b"%s-%d" % (self._name, self._count)


@pytest.mark.parametrize("is_bulk", [False, True])
@pytest.mark.parametrize("linger_ms", [0.2, LONG_MS])
def test_what_others_send_during_an_abort_is_in_no_transaction(
    broker: barnabas.Broker, topic: str, is_bulk: bool, linger_ms: float
) -> None:
    written: list[bytes] = []
    kept = []
    with broker.producer(transactional_id=topic, linger_ms=linger_ms) as producer:
        for number in range(10):
            transaction = producer.transaction()
            sender = Sender(producer, topic, number, is_bulk=is_bulk)
            sender.start()
            assert sender.has_begun.wait(30)
            transaction.abort()
            sender.settle()
            assert sender.errors == {ErrorCode.invalid_txn_state}
            kept.append(b"kept %d" % number)
            with producer.transaction():
                producer.send(topic, kept[-1])
            written += [*sender.written, kept[-1]]
    assert read(broker, topic, "read_committed") == kept
    assert read(broker, topic, "read_uncommitted")[: len(written)] == written


@pytest.mark.parametrize("is_bulk", [False, True])
def test_what_others_send_during_a_commit_is_committed_or_refused(
    broker: barnabas.Broker, topic: str, is_bulk: bool
) -> None:
    written: list[bytes] = []
    with broker.producer(transactional_id=topic, linger_ms=LONG_MS) as producer:
        for number in range(10):
            transaction = producer.transaction()
            sender = Sender(producer, topic, number, is_bulk=is_bulk)
            sender.start()
            assert sender.has_begun.wait(30)
            transaction.commit()
            sender.settle()
            assert sender.errors == {ErrorCode.invalid_txn_state}
            written += sender.written
    assert read(broker, topic, "read_committed") == written


def test_an_abort_refuses_what_is_not_on_its_way_yet(broker: barnabas.Broker, topic: str) -> None:
    with broker.producer(transactional_id=topic, linger_ms=LONG_MS) as producer:
        transaction = producer.transaction()
        producer.send(topic, b"written").result()
        delivery = producer.send(topic, b"open")
        told: list[Exception | None] = []
        delivery.add_done_callback(lambda done: told.append(done.exception()))
        transaction.abort()
        assert refusal_of(delivery.result) is ErrorCode.invalid_txn_state
        assert [str(error) for error in told] == [str(delivery.exception())]
    assert read(broker, topic, "read_uncommitted") == [b"written"]
    assert read(broker, topic, "read_committed") == [END]


def test_from_the_beginning_of_a_commit_on_nothing_is_taken(
    broker: barnabas.Broker, topic: str
) -> None:
    """A callback that the commit waits for sees the transaction at its end."""
    refusals: list[ErrorCode] = []
    with broker.producer(transactional_id=topic, linger_ms=LONG_MS) as producer:
        transaction = producer.transaction()

        def act(_: Delivery) -> None:
            refusals.extend(
                refusal_of(attempt)
                for attempt in (
                    lambda: producer.send(topic, b"late"),
                    lambda: producer.send_many(topic, [b"late"]),
                    transaction.commit,
                    transaction.abort,
                )
            )

        producer.send(topic, b"sent").add_done_callback(act)
        transaction.commit()
    assert refusals == [ErrorCode.invalid_txn_state] * 4
    assert read(broker, topic, "read_committed") == [b"sent"]


def test_a_transaction_ends_once(broker: barnabas.Broker, topic: str) -> None:
    with broker.producer(transactional_id=topic) as producer:
        first = producer.transaction()
        producer.send(topic, b"first")
        first.commit()
        second = producer.transaction()
        producer.send(topic, b"second").result()
        assert refusal_of(first.commit) is ErrorCode.invalid_txn_state
        first.abort()
        second.commit()
    assert read(broker, topic, "read_committed") == [b"first", b"second"]


def test_threads_may_join_a_partition_at_once(broker: barnabas.Broker) -> None:
    broker.create_topic("joined", partitions=8)
    with broker.producer(transactional_id="joined") as producer:
        for number in range(5):
            barrier = threading.Barrier(4)

            def send(number: int = number, barrier: threading.Barrier = barrier) -> None:
                barrier.wait(30)
                for partition in range(8):
                    producer.send("joined", b"%d" % number, partition=partition)

            threads = [threading.Thread(target=send) for _ in range(4)]
            with producer.transaction():
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
    with broker.consumer(
        ["joined"], isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        values: list[bytes | None] = []
        while len(values) < 5 * 4 * 8:
            batch = consumer.poll(30)
            assert batch is not None
            values += batch.values
    assert {value: values.count(value) for value in values} == {b"%d" % n: 32 for n in range(5)}
