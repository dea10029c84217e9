"""The part of `barnabas.scan` that fetches from a cluster, with librdkafka."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from barnabas.query.bounds import Bound, bound_of, to_ms

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_RECORDS: Final = 10_000
TIMEOUT_S: Final = 30.0


def cluster_batches(
    address: str,
    topic: str,
    wanted: frozenset[int] | None,
    bounds: tuple[Bound, Bound],
    binary: str,
) -> Iterator[pa.RecordBatch]:
    """The records that are there now. Raises ConnectionError, FileNotFoundError."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "barnabas-scan",  # librdkafka wants one; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": False,
            "log_level": 0,
        }
    )
    try:
        for partition in _partitions(consumer, address, topic, wanted):
            yield from _partition_batches(consumer, topic, partition, bounds, binary)
    except KafkaException as error:
        raise ConnectionError(f"{address}: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _partitions(
    consumer: Consumer, address: str, topic: str, wanted: frozenset[int] | None
) -> list[int]:
    found = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if found.error is not None or not found.partitions:
        raise FileNotFoundError(f"{address} has no topic {topic}")
    return sorted(p for p in found.partitions if wanted is None or p in wanted)


def _partition_batches(
    consumer: Consumer, topic: str, partition: int, bounds: tuple[Bound, Bound], binary: str
) -> Iterator[pa.RecordBatch]:
    here = TopicPartition(topic, partition)
    low, high = consumer.get_watermark_offsets(here, timeout=TIMEOUT_S)
    start = max(low, _offset_of(consumer, here, bound_of(bounds[0], partition), low, high))
    end = min(high, _offset_of(consumer, here, bound_of(bounds[1], partition), high, high))
    if start >= end:
        return
    consumer.assign([TopicPartition(topic, partition, start)])
    next_offset = start
    while next_offset < end:
        messages = consumer.consume(BATCH_RECORDS, timeout=1)
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
        if messages:
            rows = [message for message in messages if (message.offset() or 0) < end]
            if rows:
                yield _to_arrow(partition, rows, binary)
        # Behind what is not to be seen, too: markers, aborted records.
        (position,) = consumer.position([here])
        next_offset = max(next_offset, position.offset)
    consumer.unassign()


def _offset_of(
    consumer: Consumer, here: TopicPartition, bound: int | datetime | None, default: int, high: int
) -> int:
    if bound is None:
        return default
    if not isinstance(bound, datetime):
        return bound
    asked = TopicPartition(here.topic, here.partition, to_ms(bound))
    (found,) = consumer.offsets_for_times([asked], timeout=TIMEOUT_S)
    return high if found.offset in {OFFSET_END, -1} else int(found.offset)


def _to_arrow(partition: int, messages: list[Any], binary: str) -> pa.RecordBatch:
    import pyarrow as pa

    from barnabas.arrow import schema

    fields = schema(binary)
    headers = [
        [{"key": name.encode(), "value": value} for name, value in message.headers() or ()]
        for message in messages
    ]
    columns = [
        pa.array([partition] * len(messages), pa.int32()),
        pa.array([message.offset() for message in messages], pa.int64()),
        pa.array([message.timestamp()[1] for message in messages], fields.field("timestamp").type),
        pa.array([message.key() for message in messages], fields.field("key").type),
        pa.array([message.value() for message in messages], fields.field("value").type),
        pa.array(headers, fields.field("headers").type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=fields)
