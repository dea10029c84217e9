"""How `consume` writes a record: value, key and value, or a line of JSON."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from barnabas.cli.record_json import bytes_field, headers_field, json_encoder

if TYPE_CHECKING:
    from confluent_kafka import Message

Formatter = Callable[["Message"], bytes]


def formatter(name: str, key_separator: bytes, delimiter: bytes, null: bytes) -> Formatter:
    """The function that makes the bytes to write of a message."""

    def value(message: "Message") -> bytes:
        data = message.value()
        return (null if data is None else data) + delimiter

    def key_value(message: "Message") -> bytes:
        key = message.key()
        return (null if key is None else key) + key_separator + value(message)

    formats: dict[str, Formatter] = {
        "value": value,
        "key-value": key_value,
        "json": _json_formatter(delimiter),
    }
    return formats[name]


def _json_formatter(delimiter: bytes) -> Formatter:
    from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE

    encode = json_encoder()

    def as_json(message: "Message") -> bytes:
        timestamp_type, timestamp_ms = message.timestamp()
        fields: dict[str, object] = {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "timestamp": None if timestamp_type == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        }
        if timestamp_type == TIMESTAMP_LOG_APPEND_TIME:
            fields["timestamp_type"] = "log_append_time"
        fields.update((bytes_field("key", message.key()), bytes_field("value", message.value())))
        fields["headers"] = headers_field(
            cast("list[tuple[str, bytes | None]]", message.headers() or [])
        )
        return encode(fields).encode() + delimiter

    return as_json
