"""AddPartitionsToTxn (API key 24), versions 0-5: partitions that a transaction writes to (KIP-98).

Versions 0 to 3 are of clients, for one transaction. From 4 on (KIP-890) brokers ask on behalf of
producers, for several: whether partitions are in a transaction (`verify_only`), or to add them;
from 5 on they do so for clients of transactions v2, which do not add partitions themselves. Our own
data plane asks in version 5. All partitions of a transaction are added, or none is.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.fencing import told_to_producer
from barnabas.handlers.pending import PendingReply
from barnabas.metadata.catalog import is_internal
from barnabas.state.effects import Producer
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.records import CLASSIC, EPOCH_BUMP
from barnabas.state.txn.requests import AddRequest

BATCHED_FROM_VERSION = 4
EPOCH_BUMP_FROM_VERSION = 5
FENCED_FROM_VERSION = 2

_Errors = Mapping[TopicPartition, ErrorCode]


def handle(call: Call) -> Response:
    """Passes each transaction on, and answers when all are done."""
    return _batch(call) if call.version >= BATCHED_FROM_VERSION else _single(call)


def _batch(call: Call) -> Response:
    transactions = call.request.transactions
    results: list[_Errors] = [{}] * len(transactions)
    outstanding = set(range(len(transactions)))
    reply = PendingReply(partial(_encode_batch, call))

    def finish(number: int, errors: _Errors) -> None:
        results[number] = errors
        outstanding.discard(number)
        if not outstanding:
            reply(results)

    for number, transaction in enumerate(transactions):
        _ask(call, transaction, partial(finish, number))
    if not transactions:
        reply(results)
    return reply


def _ask(call: Call, transaction: Any, finish: Callable[[_Errors], None]) -> None:
    """`finish` gets the errors of the transaction's partitions, at once or later."""
    partitions = _partitions(transaction.topics)
    refused = _refused(call, partitions)
    if refused:
        finish(refused)
        return
    add = AddRequest(
        transactional_id=transaction.transactional_id,
        producer=Producer(transaction.producer_id, transaction.producer_epoch),
        partitions=partitions,
        client_transaction_version=(
            EPOCH_BUMP if call.version >= EPOCH_BUMP_FROM_VERSION else CLASSIC
        ),
    )
    if transaction.verify_only:
        finish(call.services.transactions.verify_partitions(add))
        return
    call.services.transactions.add_partitions(
        add, lambda error: finish(dict.fromkeys(partitions, error))
    )


def _encode_batch(call: Call, results: list[_Errors]) -> bytes:
    return call.response(
        error_code=ErrorCode.none,
        results_by_transaction=[
            {
                "transactional_id": transaction.transactional_id,
                "topic_results": _topic_results(errors),
            }
            for transaction, errors in zip(call.request.transactions, results, strict=True)
        ],
    )


def _single(call: Call) -> Response:
    request = call.request
    partitions = _partitions(request.v3_and_below_topics)
    refused = _refused(call, partitions)
    if refused:
        return _encode_single(call, refused)
    add = AddRequest(
        transactional_id=request.v3_and_below_transactional_id,
        producer=Producer(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch),
        partitions=partitions,
        client_transaction_version=CLASSIC,
    )
    reply = PendingReply(partial(_encode_verdict, call, partitions))
    call.services.transactions.add_partitions(add, reply)
    return reply


def _encode_verdict(call: Call, partitions: frozenset[TopicPartition], error: ErrorCode) -> bytes:
    told = told_to_producer(error, call.version, fenced_from_version=FENCED_FROM_VERSION)
    return _encode_single(call, dict.fromkeys(partitions, told))


def _encode_single(call: Call, errors: _Errors) -> bytes:
    return call.response(results_by_topic_v3_and_below=_topic_results(errors))


def _partitions(topics: Iterable[Any]) -> frozenset[TopicPartition]:
    return frozenset(
        TopicPartition(topic.name, partition) for topic in topics for partition in topic.partitions
    )


def _refused(call: Call, partitions: frozenset[TopicPartition]) -> dict[TopicPartition, ErrorCode]:
    """Empty if nothing speaks against the partitions, else the errors of all of them."""
    wrong: dict[TopicPartition, ErrorCode] = {}
    for key in partitions:
        topic = call.services.catalog.topic(key.topic)
        if call.version < BATCHED_FROM_VERSION and is_internal(key.topic):
            wrong[key] = ErrorCode.topic_authorization_failed
        elif topic is None or not 0 <= key.partition < len(topic.partitions):
            wrong[key] = ErrorCode.unknown_topic_or_partition
    if not wrong:
        return wrong
    return dict.fromkeys(partitions, ErrorCode.operation_not_attempted) | wrong


def _topic_results(errors: _Errors) -> list[dict[str, Any]]:
    by_topic: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (topic, partition), error in sorted(errors.items()):
        by_topic[topic].append({"partition_index": partition, "partition_error_code": error})
    return [{"name": topic, "results_by_partition": results} for topic, results in by_topic.items()]


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    if call.version >= BATCHED_FROM_VERSION:
        return call.response(error_code=error, results_by_transaction=[])
    return _encode_single(call, dict.fromkeys(_partitions(call.request.v3_and_below_topics), error))
