"""What committed readers and compaction go by, damaged: nothing wrong is read, and nothing that
counts is compacted away.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

import barnabas
from faults.rows import Row
from faults.segments import flip_bit
from faults.test_compaction import await_true
from faults.test_damaged_files import (
    CONFIG,
    CUT,
    DAMAGES,
    EMPTY,
    MISSING,
    SMALL,
    TIMEOUT_S,
    await_line,
    records,
)

FIRST_OFFSET = 10  # bytes into an entry of a .txnindex


def set_config(broker: barnabas.Broker, topic: str, key: str, value: str) -> None:
    entry = ConfigEntry(key, value)
    entry.incremental_operation = AlterConfigOpType.SET
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    (altered,) = admin.incremental_alter_configs([resource]).values()
    altered.result(TIMEOUT_S)


def cleaned_offset(broker: barnabas.Broker, topic: str) -> int:
    path = broker.data_dir / "cleaner-offset-checkpoint"
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[2]) for line in lines if line.startswith(f"{topic} 0 ")), 0)


def fill_with_transactions(broker: barnabas.Broker) -> None:
    """Topic `c`: four keys, committed ("kept"), then aborted ("gone"); then others."""
    late = {**SMALL, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"}
    broker.create_topic("c", config={**late, "min.compaction.lag.ms": "3600000"})
    servers: dict[str, str | int | float | bool] = {"bootstrap.servers": broker.bootstrap_servers}
    producer = Producer({**servers, "transactional.id": "x", "linger.ms": 0})
    producer.init_transactions(TIMEOUT_S)
    for kept in (True, False):
        producer.begin_transaction()
        for number in range(4):
            producer.produce("c", b"%d" % number, b"kept" if kept else b"gone", partition=0)
            assert producer.flush(TIMEOUT_S) == 0
        if kept:
            producer.commit_transaction(TIMEOUT_S)
        else:
            producer.abort_transaction(TIMEOUT_S)
    plain = Producer({**servers, "linger.ms": 0})
    for number in range(30):
        plain.produce("c", bytes(50), b"%d" % number, partition=0)
        assert plain.flush(TIMEOUT_S) == 0


def committed(broker: barnabas.Broker, key: bytes) -> list[bytes | None]:
    found = records(broker, "c", "read_committed")
    return [value for _, of, value in found if of == key]


@pytest.fixture(scope="module")
def with_transactions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("transactions")
    with barnabas.Broker(root, config=CONFIG) as broker:
        fill_with_transactions(broker)
    return root


@pytest.mark.parametrize("served", [False, True], ids=["between two lives", "while served"])
def test_a_wrong_bit_in_a_transaction_index_lets_no_compaction_take_records(
    with_transactions: Path,
    tmp_path: Path,
    core_log: list[str],
    count: Callable[..., None],
    *,
    served: bool,
) -> None:
    root = tmp_path / "data"
    shutil.copytree(with_transactions, root)
    (index,) = (root / "c-0").glob("*.txnindex")
    right = index.read_bytes()
    assert int.from_bytes(right[FIRST_OFFSET : FIRST_OFFSET + 8]) == 5

    def damage() -> None:  # as if what was committed were of that transaction
        flip_bit(index, 8 * (FIRST_OFFSET + 7) + 2)

    if not served:
        damage()
    with barnabas.Broker(root, config=CONFIG) as broker:
        if served:
            damage()
        else:
            assert committed(broker, b"kept") == [b"0", b"1", b"2", b"3"]
        set_config(broker, "c", "min.compaction.lag.ms", "0")
        await_true(lambda: cleaned_offset(broker, "c") > 0)
        assert committed(broker, b"kept") == [b"3"]
        assert committed(broker, b"gone") == []
    what = "it is not what was written; it is about to be rebuilt" if served else "rebuilding it"
    await_line(core_log, f"{index}: damaged, {what}")
    count(Row.DAMAGED_FILE)


@pytest.mark.parametrize("damage", [MISSING, EMPTY, CUT, "a bit"])
def test_a_transaction_index_damaged_while_it_is_served_is_rebuilt(
    with_transactions: Path,
    tmp_path: Path,
    core_log: list[str],
    count: Callable[..., None],
    damage: str,
) -> None:
    root = tmp_path / "data"
    shutil.copytree(with_transactions, root)
    (index,) = (root / "c-0").glob("*.txnindex")
    right = index.read_bytes()
    with barnabas.Broker(root, config=CONFIG) as broker:
        if damage == "a bit":
            flip_bit(index, 8 * 9 + 6)  # the producer's id
        else:
            DAMAGES[damage](index)
        core_log.clear()
        # The reader waits until it is rebuilt.
        assert committed(broker, b"kept") == [b"0", b"1", b"2", b"3"]
        assert committed(broker, b"gone") == []
        await_line(core_log, str(index))
        assert index.read_bytes() == right
    count(Row.DAMAGED_FILE)


def test_a_wrong_bit_in_the_offset_that_a_log_is_compacted_to_brings_no_key_back(
    tmp_path: Path, core_log: list[str], count: Callable[..., None]
) -> None:
    """A tombstone lies below the offset that the bit makes of it, what it deletes far below."""
    state = {**SMALL, "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"}

    def send(broker: barnabas.Broker, key: bytes, value: bytes | None, batches: int = 1) -> None:
        with broker.producer(linger_ms=0) as producer:
            for _ in range(batches):
                producer.send("c", value, key=key).result(TIMEOUT_S)

    def await_clean(broker: barnabas.Broker) -> int:
        segments = (tmp_path / "c-0").glob("*.log")
        active = max(int(path.stem) for path in segments)
        await_true(lambda: cleaned_offset(broker, "c") == active)
        return active

    with barnabas.Broker(tmp_path, config=CONFIG) as broker:
        # A tombstone goes with the pass after the one that has seen it.
        broker.create_topic("c", config={**state, "delete.retention.ms": "0"})
        send(broker, b"k", b"deleted long ago")
        send(broker, b"other", bytes(50), 30)
        cleaned = await_clean(broker)
        set_config(broker, "c", "min.compaction.lag.ms", "3600000")
        send(broker, b"k", None)
        send(broker, b"other", bytes(50), 50)
    checkpoint = tmp_path / "cleaner-offset-checkpoint"
    right = checkpoint.read_bytes()
    assert 10 <= cleaned < 40
    flip_bit(checkpoint, 8 * right.index(b"c 0 %d" % cleaned) + 8 * len("c 0 ") + 2)
    assert checkpoint.read_bytes() == right.replace(b"c 0 %d" % cleaned, b"c 0 %d" % (cleaned + 40))
    with barnabas.Broker(tmp_path, config=CONFIG) as broker:
        set_config(broker, "c", "min.compaction.lag.ms", "0")
        for _ in range(3):
            send(broker, b"other", bytes(50), 20)
            await_clean(broker)
        assert {key: value for _, key, value in records(broker, "c")} == {b"other": bytes(50)}
    await_line(core_log, "cleaner-offset-checkpoint")
    await_line(core_log, "compacted logs are compacted from their start")
    count(Row.DAMAGED_FILE)
