"""What a transaction costs."""

import os
import time
import uuid

from confluent_kafka import Producer

from bench.operation import LIBRDKAFKA, Operation
from bench.peer import Cost, Measured, Peer
from bench.results import OperationInfo

RECORDS = 100
RECORD_BYTES = 100
PARTITIONS = 4
WARM_UP_S = 0.5
SECONDS = 2.0
TIMEOUT_S = 30.0


def operations() -> list[Operation]:
    info = OperationInfo(
        "transactions",
        f"transactions of {RECORDS} records of {RECORD_BYTES} B, one client",
        "Transactions",
        LIBRDKAFKA,
        ("transactions_per_s", "cpu_ms_per_transaction"),
    )
    return [Operation(info, _run, peers=("barnabas", "kafka"), warm_up_by="cpu_ms_per_transaction")]


def _run(peer: Peer) -> Measured:
    with peer.topic(PARTITIONS) as topic:
        producer = Producer(
            {
                "bootstrap.servers": peer.bootstrap,
                "transactional.id": f"bench-{uuid.uuid4().hex[:8]}",
                "log_level": 3,
            }
        )
        producer.init_transactions(TIMEOUT_S)
        _commit_for(producer, topic, WARM_UP_S)
        begin = time.monotonic()
        with Cost(peer) as cost:
            done = _commit_for(producer, topic, SECONDS)
        wall_s = time.monotonic() - begin
    return Measured(
        {
            "transactions_per_s": done / wall_s,
            "cpu_ms_per_transaction": cost.cpu_s / done * 1e3,
        }
    )


def _commit_for(producer: Producer, topic: str, seconds: float) -> int:
    """How many transactions were committed, one after the other."""
    value = os.urandom(RECORD_BYTES)
    deadline = time.monotonic() + seconds
    done = 0
    while time.monotonic() < deadline:
        producer.begin_transaction()
        for number in range(RECORDS):
            producer.produce(topic, value, partition=number % PARTITIONS)
        producer.commit_transaction(TIMEOUT_S)
        done += 1
    return done
