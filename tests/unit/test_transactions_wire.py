"""Transactional Produce and read_committed Fetch over a socket; the test is the coordinator."""

import select
import struct
import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from kio.schema.add_partitions_to_txn.v5.request import AddPartitionsToTxnRequest
from kio.schema.add_partitions_to_txn.v5.response import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
)
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer
from kio.static.primitive import i32Timedelta

from barnabas._core import ControlRequest, Core, crc32c
from barnabas._records import encode_batch
from unit.core_appends import append_marker, append_records, create_partitions
from unit.wire import WireClient

TOPIC_ID = uuid.UUID(int=7)
PRODUCER = 77
TRANSACTIONAL_BIT = 0x10
READ_COMMITTED = 1
CRC, ATTRIBUTES, PRODUCER_ID = 17, 21, 43


class Coordinator:
    """Takes what the core asks, and answers it as the test says."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.error = ErrorCode.none
        self.asked: list[Any] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not select.select([self._core.control_fd()], [], [], 0.02)[0]:
                continue
            for request in self._core.take_requests(10):
                self._core.respond_many([(request.token, self._answer(request))])

    def _answer(self, request: ControlRequest) -> bytes:
        assert (request.api_key, request.api_version) == (24, 5)
        assert (request.client_id, request.peer_host) == (None, "")
        assert request.body[0] == 0  # the header has no tagged fields
        asked, size = entity_reader(AddPartitionsToTxnRequest)(request.body, 1)
        assert 1 + size == len(request.body)
        (transaction,) = asked.transactions
        self.asked.append(transaction)
        topics = tuple(
            AddPartitionsToTxnTopicResult(
                name=topic.name,
                results_by_partition=tuple(
                    AddPartitionsToTxnPartitionResult(
                        partition_index=index, partition_error_code=self.error
                    )
                    for index in topic.partitions
                ),
            )
            for topic in transaction.topics
        )
        response = AddPartitionsToTxnResponse(
            throttle_time=i32Timedelta.parse(timedelta()),
            error_code=ErrorCode.none,
            results_by_transaction=(
                AddPartitionsToTxnResult(
                    transactional_id=transaction.transactional_id, topic_results=topics
                ),
            ),
        )
        out = BytesIO()
        out.write(struct.pack(">ix", request.correlation_id))
        entity_writer(AddPartitionsToTxnResponse)(out, response)
        return out.getvalue()


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    core = Core({})
    core.open_directories([str(tmp_path / "data")], "cluster", 1)
    # Records are of long ago and markers of now: nothing is to roll because of that.
    create_partitions(core, "t", TOPIC_ID.bytes, [(0, 0), (1, 0)], {"segment.ms": 1 << 62})
    yield core
    core.stop(0)


@pytest.fixture
def client(core: Core) -> Iterator[WireClient]:
    port = core.listen("127.0.0.1", 0)
    core.start()
    with WireClient(f"127.0.0.1:{port}") as client:
        yield client


@pytest.fixture
def coordinator(core: Core, client: WireClient) -> Iterator[Coordinator]:
    coordinator = Coordinator(core)
    yield coordinator
    coordinator.stop()


def transactional_batch(sequence: int) -> bytes:
    batch = bytearray(encode_batch([(None, b"value")]))
    struct.pack_into(">h", batch, ATTRIBUTES, TRANSACTIONAL_BIT)
    struct.pack_into(">qhi", batch, PRODUCER_ID, PRODUCER, 0, sequence)
    struct.pack_into(">I", batch, CRC, crc32c(bytes(batch[ATTRIBUTES:])))
    return bytes(batch)


def produce(client: WireClient, version: int, sequence: int, partitions: int = 1) -> list[Any]:
    named: dict[str, Any] = {"topic_id": TOPIC_ID} if version >= 13 else {"name": "t"}
    named["partition_data"] = [
        {"index": index, "records": transactional_batch(sequence)} for index in range(partitions)
    ]
    response = client.ask(
        "Produce", version, transactional_id="tx", acks=-1, timeout=1000, topic_data=[named]
    )
    return list(response.responses[0].partition_responses)


def fetch(client: WireClient, version: int, isolation_level: int) -> Any:
    named: dict[str, Any] = {"topic_id": TOPIC_ID} if version >= 13 else {"topic": "t"}
    named["partitions"] = [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}]
    response = client.ask(
        "Fetch",
        version,
        max_bytes=1 << 20,
        isolation_level=isolation_level,
        session_epoch=-1,
        topics=[named],
    )
    return response.responses[0].partitions[0]


@pytest.mark.parametrize("version", [3, 9, 11, 12, 13])
def test_a_transaction_begins_once_the_coordinator_knows_it(
    client: WireClient, coordinator: Coordinator, core: Core, version: int
) -> None:
    for sequence in range(3):
        answers = produce(client, version, sequence, partitions=2)
        assert [answer.error_code for answer in answers] == [ErrorCode.none] * 2
        assert [answer.base_offset for answer in answers] == [sequence] * 2
    (asked,) = coordinator.asked
    assert (asked.transactional_id, asked.producer_id, asked.producer_epoch) == ("tx", PRODUCER, 0)
    assert asked.verify_only == (version < 12)
    assert [(topic.name, topic.partitions) for topic in asked.topics] == [("t", (0, 1))]
    assert core.partition_info("t", 1).last_stable_offset == 0


@pytest.mark.parametrize("version", [9, 13])
def test_the_coordinator_is_not_asked_for_what_it_has_added(
    client: WireClient, coordinator: Coordinator, core: Core, version: int
) -> None:
    core.mark_verified(PRODUCER, 0, "tx", [("t", 0), ("t", 9), ("none", 0)])
    for sequence in range(2):
        (answer,) = produce(client, version, sequence)
        assert answer.error_code == ErrorCode.none
    assert coordinator.asked == []
    answers = produce(client, version, 2, partitions=2)
    assert [answer.error_code for answer in answers] == [
        ErrorCode.none,
        ErrorCode.none if version < 12 else ErrorCode.out_of_order_sequence_number,
    ]
    (asked,) = coordinator.asked
    assert [(topic.name, topic.partitions) for topic in asked.topics] == [("t", (1,))]


@pytest.mark.parametrize("version", [9, 13])
def test_the_coordinator_is_asked_for_what_it_has_added_by_another_transactional_id(
    client: WireClient, coordinator: Coordinator, core: Core, version: int
) -> None:
    core.mark_verified(PRODUCER, 0, "another", [("t", 0)])
    coordinator.error = ErrorCode.invalid_producer_id_mapping
    (answer,) = produce(client, version, 0)
    assert answer.error_code == ErrorCode.invalid_producer_id_mapping
    assert [asked.transactional_id for asked in coordinator.asked] == ["tx"]


def test_a_marker_ends_what_the_coordinator_has_added(
    client: WireClient, coordinator: Coordinator, core: Core
) -> None:
    core.mark_verified(PRODUCER, 0, "tx", [("t", 0)])
    append_marker(core, ("t", 0), (PRODUCER, 0), False, 1)
    coordinator.error = ErrorCode.transaction_abortable
    (answer,) = produce(client, 9, 0)
    assert answer.error_code == ErrorCode.invalid_txn_state
    assert len(coordinator.asked) == 1
    core.mark_verified(PRODUCER, 1, "tx", [("t", 0)])  # of another epoch than the one that comes
    (answer,) = produce(client, 9, 0)
    assert answer.error_code == ErrorCode.invalid_txn_state
    assert len(coordinator.asked) == 2
    assert core.partition_info("t", 0).log_end_offset == 1


def test_what_the_coordinator_refuses_is_not_appended(
    client: WireClient, coordinator: Coordinator, core: Core
) -> None:
    coordinator.error = ErrorCode.producer_fenced
    (answer,) = produce(client, 12, 0)
    assert answer.error_code == ErrorCode.invalid_producer_epoch
    coordinator.error = ErrorCode.coordinator_load_in_progress
    (answer,) = produce(client, 12, 0)
    assert answer.error_code == ErrorCode.not_enough_replicas
    assert answer.error_message == (
        "Unable to verify the partition has been added to the transaction. "
        "Underlying error: COORDINATOR_LOAD_IN_PROGRESS"
    )
    assert core.partition_info("t", 0).log_end_offset == 0


@pytest.mark.parametrize("version", range(4, 19))
def test_read_committed_sees_what_is_decided_and_what_was_aborted(
    client: WireClient, coordinator: Coordinator, core: Core, version: int
) -> None:
    append_records(core, "t", 0, [(None, b"plain")])
    produce(client, 12, 0)
    append_marker(core, ("t", 0), (PRODUCER, 0), False, 1)
    produce(client, 12, 1)
    committed = fetch(client, version, READ_COMMITTED)
    assert (committed.high_watermark, committed.last_stable_offset) == (4, 3)
    (aborted,) = committed.aborted_transactions
    assert (aborted.producer_id, aborted.first_offset) == (PRODUCER, 1)
    uncommitted = fetch(client, version, 0)
    assert uncommitted.aborted_transactions is None
    assert bytes(uncommitted.records).startswith(bytes(committed.records))
    assert len(uncommitted.records) > len(committed.records)
