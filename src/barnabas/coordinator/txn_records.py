"""Records of `__transaction_state`: values of the state machine to and from Kafka's bytes.

    key:    version int16 (0), transactional id
    value:  version int16, then the value's fields; no value at all is a tombstone

Written as Kafka 4.3 writes them at `transaction.version` 2: TransactionLogValue 1. Read in all
versions.
"""

import struct
from collections import defaultdict
from typing import Any

from kio.serial.errors import SerialError

from barnabas.coordinator.errors import RecordError
from barnabas.protocol.encoder import entity_encoder
from barnabas.protocol.internal import transaction_log as tl
from barnabas.protocol.internal.reader import RecordReader, record_reader
from barnabas.state.effects import NO_PRODUCER_ID
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.records import (
    CLASSIC,
    TransactionRecord,
    TransactionState,
    TransactionValue,
)

_VERSION = struct.Struct(">h")
_KEY_VERSION = tl.TransactionLogKey.__version__
_VALUE_VERSION = tl.TransactionLogValueV1.__version__
_STATES = tuple(TransactionState)
_STATUSES = {state: number for number, state in enumerate(_STATES)}

_read_key = record_reader(tl.TransactionLogKey)
_encode_key = entity_encoder(tl.TransactionLogKey)
_encode_value = entity_encoder(tl.TransactionLogValueV1)
_VALUE_READERS: dict[int, RecordReader] = {
    0: record_reader(tl.TransactionLogValueV0),
    1: record_reader(tl.TransactionLogValueV1),
}


def encode(record: TransactionRecord) -> tuple[bytes, bytes | None]:
    """The key and value of a record; value None for a tombstone."""
    key = bytearray(_VERSION.pack(_KEY_VERSION))
    _encode_key(key, {"transactional_id": record.transactional_id})
    if record.value is None:
        return bytes(key), None
    value = bytearray(_VERSION.pack(_VALUE_VERSION))
    _encode_value(value, _fields(record.value))
    return bytes(key), bytes(value)


def decode(key: bytes | None, value: bytes | None) -> TransactionRecord | None:
    """The record of a key and value; None for a type that we do not know, to be passed over.

    Raises RecordError when the bytes do not fit their version.
    """
    if key is None:
        raise RecordError("a record without a key")
    try:
        (key_version,) = _VERSION.unpack_from(key)
        if key_version != _KEY_VERSION:
            return None
        transactional_id = _read_key(key)[0].transactional_id
        return TransactionRecord(transactional_id, None if value is None else _decode_value(value))
    except (struct.error, SerialError, ValueError) as error:
        raise RecordError(str(error)) from error


def _fields(value: TransactionValue) -> dict[str, Any]:
    by_topic: dict[str, list[int]] = defaultdict(list)
    for topic, partition in sorted(value.partitions):
        by_topic[topic].append(partition)
    is_empty = value.state is TransactionState.EMPTY
    return {
        "producer_id": value.producer_id,
        "previous_producer_id": value.previous_producer_id,
        "next_producer_id": value.next_producer_id,
        "producer_epoch": value.producer_epoch,
        "transaction_timeout_ms": value.timeout_ms,
        "transaction_status": _STATUSES[value.state],
        "transaction_partitions": None
        if is_empty
        else [
            {"topic": topic, "partition_ids": partitions} for topic, partitions in by_topic.items()
        ],
        "transaction_last_update_timestamp_ms": value.last_update_timestamp_ms,
        "transaction_start_timestamp_ms": value.start_timestamp_ms,
        "client_transaction_version": value.client_transaction_version,
    }


def _decode_value(data: bytes) -> TransactionValue:
    (version,) = _VERSION.unpack_from(data)
    if version not in _VALUE_READERS:
        raise RecordError(f"TransactionLogValue version {version}")
    value, _ = _VALUE_READERS[version](data)
    if not 0 <= value.transaction_status < len(_STATES):
        raise RecordError(f"transaction status {value.transaction_status}")
    return TransactionValue(
        producer_id=value.producer_id,
        producer_epoch=value.producer_epoch,
        previous_producer_id=getattr(value, "previous_producer_id", NO_PRODUCER_ID),
        next_producer_id=getattr(value, "next_producer_id", NO_PRODUCER_ID),
        timeout_ms=value.transaction_timeout_ms,
        state=_STATES[value.transaction_status],
        partitions=frozenset(
            TopicPartition(item.topic, partition)
            for item in value.transaction_partitions or ()
            for partition in item.partition_ids
        ),
        start_timestamp_ms=value.transaction_start_timestamp_ms,
        last_update_timestamp_ms=value.transaction_last_update_timestamp_ms,
        client_transaction_version=getattr(value, "client_transaction_version", CLASSIC),
    )
