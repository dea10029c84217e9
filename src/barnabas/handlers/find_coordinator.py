"""FindCoordinator (API key 10), versions 0-6: the broker that looks after a group or transaction.

That is always this one. The coordinator's topic is created when somebody first asks. Version 1 has
key types, 4 several keys at once. There are no share groups here: their coordinators are refused
with INVALID_REQUEST and a message.
"""

import logging
from collections.abc import Sequence
from typing import Any

from kio.schema.errors import ErrorCode

from barnabas.coordinator.group_coordinator import GroupCoordinator
from barnabas.coordinator.txn_coordinator import TransactionCoordinator
from barnabas.errors import KafkaError
from barnabas.handlers.call import Call, Response

logger = logging.getLogger(__name__)

GROUP_KEY_TYPE = 0
TRANSACTION_KEY_TYPE = 1
SHARE_KEY_TYPE = 2
BATCHED_FROM_VERSION = 4
Coordinator = GroupCoordinator | TransactionCoordinator
_NO_NODE = {"node_id": -1, "host": "", "port": -1}


def handle(call: Call) -> Response:
    """Names this broker, once it is able to coordinate."""
    request = call.request
    keys = request.coordinator_keys if call.version >= BATCHED_FROM_VERSION else (request.key,)
    key_type = getattr(request, "key_type", GROUP_KEY_TYPE)
    if key_type == GROUP_KEY_TYPE:
        coordinator: Coordinator = call.services.groups
    elif key_type == TRANSACTION_KEY_TYPE:
        coordinator = call.services.transactions
    else:
        message = (
            "This broker does not support share groups."
            if key_type == SHARE_KEY_TYPE
            else f"Unknown coordinator key type {key_type}."
        )
        return _respond(call, keys, _refusal(ErrorCode.invalid_request, message))
    if coordinator.is_open:
        return _respond(call, keys, _this_broker(call))
    return _open_and_respond(call, coordinator, keys)


async def _open_and_respond(call: Call, coordinator: Coordinator, keys: Sequence[str]) -> bytes:
    try:
        await coordinator.ensure_topic()
    except KafkaError as error:
        logger.warning("cannot create the topic of a coordinator: %s", error)
        unavailable = ErrorCode.coordinator_not_available
        return _respond(call, keys, _refusal(unavailable, error.message))
    return _respond(call, keys, _this_broker(call))


def _this_broker(call: Call) -> dict[str, Any]:
    identity = call.services.identity
    return {
        "node_id": identity.node_id,
        "host": identity.host,
        "port": identity.port,
        "error_code": ErrorCode.none,
        # As Kafka: an empty message in a batch, none in a single answer.
        "error_message": "" if call.version >= BATCHED_FROM_VERSION else None,
    }


def _refusal(error: ErrorCode, message: str) -> dict[str, Any]:
    return {**_NO_NODE, "error_code": error, "error_message": message}


def _respond(call: Call, keys: Sequence[str], answer: dict[str, Any]) -> bytes:
    if call.version >= BATCHED_FROM_VERSION:
        return call.response(coordinators=[{"key": key, **answer} for key in keys])
    return call.response(**answer)


def error_response(call: Call, error: ErrorCode) -> bytes:
    """The answer when this handler fails."""
    request = call.request
    keys = request.coordinator_keys if call.version >= BATCHED_FROM_VERSION else (request.key,)
    return _respond(call, keys, _refusal(error, ""))
