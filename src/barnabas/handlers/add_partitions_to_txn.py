"""AddPartitionsToTxn (API key 24), versions 0-5: partitions that a transaction writes to (KIP-98).

Versions 0 to 3 are of clients, for one transaction. From 4 on (KIP-890) brokers ask on behalf of
producers, for several: whether partitions are in a transaction (`verify_only`), or to add them;
from 5 on they do so for clients of transactions v2, which do not add partitions themselves. Our own
data plane asks in version 5. All partitions of a transaction are added, or none is.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call, Response
from barnabas.handlers.fencing import told_to_producer
from barnabas.metadata.catalog import is_internal
from barnabas.state.effects import Producer
from barnabas.state.txn.records import CLASSIC, EPOCH_BUMP, TopicPartition
from barnabas.state.txn.requests import AddRequest

BATCHED_FROM_VERSION = 4
EPOCH_BUMP_FROM_VERSION = 5
FENCED_FROM_VERSION = 2

_Errors = Mapping[TopicPartition, ErrorCode]


def handle(call: Call) -> Response:
    """Passes each transaction on, and answers when all are done."""
    request = call.request
    if call.version >= BATCHED_FROM_VERSION:
        transactions = request.transactions
        results = [_ask(call, transaction, transaction) for transaction in transactions]
        if all(isinstance(result, dict) for result in results):
            return _encode_batch(call, results)
        return _answer_batch(call, results)
    return _answer_single(call)


def _ask(call: Call, transaction: Any, fields: Any) -> "_Errors | asyncio.Future[_Errors]":
    """The errors of a transaction's partitions, at once or later."""
    partitions = _partitions(fields.topics)
    refused = _refused(call, partitions)
    if refused:
        return refused
    add = AddRequest(
        transactional_id=transaction.transactional_id,
        producer=Producer(transaction.producer_id, transaction.producer_epoch),
        partitions=partitions,
        client_transaction_version=(
            EPOCH_BUMP if call.version >= EPOCH_BUMP_FROM_VERSION else CLASSIC
        ),
    )
    transactions = call.services.transactions
    if transaction.verify_only:
        return dict(transactions.verify_partitions(add))
    future: asyncio.Future[_Errors] = asyncio.get_running_loop().create_future()

    def reply(error: ErrorCode) -> None:
        if not future.done():
            future.set_result(dict.fromkeys(partitions, error))

    transactions.add_partitions(add, reply)
    return future


async def _answer_batch(call: Call, results: "list[_Errors | asyncio.Future[_Errors]]") -> bytes:
    done = [await result if asyncio.isfuture(result) else result for result in results]
    return _encode_batch(call, done)


def _encode_batch(call: Call, results: Iterable[Any]) -> bytes:
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


async def _answer_single(call: Call) -> bytes:
    request = call.request
    partitions = _partitions(request.v3_and_below_topics)
    errors: _Errors | None = _refused(call, partitions)
    if not errors:
        add = AddRequest(
            transactional_id=request.v3_and_below_transactional_id,
            producer=Producer(
                request.v3_and_below_producer_id, request.v3_and_below_producer_epoch
            ),
            partitions=partitions,
            client_transaction_version=CLASSIC,
        )
        future: asyncio.Future[ErrorCode] = asyncio.get_running_loop().create_future()
        call.services.transactions.add_partitions(add, future.set_result)
        error = told_to_producer(
            await future, call.version, fenced_from_version=FENCED_FROM_VERSION
        )
        errors = dict.fromkeys(partitions, error)
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
    errors = dict.fromkeys(_partitions(call.request.v3_and_below_topics), error)
    return call.response(results_by_topic_v3_and_below=_topic_results(errors))
