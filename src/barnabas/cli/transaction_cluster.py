"""What `barnabas transaction` asks the brokers of a cluster."""

import argparse
import importlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from barnabas.cli.cluster import error_text
from barnabas.cli.failure import CommandError
from barnabas.cli.wire import Address, Connection, connect_any

Partition = tuple[str, int]

TRANSACTION_KEY_TYPE = 1
_PATTERN_FROM_VERSION = 2
_DURATION_FROM_VERSION = 1


@dataclass(frozen=True)
class Listed:
    """A transactional id as its coordinator lists it."""

    transactional_id: str
    coordinator: int
    producer_id: int
    state: str


@dataclass(frozen=True)
class Filters:
    """What to list; the names are Kafka's."""

    states: tuple[str, ...] = ()
    producer_ids: tuple[int, ...] = ()
    longer_than_ms: int = -1
    pattern: str | None = None


@dataclass(frozen=True)
class OpenTransaction:
    """A producer that has a transaction open in a partition."""

    topic: str
    partition: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int
    start_offset: int
    last_timestamp_ms: int


@dataclass
class Cluster:
    """The brokers, by id, with connections as they are needed. A context manager."""

    args: argparse.Namespace
    brokers: dict[int, Address] = field(default_factory=dict)
    leaders: dict[Partition, int] = field(default_factory=dict)
    _connections: dict[int, Connection] = field(default_factory=dict)

    def __enter__(self) -> Self:
        with connect_any(self.args) as connection:
            values = {
                "topics": None,  # all
                "allow_auto_topic_creation": False,
                "include_cluster_authorized_operations": False,
                "include_topic_authorized_operations": False,
            }
            metadata = connection.ask("Metadata", 9, values)
        self.brokers = {item.node_id: (item.host, item.port) for item in metadata.brokers}
        self.leaders = {
            (topic.name, item.partition_index): item.leader_id
            for topic in metadata.topics
            for item in topic.partitions
        }
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.__exit__(None, None, None)

    def broker(self, node_id: int) -> Connection:
        """The connection to a broker."""
        if node_id not in self.brokers:
            raise CommandError(f"broker {node_id} is not there")
        if node_id not in self._connections:
            address = self.brokers[node_id]
            try:
                connection = Connection(address, self.args.connect_timeout)
            except OSError as error:
                reason = error.strerror or str(error)
                raise CommandError(f"broker {node_id}: {reason}") from None
            self._connections[node_id] = connection
        return self._connections[node_id]

    def leader(self, partition: Partition) -> Connection:
        """The connection to a partition's leader."""
        if partition not in self.leaders:
            raise CommandError(f"there is no topic {partition[0]} with a partition {partition[1]}")
        return self.broker(self.leaders[partition])

    def listed(self, filters: Filters) -> list[Listed]:
        """The transactional ids of all coordinators, sorted."""
        found = []
        for node_id in self.brokers:
            connection = self.broker(node_id)
            version = connection.newest("ListTransactions")
            values: dict[str, Any] = {
                "state_filters": filters.states,
                "producer_id_filters": filters.producer_ids,
            }
            if version >= _DURATION_FROM_VERSION:
                values["duration_filter"] = filters.longer_than_ms
            elif filters.longer_than_ms >= 0:
                raise CommandError(f"broker {node_id} is too old for --longer-than")
            if version >= _PATTERN_FROM_VERSION:
                values["transactional_id_pattern"] = filters.pattern
            elif filters.pattern is not None:
                raise CommandError(f"broker {node_id} is too old for --pattern")
            answer = connection.ask("ListTransactions", version, values)
            _check(answer.error_code, f"broker {node_id}")
            found += [
                Listed(item.transactional_id, node_id, item.producer_id, item.transaction_state)
                for item in answer.transaction_states
            ]
        return sorted(found, key=lambda item: item.transactional_id)

    def describe(self, transactional_ids: Iterable[str]) -> dict[str, tuple[int, Any] | None]:
        """By id: its coordinator and kio's TransactionState; None for one that is not known."""
        described: dict[str, tuple[int, Any] | None] = {}
        for transactional_id in transactional_ids:
            node_id = self._coordinator(transactional_id)
            answer = self.broker(node_id).ask(
                "DescribeTransactions", 0, {"transactional_ids": (transactional_id,)}
            )
            (state,) = answer.transaction_states
            if state.error_code.name == "transactional_id_not_found":
                described[transactional_id] = None
                continue
            _check(state.error_code, f"transaction {transactional_id}")
            described[transactional_id] = (node_id, state)
        return described

    def _coordinator(self, transactional_id: str) -> int:
        with connect_any(self.args) as connection:
            found = connection.ask(
                "FindCoordinator", 1, {"key": transactional_id, "key_type": TRANSACTION_KEY_TYPE}
            )
        _check(found.error_code, f"coordinator of {transactional_id}")
        return int(found.node_id)

    def open_transactions(self, partitions: Iterable[Partition]) -> list[OpenTransaction]:
        """Who has a transaction open in the partitions."""
        by_leader: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for partition in partitions:
            self.leader(partition)
            by_leader[self.leaders[partition]][partition[0]].append(partition[1])
        found: list[OpenTransaction] = []
        module = importlib.import_module("kio.schema.describe_producers.v0.request")
        for node_id, topics in by_leader.items():
            wanted = tuple(
                module.TopicRequest(name=topic, partition_indexes=tuple(numbers))
                for topic, numbers in topics.items()
            )
            answer = self.broker(node_id).ask("DescribeProducers", 0, {"topics": wanted})
            for topic in answer.topics:
                for item in topic.partitions:
                    _check(item.error_code, f"{topic.name}, partition {item.partition_index}")
                    found += [
                        OpenTransaction(
                            topic.name,
                            item.partition_index,
                            producer.producer_id,
                            producer.producer_epoch,
                            producer.coordinator_epoch,
                            producer.current_txn_start_offset,
                            producer.last_timestamp,
                        )
                        for producer in item.active_producers
                        if producer.current_txn_start_offset >= 0
                    ]
        return found

    def abort(self, transaction: OpenTransaction) -> None:
        """Writes the marker that aborts it in its partition. Raises CommandError."""
        module = importlib.import_module("kio.schema.write_txn_markers.v1.request")
        marker = module.WritableTxnMarker(
            producer_id=transaction.producer_id,
            producer_epoch=transaction.producer_epoch,
            transaction_result=False,
            topics=(
                module.WritableTxnMarkerTopic(
                    name=transaction.topic, partition_indexes=(transaction.partition,)
                ),
            ),
            # A partition without a marker so far knows no coordinator.
            coordinator_epoch=max(transaction.coordinator_epoch, 0),
        )
        connection = self.leader((transaction.topic, transaction.partition))
        answer = connection.ask("WriteTxnMarkers", 1, {"markers": (marker,)})
        error = answer.markers[0].topics[0].partitions[0].error_code
        _check(error, f"{transaction.topic}, partition {transaction.partition}")


def _check(error: Any, what: str) -> None:
    from confluent_kafka import KafkaError

    if error.value:
        raise CommandError(f"{what}: {error_text(KafkaError(error.value))}")
