"""`__transaction_state` is compacted, and what counts of it is there after a restart."""

import errno
import json
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import barnabas
from barnabas.testing import faults
from clients.transactions import until
from peers.java import ToolShell
from unit.wire import WireClient

TIMEOUT_S = 30
STATE: Final = "__transaction_state"
IDS: Final = ("copier-a", "copier-b", "copier-c")
TRANSACTIONS = 25  # of each
PREPARED: Final = "cut-short"
RECORDS_PER_TRANSACTION = 3  # ongoing, prepared, complete
CONFIG = {
    "transaction.state.log.num.partitions": "1",
    "log.retention.check.interval.ms": "100",  # and of what is to be rolled
    "log.cleaner.backoff.ms": "50",
}
OFTEN = {"segment.ms": "1", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": "0"}
EXPIRING = {
    "transactional.id.expiration.ms": "1",
    "transaction.remove.expired.transaction.cleanup.interval.ms": "100",
}


class State(NamedTuple):
    """What DescribeTransactions says of a transactional id."""

    name: str
    producer_id: int
    producer_epoch: int


@contextmanager
def broker_of(root: Path, **more: str) -> Iterator[barnabas.Broker]:
    with barnabas.Broker(root, config={**CONFIG, **more}) as broker:
        yield broker


def transactional(broker: barnabas.Broker, transactional_id: str) -> Producer:
    servers = broker.bootstrap_servers
    config = {"bootstrap.servers": servers, "transactional.id": transactional_id, "log_level": 0}
    producer = Producer(config)
    producer.init_transactions(TIMEOUT_S)
    return producer


def run_transactions(broker: barnabas.Broker) -> None:
    for transactional_id in IDS:
        producer = transactional(broker, transactional_id)
        for number in range(TRANSACTIONS):
            producer.begin_transaction()
            producer.produce("t", f"{transactional_id} {number}")
            producer.commit_transaction(TIMEOUT_S)


def prepare(broker: barnabas.Broker) -> None:
    """Leaves a transaction that is decided; its marker is not written."""
    producer = transactional(broker, PREPARED)
    producer.begin_transaction()
    producer.produce("prepared", "v")
    assert producer.flush(TIMEOUT_S) == 0
    producer.commit_transaction(TIMEOUT_S)


def compact_often(broker: barnabas.Broker) -> None:
    changes = [
        {"name": name, "config_operation": 0, "value": value} for name, value in OFTEN.items()
    ]
    resource = {"resource_type": 2, "resource_name": STATE, "configs": changes}
    with WireClient(broker.bootstrap_servers) as client:
        (altered,) = client.ask("IncrementalAlterConfigs", 1, resources=[resource]).responses
    assert altered.error_code == 0


def cleanup_policy(broker: barnabas.Broker) -> str:
    with WireClient(broker.bootstrap_servers) as client:
        asked = {
            "resource_type": 2,
            "resource_name": STATE,
            "configuration_keys": ["cleanup.policy"],
        }
        (found,) = client.ask("DescribeConfigs", 4, resources=[asked]).results
    return str(found.configs[0].value)


def describe(broker: barnabas.Broker, transactional_id: str) -> State | None:
    with WireClient(broker.bootstrap_servers) as client:
        asked = [transactional_id]
        (found,) = client.ask("DescribeTransactions", 0, transactional_ids=asked).transaction_states
    if found.error_code != 0:
        return None
    return State(found.transaction_state, int(found.producer_id), int(found.producer_epoch))


def read(broker: barnabas.Broker, topic: str, isolation: str) -> list[tuple[bytes, bytes | None]]:
    """Key and value of every record that a new reader is given."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "reader",
            "enable.auto.commit": False,
            "isolation.level": isolation,
        }
    )
    at = TopicPartition(topic, 0, 0)
    ends = consumer.get_watermark_offsets(at, timeout=TIMEOUT_S)
    assert ends is not None
    consumer.assign([at])
    found = []
    while consumer.position([at])[0].offset < ends[1]:
        for message in consumer.consume(100, 0.05):
            assert message.error() is None
            found.append((message.key() or b"", message.value()))
    consumer.close()
    return found


def stored(broker: barnabas.Broker) -> Counter[str]:
    """How many records `__transaction_state` has of each id, tombstones too."""
    return Counter(id_of(key) for key, _ in read(broker, STATE, "read_uncommitted"))


def id_of(key: bytes) -> str:
    version, length = struct.unpack_from(">hh", key)
    assert version == 0
    assert len(key) == 4 + length
    return key[4:].decode()


def size(root: Path) -> int:
    return sum(path.stat().st_size for path in (root / f"{STATE}-0").glob("*.log"))


@pytest.fixture
def compacted(tmp_path: Path) -> tuple[Path, dict[str, State | None]]:
    """A directory whose `__transaction_state` has been compacted, and what the ids were then."""
    # The second write is that of the marker, which is tried again and again.
    no_room = faults.fail("write", "*/prepared-0/*.log", error=errno.ENOSPC, nth=2)
    with no_room, broker_of(tmp_path) as broker:
        for topic in ("t", "prepared"):
            broker.create_topic(topic)
        run_transactions(broker)
        prepare(broker)
        assert cleanup_policy(broker) == "compact"
        before = stored(broker)
        assert all(before[name] > RECORDS_PER_TRANSACTION * TRANSACTIONS for name in IDS)
        size_before = size(tmp_path)
        compact_often(broker)
        until(lambda: stored(broker) == dict.fromkeys((*IDS, PREPARED), 1))
        until(lambda: size(tmp_path) < size_before / 10)
        states = {name: describe(broker, name) for name in (*IDS, PREPARED)}
    return tmp_path, states


def test_a_restart_finds_each_id_as_it_was(
    compacted: tuple[Path, dict[str, State | None]],
) -> None:
    root, states = compacted
    with broker_of(root) as broker:
        assert {name: describe(broker, name) for name in IDS} == {n: states[n] for n in IDS}
        for name in IDS:
            state = states[name]
            assert state is not None
            assert state.name == "CompleteCommit"
            assert state.producer_epoch >= TRANSACTIONS  # transactions v2: one up with each
            transactional(broker, name)
            again = describe(broker, name)
            assert again is not None
            assert again[1:] == (state.producer_id, state.producer_epoch + 1)
        values = [value for _, value in read(broker, "t", "read_committed")]
        assert values == [f"{name} {i}".encode() for name in IDS for i in range(TRANSACTIONS)]


def test_a_restart_finishes_what_was_decided(
    compacted: tuple[Path, dict[str, State | None]],
) -> None:
    root, states = compacted
    prepared = states[PREPARED]
    assert prepared is not None
    assert prepared.name == "PrepareCommit"
    with broker_of(root) as broker:
        until(lambda: describe(broker, PREPARED) == prepared._replace(name="CompleteCommit"))
        assert read(broker, "prepared", "read_committed") == [(b"", b"v")]


def test_an_id_that_expires_leaves_nothing(
    compacted: tuple[Path, dict[str, State | None]],
) -> None:
    root, _ = compacted
    with broker_of(root, **EXPIRING) as broker:
        until(lambda: all(describe(broker, name) is None for name in (*IDS, PREPARED)))
        until(lambda: not stored(broker))  # not even tombstones
    with broker_of(root) as broker:
        assert all(describe(broker, name) is None for name in IDS)
        transactional(broker, IDS[0])
        state = describe(broker, IDS[0])
        assert state is not None
        assert (state.name, state.producer_epoch) == ("Empty", 0)


@pytest.mark.java
def test_kafkas_dump_tool_reads_what_compaction_leaves(
    compacted: tuple[Path, dict[str, State | None]],
) -> None:
    root, states = compacted
    logs = sorted((root / f"{STATE}-0").glob("*.log"))
    with ToolShell() as shell:
        dumped = shell.dump_log_segments(logs, "--transaction-log-decoder")
    found = {}
    for line in dumped.splitlines():
        if "payload: " in line:
            key = json.loads(line.split(" key: ", 1)[1].split(" payload: ", 1)[0])["data"]
            value = json.loads(line.split("payload: ", 1)[1])["data"]
            found[key["transactionalId"]] = (value["producerId"], value["producerEpoch"])
    assert found == {name: state[1:] for name, state in states.items() if state}, dumped
