"""Idempotent produce, batch by batch: retries, gaps and fencing, also after the broker stopped.

Run with `--peer kafka` the same goes to Apache Kafka.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from barnabas._records import encode_batch
from clients.contract import create_topic
from faults.conftest import ServerFactory
from faults.produce_client import ProduceClient
from peers.servers import Server

NONE, OUT_OF_ORDER, DUPLICATE, INVALID_EPOCH = 0, 45, 46, 47
NO_LEADER_YET = {3, 5, 6}  # Apache Kafka, just after a start or a topic's creation
_LEADER_TIMEOUT_S = 30
REMEMBERED_BATCHES = 5
SEQUENCE_MAX = 2**31 - 1
# Small segments: what is remembered must survive a roll.
CONFIG = {"log.segment.bytes": "1048576", "internal.segment.bytes": "300"}


@dataclass
class IdempotentProducer:
    """Sends batches of two records with any sequence it is told to."""

    server: Server
    topic: str
    producer_id: int = 7
    producer_epoch: int = 0

    def send(self, sequence: int) -> tuple[int, int]:
        """(error code, base offset) of the batch that starts at `sequence`."""
        data = encode_batch(
            [(None, b"value"), (None, b"another")],
            timestamp_ms=time.time_ns() // 1_000_000,
            producer_id=self.producer_id,
            producer_epoch=self.producer_epoch,
            base_sequence=sequence,
        )
        with ProduceClient(self.server.port) as client:
            result = client.produce(self.topic, data)
            deadline = time.monotonic() + _LEADER_TIMEOUT_S
            while result.error_code in NO_LEADER_YET and time.monotonic() < deadline:
                time.sleep(0.05)
                result = client.produce(self.topic, data)
        return result.error_code, result.base_offset


def _restart(server: Server) -> None:
    server.stop()
    server.start()


def _kill(server: Server) -> None:
    server.kill()
    server.start()


INTERRUPTIONS: Mapping[str, Callable[[Server], None]] = {
    "nothing": lambda _: None,
    "a restart": _restart,
    "a kill": _kill,
}


@pytest.fixture
def producer(new_server: ServerFactory) -> IdempotentProducer:
    server = new_server(CONFIG)
    return IdempotentProducer(server, create_topic(server.bootstrap))


@pytest.mark.parametrize("interrupt", INTERRUPTIONS.values(), ids=INTERRUPTIONS.keys())
def test_a_retry_is_answered_with_the_first_offset_and_a_gap_is_refused(
    producer: IdempotentProducer, interrupt: Callable[[Server], None]
) -> None:
    sequences = range(0, 14, 2)
    for sequence in sequences:
        assert producer.send(sequence) == (NONE, sequence)
    interrupt(producer.server)
    # Its snapshots hold one batch a producer, and Apache Kafka looks no further.
    only_the_last = producer.server.name == "kafka" and producer.server.starts > 1
    for sequence in sequences[-1 if only_the_last else -REMEMBERED_BATCHES :]:
        assert producer.send(sequence) == (NONE, sequence), "one copy, at its first offset"
    forgotten, _ = producer.send(0)
    assert forgotten in (OUT_OF_ORDER, DUPLICATE)
    assert producer.send(16)[0] == OUT_OF_ORDER
    assert producer.send(14) == (NONE, 14), "nothing was appended in between"


@pytest.mark.parametrize("interrupt", INTERRUPTIONS.values(), ids=INTERRUPTIONS.keys())
def test_a_new_epoch_fences_the_old_one_and_starts_at_zero(
    producer: IdempotentProducer, interrupt: Callable[[Server], None]
) -> None:
    assert producer.send(0) == (NONE, 0)
    producer.producer_epoch = 3
    assert producer.send(4)[0] == OUT_OF_ORDER, "a new epoch starts at sequence 0"
    assert producer.send(0) == (NONE, 2)
    interrupt(producer.server)
    producer.producer_epoch = 2
    assert producer.send(2)[0] == INVALID_EPOCH
    producer.producer_epoch = 3
    assert producer.send(2) == (NONE, 4)


def test_an_unknown_producer_may_start_anywhere(producer: IdempotentProducer) -> None:
    assert producer.send(1000) == (NONE, 0)
    assert producer.send(1002) == (NONE, 2)


def test_sequences_wrap_around(producer: IdempotentProducer) -> None:
    assert producer.send(SEQUENCE_MAX - 2) == (NONE, 0)
    assert producer.send(SEQUENCE_MAX) == (NONE, 2), "its records are the last and the first"
    assert producer.send(1) == (NONE, 4)
    assert producer.send(SEQUENCE_MAX) == (NONE, 2)


def test_producers_do_not_disturb_each_other(producer: IdempotentProducer) -> None:
    other = IdempotentProducer(producer.server, producer.topic, producer_id=8)
    assert producer.send(0) == (NONE, 0)
    assert other.send(0) == (NONE, 2)
    assert producer.send(2) == (NONE, 4)
    assert other.send(0) == (NONE, 2)
