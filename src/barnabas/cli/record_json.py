"""A record as one line of JSON, as `consume --format json` prints and `produce` reads it.

    {"topic": "t", "partition": 0, "offset": 7, "timestamp": 1700000000000,
     "key": "k", "value": "v", "headers": [{"key": "h", "value": "x"}]}

Bytes that are valid UTF-8 are a string under `key` or `value`, null is null, and all other bytes
are base64 under `key_base64` or `value_base64` instead; the same holds for a header's value. What
`produce` reads may leave everything out but the value (absent: null, a tombstone), may write
headers as an object, and may give any JSON as a value: what is no string is sent as JSON text.
`topic` and `offset` are ignored, and `partition` too unless `--keep-partitions` says otherwise,
so that what `consume` wrote can be produced elsewhere.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

Headers = list[tuple[str, bytes | None]]

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_FIELDS: Final = frozenset(
    (
        "topic",
        "partition",
        "offset",
        "timestamp",
        "timestamp_type",
        "key",
        "key_base64",
        "value",
        "value_base64",
        "headers",
    )
)


class RecordSyntaxError(ValueError):
    """A line that is no record; the message says why."""


@dataclass(slots=True)
class InputRecord:
    """What to produce. No timestamp_ms: now; no partition: by the key."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers | None = None
    timestamp_ms: int | None = None
    partition: int | None = None


def bytes_field(name: str, data: bytes | None) -> tuple[str, str | None]:
    """The name and the JSON value of a field that holds bytes."""
    if data is None:
        return name, None
    try:
        return name, data.decode()
    except UnicodeDecodeError:
        return f"{name}_base64", base64.b64encode(data).decode()


def headers_field(headers: Sequence[tuple[str, bytes | None]]) -> list[dict[str, str | None]]:
    """The JSON value of `headers`."""
    return [{"key": key, **dict((bytes_field("value", value),))} for key, value in headers]


def parse_record(line: bytes) -> InputRecord:
    """Reads one line; raises RecordSyntaxError."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordSyntaxError(f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise RecordSyntaxError('not a JSON object with "key", "value", …')
    unknown = fields.keys() - _FIELDS
    if unknown:
        raise RecordSyntaxError(f"unknown field {', '.join(sorted(map(repr, unknown)))}")
    return InputRecord(
        value=_bytes(fields, "value"),
        key=_bytes(fields, "key"),
        headers=_headers(fields.get("headers")),
        timestamp_ms=_integer(fields, "timestamp", _INT64_MAX),
        partition=_integer(fields, "partition", _INT32_MAX),
    )


def _bytes(fields: dict[str, Any], name: str) -> bytes | None:
    encoded_name = f"{name}_base64"
    if encoded_name in fields:
        if name in fields:
            raise RecordSyntaxError(f"{name!r} and {encoded_name!r} are both there")
        try:
            return base64.b64decode(fields[encoded_name], validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise RecordSyntaxError(f"{encoded_name!r} is not base64") from None
    value = fields.get(name)
    if value is None:
        return None
    return _encoded(
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), name
    )


def _encoded(text: str, name: str) -> bytes:
    """UTF-8, which has no half of a surrogate pair; JSON may hold one."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise RecordSyntaxError(f"{name!r} holds half a surrogate pair") from None


def _integer(fields: dict[str, Any], name: str, most: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise RecordSyntaxError(f"{name!r} is not a whole number from 0 to {most}")
    return value


def _headers(headers: object) -> Headers | None:
    if headers is None:
        return None
    if isinstance(headers, dict):
        return [(_header_key(key), _bytes(headers, key)) for key in headers]
    if not isinstance(headers, list):
        raise RecordSyntaxError('"headers" is neither an object nor a list')
    parsed: Headers = []
    for header in headers:
        if not isinstance(header, dict) or not isinstance(header.get("key"), str):
            raise RecordSyntaxError('a header is not {"key": …, "value": …}')
        parsed.append((_header_key(header["key"]), _bytes(header, "value")))
    return parsed


def _header_key(key: str) -> str:
    """A header's key that the client can take: what is no UTF-8 ends it, a NUL ends the key."""
    if b"\0" in _encoded(key, "headers"):
        raise RecordSyntaxError("a header's key holds a NUL, which the client cannot send")
    return key


def json_encoder() -> Callable[[object], str]:
    """json.dumps with our options, looked up once: it runs for every record."""
    return json.JSONEncoder(ensure_ascii=False).encode
