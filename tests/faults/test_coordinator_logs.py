"""A wrong bit in what the broker keeps of groups and transactions, in topics of its own: what
cannot be believed is named and not served, and all the rest is.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import barnabas
from barnabas.coordinator.routing import partition_for
from faults.rows import Row
from faults.segments import BATCH_HEADER_BYTES, batches_of, flip_bit
from faults.test_compaction import await_true
from unit.wire import WireClient

TIMEOUT_S = 30
PARTITIONS = 2
CONFIG = {
    "offsets.topic.num.partitions": str(PARTITIONS),
    "transaction.state.log.num.partitions": str(PARTITIONS),
}
NAMES = tuple("abcdef")  # of groups, and transactional ids: some in each partition
COORDINATOR_NOT_AVAILABLE = 15


def commit(broker: barnabas.Broker, group: str, offset: int) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
        }
    )
    consumer.commit(offsets=[TopicPartition("t", 0, offset)], asynchronous=False)
    consumer.close()


def write_in_transaction(broker: barnabas.Broker, name: str) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": name})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    producer.produce("t", name.encode())
    producer.commit_transaction(TIMEOUT_S)


def committed_offsets(broker: barnabas.Broker) -> dict[str, tuple[int, int]]:
    """Of each group: (error, offset)."""
    found = {}
    topics = [{"name": "t", "partition_indexes": [0]}]
    with WireClient(broker.bootstrap_servers) as client:
        for name in NAMES:
            asked = [{"group_id": name, "topics": topics}]
            (group,) = client.ask("OffsetFetch", 8, groups=asked).groups
            offsets = [p.committed_offset for topic in group.topics for p in topic.partitions]
            found[name] = (int(group.error_code), offsets[0] if offsets else -1)
    return found


def producers(broker: barnabas.Broker) -> dict[str, tuple[int, int]]:
    """Of each transactional id: (error, producer id)."""
    with WireClient(broker.bootstrap_servers) as client:
        states = client.ask("DescribeTransactions", 0, transactional_ids=list(NAMES))
    return {
        one.transactional_id: (int(one.error_code), int(one.producer_id))
        for one in states.transaction_states
    }


def ask_in_the_process(broker: barnabas.Broker, topic: str, name: str) -> None:
    if topic == "__transaction_state":
        broker.producer(transactional_id=name)
        return
    with broker.consumer(["t"], group=name) as consumer:
        consumer.committed(timeout=TIMEOUT_S)


View = dict[str, tuple[int, int]]
TOPICS: dict[str, Callable[[barnabas.Broker], View]] = {
    "__consumer_offsets": committed_offsets,
    "__transaction_state": producers,
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, View]]:
    root = tmp_path_factory.mktemp("before")
    with barnabas.Broker(root, config=CONFIG) as broker:
        broker.create_topic("t")
        for number, name in enumerate(NAMES):
            write_in_transaction(broker, name)
            commit(broker, name, 1 + number)
        view = {topic: look(broker) for topic, look in TOPICS.items()}
    return root, view


def damage(source: Path, root: Path, topic: str) -> str:
    """A copy with a wrong bit in the last record of the topic's first partition; what is told."""
    shutil.copytree(source, root)
    segment = root / f"{topic}-0" / f"{0:020}.log"
    batch = batches_of(segment)[-1]
    assert batch.size > BATCH_HEADER_BYTES
    flip_bit(segment, 8 * (batch.end - 3))
    return (
        f"{segment}: the CRC of the batch of offset {batch.base_offset} at position "
        f"{batch.position} is wrong"
    )


@pytest.mark.parametrize("topic", TOPICS)
def test_clients_in_the_process_do_not_wait_for_ever(
    before: tuple[Path, dict[str, View]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    topic: str,
) -> None:
    for module in ("offsets", "transaction"):
        monkeypatch.setattr(f"barnabas.embedded.{module}.API_TIMEOUT_S", 0.3)
    damage(before[0], tmp_path / "data", topic)
    refused = next(name for name in NAMES if partition_for(name, PARTITIONS) == 0)
    refusal = pytest.raises(barnabas.KafkaError, match="COORDINATOR_NOT_AVAILABLE")
    with barnabas.Broker(tmp_path / "data", config=CONFIG) as broker, refusal:
        ask_in_the_process(broker, topic, refused)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_wrong_bit_in_an_internal_topic_is_named_and_what_is_elsewhere_is_served(
    before: tuple[Path, dict[str, View]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    count: Callable[..., None],
    topic: str,
) -> None:
    source, expected = before
    root = tmp_path / "data"
    what = damage(source, root, topic)
    with barnabas.Broker(root, config=CONFIG) as broker:
        await_true(lambda: what in caplog.text)
        await_true(lambda: all(error != 14 for error, _ in TOPICS[topic](broker).values()))
        found = TOPICS[topic](broker)
        refused = {name for name, (error, _) in found.items() if error}
        assert 0 < len(refused) < len(NAMES)
        assert {found[name][0] for name in refused} == {COORDINATOR_NOT_AVAILABLE}
        served = set(NAMES) - refused
        assert {name: found[name] for name in served} == {
            name: expected[topic][name] for name in served
        }
        (other,) = TOPICS.keys() - {topic}
        assert TOPICS[other](broker) == expected[other]
        if other == "__consumer_offsets":
            write_in_transaction(broker, min(served))
        else:
            commit(broker, min(served), 9)
        with broker.producer() as producer:
            producer.send("t", b"more").result(TIMEOUT_S)
    assert what in caplog.text
    count(Row.WRONG_BIT)
