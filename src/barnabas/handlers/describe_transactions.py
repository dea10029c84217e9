"""DescribeTransactions (API key 65), version 0: transactional ids, their transactions (KIP-664)."""

from collections import defaultdict
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.handlers.call import Call


def handle(call: Call) -> bytes:
    """Answers at once."""
    ids = call.request.transactional_ids
    return call.response(transaction_states=[_describe(call, name) for name in ids])


def _describe(call: Call, transactional_id: str) -> dict[str, Any]:
    if not transactional_id:
        return _failure(transactional_id, ErrorCode.invalid_request)
    described, error = call.services.transactions.describe(transactional_id)
    if error is not ErrorCode.none:
        return _failure(transactional_id, error)
    if described is None:
        return _failure(transactional_id, ErrorCode.transactional_id_not_found)
    value = described.value
    by_topic: dict[str, list[int]] = defaultdict(list)
    for topic, partition in sorted(value.partitions):
        by_topic[topic].append(partition)
    return {
        "error_code": ErrorCode.none,
        "transactional_id": transactional_id,
        "transaction_state": value.state.value,
        "transaction_timeout": value.timeout_ms,
        "transaction_start_time": value.start_timestamp_ms,
        "producer_id": value.producer_id,
        "producer_epoch": value.producer_epoch,
        "topics": [
            {"topic": topic, "partitions": partitions} for topic, partitions in by_topic.items()
        ],
    }


def _failure(transactional_id: str, error: ErrorCode) -> dict[str, Any]:
    return {
        "error_code": error,
        "transactional_id": transactional_id,
        "transaction_state": "",
        "transaction_timeout": 0,
        "transaction_start_time": 0,
        "producer_id": 0,
        "producer_epoch": 0,
        "topics": [],
    }


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    ids = call.request.transactional_ids
    return call.response(transaction_states=[_failure(name, error) for name in ids])
