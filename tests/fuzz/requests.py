"""Well-formed requests of every API and version, made up from kio's schemas.

They are where fuzzing starts: bytes that a decoder takes, to be damaged from there. Names and
numbers are small and few, so that some of them mean something to the broker.
"""

import dataclasses
import datetime
import io
import random
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any

from kio.serial import entity_writer

from barnabas.protocol.apis import Api
from barnabas.protocol.codec import schema_class

STRINGS = ("", "fuzz", "range", "consumer", "cleanup.policy", "compact", "1", "é")
_MILLISECOND = datetime.timedelta(milliseconds=1)


def sample_message(api: Api, version: int, rng: random.Random) -> bytes:
    """The message of a random request: what follows the header."""
    entity = _entity(schema_class(api, version, "request"), rng)
    out = io.BytesIO()
    entity_writer(type(entity))(out, entity)
    return out.getvalue()


def sample_body(api: Api, version: int, rng: random.Random) -> bytes:
    """A random request from after the client id: with the header's tagged fields, when flexible."""
    flexible = schema_class(api, version, "request").__flexible__
    return (b"\0" if flexible else b"") + sample_message(api, version, rng)


def _entity(cls: Any, rng: random.Random) -> Any:
    hints = typing.get_type_hints(cls)
    values = {}
    for field in dataclasses.fields(cls):
        if "tag" in field.metadata and rng.random() < 0.5:
            continue  # the default: not sent
        values[field.name] = _value(hints[field.name], field.metadata.get("kafka_type"), rng)
    return cls(**values)


def _value(hint: Any, kafka_type: str | None, rng: random.Random) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not types.NoneType]
        if len(options) < len(typing.get_args(hint)) and rng.random() < 0.3:
            return None
        return _value(options[0], kafka_type, rng)
    if origin is tuple:
        item = typing.get_args(hint)[0]
        return tuple(_value(item, kafka_type, rng) for _ in range(rng.choice((0, 1, 1, 2))))
    if kafka_type is None:
        return _entity(hint, rng)
    return _primitive(kafka_type, rng)


def _primitive(kafka_type: str, rng: random.Random) -> Any:
    small = rng.choice((0, 1, 1, 2, 100))
    makers: dict[str, Callable[[], Any]] = {
        "string": lambda: rng.choice(STRINGS),
        "bool": lambda: rng.random() < 0.5,
        "uuid": lambda: uuid.UUID(int=rng.getrandbits(128)),
        "bytes": lambda: rng.randbytes(small),
        "records": lambda: rng.randbytes(small),
        "timedelta_i32": lambda: small * _MILLISECOND,
        "timedelta_i64": lambda: small * _MILLISECOND,
        "float64": lambda: float(small),
        "uint16": lambda: small,
    }
    if kafka_type in makers:
        return makers[kafka_type]()
    return small if rng.random() < 0.8 else -1  # a signed integer
