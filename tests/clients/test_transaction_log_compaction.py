"""`__transaction_state` is compacted, and what counts of it is there after a restart."""

import errno
import json
import shutil
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

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
SESSIONS = 4  # of each: every producer begins with an epoch of its own
TRANSACTIONS = 8  # of each session
LOADING: Final = (14, 15)  # COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE
UNKNOWN_ID: Final = 105  # TRANSACTIONAL_ID_NOT_FOUND
PREPARED: Final = "cut-short"
RECORDS = SESSIONS * (1 + 3 * TRANSACTIONS)  # empty; ongoing, prepared, complete
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


def value_of(transactional_id: str, session: int, number: int) -> bytes:
    return f"{transactional_id} {session} {number}".encode()


def run_session(broker: barnabas.Broker, transactional_id: str, session: int) -> None:
    producer = transactional(broker, transactional_id)
    for number in range(TRANSACTIONS):
        producer.begin_transaction()
        producer.produce("t", value_of(transactional_id, session, number))
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
    """Once the log has been read back; None when there is nothing of it."""
    found: Any = None

    def is_loaded() -> bool:
        nonlocal found
        with WireClient(broker.bootstrap_servers) as client:
            asked = [transactional_id]
            answer = client.ask("DescribeTransactions", 0, transactional_ids=asked)
        (found,) = answer.transaction_states
        return found.error_code not in LOADING

    until(is_loaded)
    if found.error_code == UNKNOWN_ID:
        return None
    assert found.error_code == 0
    return State(found.transaction_state, int(found.producer_id), int(found.producer_epoch))


def is_complete(broker: barnabas.Broker, transactional_id: str) -> Callable[[], bool]:
    def check() -> bool:
        state = describe(broker, transactional_id)
        return state is not None and state.name == "CompleteCommit"

    return check


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


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, State | None]]:
    """A directory whose `__transaction_state` has been compacted, and what the ids were then."""
    root = tmp_path_factory.mktemp("original")
    # The second write is that of the marker, which is tried again and again.
    no_room = faults.fail("write", "*/prepared-0/*.log", error=errno.ENOSPC, nth=2)
    with no_room, broker_of(root) as broker:
        for topic in ("t", "prepared"):
            broker.create_topic(topic)
        for name in IDS:
            for session in range(SESSIONS):
                run_session(broker, name, session)
        prepare(broker)
        assert cleanup_policy(broker) == "compact"
        until(
            lambda: {**stored(broker), PREPARED: 0} == {**dict.fromkeys(IDS, RECORDS), PREPARED: 0}
        )
        size_before = size(root)
        compact_often(broker)
        until(lambda: stored(broker) == dict.fromkeys((*IDS, PREPARED), 1))
        until(lambda: size(root) < size_before / 10)
        states = {name: describe(broker, name) for name in (*IDS, PREPARED)}
    return root, states


@pytest.fixture
def compacted(
    original: tuple[Path, dict[str, State | None]], tmp_path: Path
) -> tuple[Path, dict[str, State | None]]:
    """A copy of it."""
    root = tmp_path / "data"
    shutil.copytree(original[0], root)
    return root, original[1]


def test_a_restart_finds_each_id_as_it_was(
    compacted: tuple[Path, dict[str, State | None]],
) -> None:
    root, states = compacted
    with broker_of(root) as broker:
        assert {name: describe(broker, name) for name in IDS} == {n: states[n] for n in IDS}
        for name in IDS:
            state = states[name]
            assert state is not None
            assert (state.name, state.producer_epoch) == ("CompleteCommit", SESSIONS - 1)
            run_session(broker, name, SESSIONS)
            until(is_complete(broker, name))
            assert describe(broker, name) == state._replace(producer_epoch=SESSIONS)
        values = [value for _, value in read(broker, "t", "read_committed")]
        assert values == [
            value_of(name, session, number)
            for name in IDS
            for session in range(SESSIONS)
            for number in range(TRANSACTIONS)
        ] + [value_of(name, SESSIONS, number) for name in IDS for number in range(TRANSACTIONS)]


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
    with broker_of(root) as broker:
        assert all(describe(broker, name) is None for name in (*IDS, PREPARED))

        def has_only_new() -> bool:
            transactional(broker, "new")  # without something new there is nothing to compact
            return stored(broker).keys() == {"new"}

        until(has_only_new)  # not even tombstones
        run_session(broker, IDS[0], 0)
        until(is_complete(broker, IDS[0]))
        state = describe(broker, IDS[0])
        assert state is not None
        assert state.producer_epoch == 0


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
