"""The APIs of transactions over the wire, in every version, and across a restart."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import barnabas
from barnabas.coordinator.routing import partition_for
from barnabas.coordinator.txn_records import encode
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.records import (
    EPOCH_BUMP,
    TransactionRecord,
    TransactionState,
    TransactionValue,
)
from unit.wire import API_BY_NAME, WireClient

CONFIG = {
    "transaction.state.log.num.partitions": 4,
    "offsets.topic.num.partitions": 4,
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": 100,
}


def versions(name: str) -> range:
    api = API_BY_NAME[name]
    return range(api.min_version, api.max_version + 1)


class Transactions:
    """A producer's requests, by hand."""

    def __init__(self, client: WireClient, transactional_id: str) -> None:
        self.client = client
        self.transactional_id = transactional_id
        self.producer_id = -1
        self.epoch = -1

    def find(self) -> None:
        found = self.client.ask(
            "FindCoordinator", 4, key_type=1, coordinator_keys=[self.transactional_id]
        )
        assert [item.error_code.name for item in found.coordinators] == ["none"]

    def init(self, version: int = 5, **more: Any) -> str:
        answer = self.client.ask(
            "InitProducerId",
            version,
            **{
                "transactional_id": self.transactional_id,
                "transaction_timeout": 60_000,
                "producer_id": -1,
                "producer_epoch": -1,
                **more,
            },
        )
        if answer.error_code == 0:
            self.producer_id, self.epoch = answer.producer_id, answer.producer_epoch
        return str(answer.error_code.name)

    def add(
        self, topic: str, *partitions: int, version: int = 5, verify: bool = False
    ) -> list[str]:
        topics = [{"name": topic, "partitions": list(partitions)}]
        if version < 4:
            answer = self.client.ask(
                "AddPartitionsToTxn",
                version,
                v3_and_below_transactional_id=self.transactional_id,
                v3_and_below_producer_id=self.producer_id,
                v3_and_below_producer_epoch=self.epoch,
                v3_and_below_topics=topics,
            )
            results = answer.results_by_topic_v3_and_below
        else:
            transaction = {
                "transactional_id": self.transactional_id,
                "producer_id": self.producer_id,
                "producer_epoch": self.epoch,
                "verify_only": verify,
                "topics": topics,
            }
            answer = self.client.ask("AddPartitionsToTxn", version, transactions=[transaction])
            assert answer.error_code == 0
            (result,) = answer.results_by_transaction
            assert result.transactional_id == self.transactional_id
            results = result.topic_results
        (found,) = results
        return [item.partition_error_code.name for item in found.results_by_partition]

    def end(self, *, commit: bool, version: int = 5) -> str:
        answer = self.client.ask(
            "EndTxn",
            version,
            transactional_id=self.transactional_id,
            producer_id=self.producer_id,
            producer_epoch=self.epoch,
            committed=commit,
        )
        if answer.error_code == 0 and version >= 5:
            self.producer_id, self.epoch = answer.producer_id, answer.producer_epoch
        return str(answer.error_code.name)

    def describe(self) -> Any:
        answer = self.client.ask(
            "DescribeTransactions", 0, transactional_ids=[self.transactional_id]
        )
        return answer.transaction_states[0]

    def commit_offset(
        self, group: str, topic: str, offset: int, version: int = 5, **more: Any
    ) -> str:
        partition = {
            "partition_index": 0,
            "committed_offset": offset,
            "committed_leader_epoch": -1,
            "committed_metadata": "m",
        }
        answer = self.client.ask(
            "TxnOffsetCommit",
            version,
            **{
                "transactional_id": self.transactional_id,
                "group_id": group,
                "producer_id": self.producer_id,
                "producer_epoch": self.epoch,
                "generation_id": -1,
                "member_id": "",
                "topics": [{"name": topic, "partitions": [partition]}],
                **more,
            },
        )
        return str(answer.topics[0].partitions[0].error_code.name)


@pytest.fixture(scope="module")
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker(config=CONFIG) as running:
        running.create_topic("t", partitions=3)
        yield running


@contextmanager
def producer(broker: barnabas.Broker, transactional_id: str) -> Iterator[Transactions]:
    with WireClient(broker.bootstrap_servers) as client:
        transactions = Transactions(client, transactional_id)
        transactions.find()
        yield transactions


def committed(client: WireClient, group: str, topic: str = "t") -> tuple[str, int]:
    """The error and offset of partition 0 for one who wants stable offsets."""
    answer = client.ask(
        "OffsetFetch",
        9,
        groups=[{"group_id": group, "topics": [{"name": topic, "partition_indexes": [0]}]}],
        require_stable=True,
    )
    if answer.groups[0].error_code:
        return answer.groups[0].error_code.name, -1
    (item,) = answer.groups[0].topics[0].partitions
    return item.error_code.name, item.committed_offset


def open_since(client: WireClient, topic: str, partition: int) -> dict[int, int]:
    """By producer id: where its transaction begins, -1 if none is open."""
    (answer,) = client.ask(
        "DescribeProducers", 0, topics=[{"name": topic, "partition_indexes": [partition]}]
    ).topics
    (found,) = answer.partitions
    assert found.error_code == 0
    return {item.producer_id: item.current_txn_start_offset for item in found.active_producers}


def until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.parametrize("version", versions("InitProducerId"))
def test_each_init_fences_the_producer_before(broker: barnabas.Broker, version: int) -> None:
    with producer(broker, f"init-{version}") as first, producer(broker, f"init-{version}") as next_:
        assert first.init(version) == "none"
        assert next_.init(version) == "none"
        assert (next_.producer_id, next_.epoch) == (first.producer_id, first.epoch + 1)
        assert first.add("t", 0, version=2) == ["producer_fenced"]
        assert first.add("t", 0, version=1) == ["invalid_producer_epoch"]
        assert first.end(commit=True, version=1) == "invalid_producer_epoch"
        assert first.end(commit=True) == "producer_fenced"


def test_init_refuses_an_empty_id_and_a_long_timeout(broker: barnabas.Broker) -> None:
    with producer(broker, "x") as transactions:
        assert transactions.init(transactional_id="") == "invalid_request"
        assert transactions.init(transaction_timeout=900_001) == "invalid_transaction_timeout"


def test_how_long_a_timeout_may_be_is_a_setting() -> None:
    settings = {**CONFIG, "transaction.max.timeout.ms": 5000}
    with barnabas.Broker(config=settings) as broker, producer(broker, "x") as transactions:
        assert transactions.init(transaction_timeout=5001) == "invalid_transaction_timeout"
        assert transactions.init(transaction_timeout=5000) == "none"


@pytest.mark.parametrize("version", versions("AddPartitionsToTxn"))
def test_partitions_are_added_and_verified(broker: barnabas.Broker, version: int) -> None:
    with producer(broker, f"add-{version}") as transactions:
        assert transactions.init() == "none"
        assert transactions.add("t", 0, 1, version=version) == ["none", "none"]
        assert transactions.add("t", 1, 2, verify=True) == ["none", "transaction_abortable"]
        refused = ["operation_not_attempted", "unknown_topic_or_partition"]
        assert transactions.add("t", 2, 9, version=version) == refused
        described = transactions.describe()
        assert described.transaction_state == "Ongoing"
        assert [(item.topic, item.partitions) for item in described.topics] == [("t", (0, 1))]
        assert transactions.end(commit=False) == "none"


def test_clients_may_not_add_internal_topics(broker: barnabas.Broker) -> None:
    with producer(broker, "internal") as transactions:
        assert transactions.init() == "none"
        refused = ["topic_authorization_failed"]
        assert transactions.add("__transaction_state", 0, version=3) == refused


@pytest.mark.parametrize("version", versions("EndTxn"))
@pytest.mark.parametrize("commit", [True, False])
def test_end_is_marked_in_each_partition(
    broker: barnabas.Broker, version: int, commit: bool
) -> None:
    with producer(broker, f"end-{version}-{commit}") as transactions:
        assert transactions.init() == "none"
        assert transactions.add("t", 0, 2, version=3 if version < 5 else 5) == ["none", "none"]
        epoch = transactions.epoch
        assert transactions.end(commit=commit, version=version) == "none"
        client, producer_id = transactions.client, transactions.producer_id
        state = "CompleteCommit" if commit else "CompleteAbort"
        until(lambda: transactions.describe().transaction_state == state)
        assert open_since(client, "t", 0)[producer_id] == -1
        assert open_since(client, "t", 2)[producer_id] == -1
        assert producer_id not in open_since(client, "t", 1)
        assert transactions.epoch == (epoch + 1 if version >= 5 else epoch)


@pytest.mark.parametrize("version", versions("TxnOffsetCommit"))
@pytest.mark.parametrize("commit", [True, False])
def test_offsets_count_once_the_transaction_is_committed(
    broker: barnabas.Broker, version: int, commit: bool
) -> None:
    group = f"offsets-{version}-{commit}"
    with producer(broker, group) as transactions:
        client = transactions.client
        client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=[group])
        assert transactions.init() == "none"
        if version < 5:
            expected = "transaction_abortable" if version == 4 else "invalid_txn_state"
            assert transactions.add("t", 0, version=3) == ["none"]
            assert transactions.commit_offset(group, "t", 7, version) == expected
            added = client.ask(
                "AddOffsetsToTxn",
                version if version < 4 else 4,
                transactional_id=group,
                producer_id=transactions.producer_id,
                producer_epoch=transactions.epoch,
                group_id=group,
            )
            assert added.error_code == 0
        assert transactions.commit_offset(group, "t", 7, version) == "none"
        assert committed(client, group) == ("unstable_offset_commit", -1)
        assert transactions.end(commit=commit) == "none"
        expected_offset = ("none", 7 if commit else -1)
        until(lambda: committed(client, group) == expected_offset)


def test_later_commit_is_not_undone_by_a_transaction_that_ends_after_it(
    broker: barnabas.Broker,
) -> None:
    with producer(broker, "late") as transactions:
        client = transactions.client
        client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=["late"])
        assert transactions.init() == "none"
        assert transactions.commit_offset("late", "t", 7) == "none"
        item = {"partition_index": 0, "committed_offset": 9, "committed_leader_epoch": -1}
        plain = client.ask(
            "OffsetCommit",
            9,
            group_id="late",
            generation_id_or_member_epoch=-1,
            topics=[{"name": "t", "partitions": [item]}],
        )
        assert plain.topics[0].partitions[0].error_code == 0
        assert transactions.end(commit=True) == "none"
        until(lambda: committed(client, "late") == ("none", 9))


def test_fenced_producer_and_stranger_commit_no_offsets(broker: barnabas.Broker) -> None:
    with producer(broker, "fenced") as old, producer(broker, "fenced") as new:
        old.client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=["fenced"])
        assert (old.init(), new.init()) == ("none", "none")
        assert old.commit_offset("fenced", "t", 7) == "invalid_producer_epoch"
        new.producer_id += 1_000_000
        assert new.commit_offset("fenced", "t", 7) == "invalid_producer_id_mapping"
        assert old.commit_offset("fenced", "nowhere", 7) == "unknown_topic_or_partition"


def test_offsets_of_a_group_without_a_name_are_not_committed(broker: barnabas.Broker) -> None:
    with producer(broker, "nameless") as transactions:
        transactions.client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=["nameless"])
        assert transactions.init() == "none"
        for version in versions("TxnOffsetCommit"):
            assert transactions.commit_offset("", "t", 7, version) == "invalid_group_id"
        assert transactions.commit_offset("", "nowhere", 7) == "unknown_topic_or_partition"


def test_member_of_an_older_generation_commits_no_offsets(broker: barnabas.Broker) -> None:
    with producer(broker, "gone") as transactions:
        transactions.client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=["gone"])
        assert transactions.init() == "none"
        error = transactions.commit_offset("gone", "t", 7, generation_id=3, member_id="m")
        assert error == "illegal_generation"


def test_abandoned_transaction_is_aborted_and_its_producer_fenced(broker: barnabas.Broker) -> None:
    with producer(broker, "abandoned") as transactions:
        assert transactions.init(transaction_timeout=200) == "none"
        assert transactions.add("t", 0) == ["none"]
        until(lambda: transactions.describe().transaction_state == "CompleteAbort")
        assert transactions.describe().producer_epoch == transactions.epoch + 1
        assert transactions.add("t", 0) == ["producer_fenced"]
        assert transactions.end(commit=True) == "invalid_txn_state"


def test_hanging_transaction_is_ended_by_hand(broker: barnabas.Broker) -> None:
    with producer(broker, "by-hand") as transactions:
        client = transactions.client
        client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=["by-hand"])
        assert transactions.init() == "none"
        assert transactions.commit_offset("by-hand", "t", 7) == "none"
        partition = next(
            partition
            for partition in range(4)
            if open_since(client, "__consumer_offsets", partition).get(transactions.producer_id, -1)
            >= 0
        )
        topics = [
            {"name": "__consumer_offsets", "partition_indexes": [partition]},
            {"name": "nowhere", "partition_indexes": [0]},
        ]
        for version in versions("WriteTxnMarkers"):
            marker = {
                "producer_id": transactions.producer_id,
                "producer_epoch": transactions.epoch,
                "transaction_result": False,
                "coordinator_epoch": 0,
                "topics": topics,
            }
            (answer,) = client.ask("WriteTxnMarkers", version, markers=[marker]).markers
            errors = [topic.partitions[0].error_code.name for topic in answer.topics]
            assert errors == ["none", "unknown_topic_or_partition"]
        assert committed(client, "by-hand") == ("none", -1)


def test_transactions_are_listed_by_what_is_asked_for(broker: barnabas.Broker) -> None:
    with producer(broker, "list-a1") as one, producer(broker, "list-b2") as two:
        assert (one.init(), two.init()) == ("none", "none")
        assert one.add("t", 0) == ["none"]
        time.sleep(0.02)

        def listed(version: int = 2, **filters: Any) -> set[str]:
            fields = {
                "state_filters": [],
                "producer_id_filters": [],
                "duration_filter": -1,
                "transactional_id_pattern": None,
                **filters,
            }
            answer = one.client.ask("ListTransactions", version, **fields)
            assert answer.error_code == 0
            return {
                item.transactional_id
                for item in answer.transaction_states
                if item.transactional_id.startswith("list-")
            }

        assert listed(0) == listed(1) == listed(2) == {"list-a1", "list-b2"}
        assert listed(state_filters=["Ongoing", "Odd"]) == {"list-a1"}
        assert listed(state_filters=["Odd"]) == set()
        assert listed(producer_id_filters=[two.producer_id]) == {"list-b2"}
        assert listed(duration_filter=10, state_filters=["Ongoing"]) == {"list-a1"}
        assert listed(duration_filter=60_000, state_filters=["Ongoing"]) == set()
        assert listed(transactional_id_pattern=r"list-[a-z]2") == {"list-b2"}
        assert listed(transactional_id_pattern="list") == set()
        odd = one.client.ask("ListTransactions", 0, state_filters=["Odd"])
        assert odd.unknown_state_filters == ("Odd",)
        for pattern in ("(", "(a+)+b", "(a|aa)*b", ".*.*.*.*b"):
            answer = one.client.ask(
                "ListTransactions", 2, duration_filter=-1, transactional_id_pattern=pattern
            )
            assert answer.error_code.name == "invalid_regular_expression"
        assert one.end(commit=True) == "none"


def test_unknown_transactions_and_partitions_are_described_as_such(broker: barnabas.Broker) -> None:
    with producer(broker, "unknown") as transactions:
        assert transactions.describe().error_code.name == "transactional_id_not_found"
        client = transactions.client
        states = client.ask("DescribeTransactions", 0, transactional_ids=[""]).transaction_states
        assert states[0].error_code.name == "invalid_request"
        names = ["nowhere", "not a name", "t"]
        topics = [{"name": name, "partition_indexes": [7]} for name in names]
        answers = client.ask("DescribeProducers", 0, topics=topics).topics
        errors = [topic.partitions[0].error_code.name for topic in answers]
        unknown = "unknown_topic_or_partition"
        assert errors == [unknown, "invalid_topic_exception", unknown]


def test_transaction_with_a_deleted_topic_ends(broker: barnabas.Broker) -> None:
    broker.create_topic("doomed")
    with producer(broker, "doomed") as transactions:
        assert transactions.init() == "none"
        assert transactions.add("doomed", 0) == ["none"]
        assert transactions.add("t", 0) == ["none"]
        transactions.client.ask("DeleteTopics", 5, topic_names=["doomed"], timeout=1000)
        assert transactions.end(commit=True) == "none"
        until(lambda: transactions.describe().transaction_state == "CompleteCommit")


def test_open_transaction_and_its_offsets_survive_a_restart(tmp_path: Path) -> None:
    group = "survivor"
    with barnabas.Broker(tmp_path / "data", config=CONFIG) as broker:
        broker.create_topic("t", partitions=3)
        with producer(broker, group) as transactions:
            transactions.client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=[group])
            assert transactions.init() == "none"
            assert transactions.add("t", 0) == ["none"]
            assert transactions.commit_offset(group, "t", 7) == "none"
            known = (transactions.producer_id, transactions.epoch)
    with (
        barnabas.Broker(tmp_path / "data", config=CONFIG) as broker,
        WireClient(broker.bootstrap_servers) as client,
    ):
        transactions = Transactions(client, group)
        transactions.producer_id, transactions.epoch = known
        until(lambda: transactions.describe().transaction_state == "Ongoing")
        until(lambda: committed(client, group) == ("unstable_offset_commit", -1))
        assert transactions.end(commit=True) == "none"
        until(lambda: committed(client, group) == ("none", 7))
    with (
        barnabas.Broker(tmp_path / "data", config=CONFIG) as broker,
        WireClient(broker.bootstrap_servers) as client,
    ):
        until(lambda: committed(client, group) == ("none", 7))


def test_restart_after_the_decision_writes_the_markers(tmp_path: Path) -> None:
    """As if the broker had died right after the record of its decision."""
    name, data = "decided", tmp_path / "data"
    with barnabas.Broker(data, config=CONFIG) as broker:
        broker.create_topic("t", partitions=3)
        with producer(broker, name) as transactions:
            transactions.client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=[name])
            assert transactions.init() == "none"
            assert transactions.commit_offset(name, "t", 7) == "none"
            producer_id, epoch = transactions.producer_id, transactions.epoch
            (offsets_topic,) = transactions.describe().topics
    offsets_partition = offsets_topic.partitions[0]
    decision = TransactionValue(
        producer_id=producer_id,
        producer_epoch=epoch + 1,
        timeout_ms=60_000,
        state=TransactionState.PREPARE_COMMIT,
        partitions=frozenset(
            {
                TopicPartition("__consumer_offsets", offsets_partition),
                TopicPartition("t", 2),
                TopicPartition("deleted-meanwhile", 0),
            }
        ),
        start_timestamp_ms=1,
        last_update_timestamp_ms=2,
        client_transaction_version=EPOCH_BUMP,
    )
    log = barnabas.Log(data / f"__transaction_state-{partition_for(name, 4)}")
    log.append([encode(TransactionRecord(name, decision))])
    log.close()
    with (
        barnabas.Broker(data, config=CONFIG) as broker,
        WireClient(broker.bootstrap_servers) as client,
    ):
        transactions = Transactions(client, name)
        until(lambda: transactions.describe().transaction_state == "CompleteCommit")
        until(lambda: committed(client, name) == ("none", 7))
        assert open_since(client, "t", 2) == {producer_id: -1}
