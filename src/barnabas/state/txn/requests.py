"""What clients ask of the transaction coordinator, and its answers, as values."""

from typing import NamedTuple

from kio.schema.errors import ErrorCode

from barnabas.state.effects import NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Producer
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.records import TransactionState, TransactionValue

NO_PRODUCER = Producer(NO_PRODUCER_ID, NO_PRODUCER_EPOCH)


class InitRequest(NamedTuple):
    """InitProducerIdRequest with a transactional id."""

    transactional_id: str
    timeout_ms: int
    producer: Producer | None = None  # what the client had before an error (KIP-360)


class AddRequest(NamedTuple):
    """One transaction of an AddPartitionsToTxnRequest, or an AddOffsetsToTxnRequest."""

    transactional_id: str
    producer: Producer
    partitions: frozenset[TopicPartition]
    client_transaction_version: int


class EndRequest(NamedTuple):
    """EndTxnRequest."""

    transactional_id: str
    producer: Producer
    is_commit: bool
    client_transaction_version: int


class ProducerResponse(NamedTuple):
    """The answer to InitProducerId and EndTxn: the producer to go on as."""

    error: ErrorCode = ErrorCode.none
    producer: Producer = NO_PRODUCER


class ListedTransaction(NamedTuple):
    """A transactional id in ListTransactions."""

    transactional_id: str
    producer_id: int
    state: TransactionState


class DescribedTransaction(NamedTuple):
    """A transactional id in DescribeTransactions."""

    transactional_id: str
    value: TransactionValue


class ListFilter(NamedTuple):
    """What ListTransactions asks for; what is empty or negative does not restrict."""

    producer_ids: frozenset[int] = frozenset()
    states: frozenset[str] = frozenset()
    longer_than_ms: int = -1
