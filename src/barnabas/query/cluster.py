"""The part of `barnabas.scan` that fetches from a cluster, with librdkafka."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

try:
    from confluent_kafka import (
        OFFSET_END,
        Consumer,
        KafkaError,
        KafkaException,
        Message,
        TopicPartition,
    )
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "a cluster is asked by confluent-kafka: pip install 'barnabas[cli]'", name=missing.name
    ) from missing

from barnabas.query.bounds import Bound, bound_of, bounded, start_ms, to_ms

if TYPE_CHECKING:
    import pyarrow as pa
    from confluent_kafka.admin import ClusterMetadata, TopicMetadata

BATCH_RECORDS: Final = 10_000
CONNECT_TIMEOUT_S: Final = 5.0
"""How long connections may be refused: a broker that starts is waited for."""
TIMEOUT_S: Final = 30.0
"""How long a broker that took the connection may be silent."""
_FIRST_TRY_S: Final = 0.25
_UNANSWERED: Final = frozenset(
    (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN)
)


_PLACE: Final = re.compile(r"^\S+:\d+/(?:bootstrap|\d+): | \(after \d+ms in state .*$")


def cluster_batches(
    address: str,
    topic: str,
    wanted: frozenset[int] | None,
    bounds: tuple[Bound, Bound],
    binary: str,
) -> Iterator[pa.RecordBatch]:
    """The records that are there now. Raises ConnectionError, FileNotFoundError at once, and
    ConnectionError while they are read.
    """
    trouble = _Trouble()
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "barnabas-scan",  # librdkafka wants one; nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
            "error_cb": trouble.hear,
        }
    )
    with _connected(consumer, address, closes=False):
        topics = _await_metadata(consumer, topic, trouble).topics
        partitions = _partitions(topics[topic], address, wanted, bounded(bounds))

    def batches() -> Iterator[pa.RecordBatch]:
        with _connected(consumer, address, closes=True):
            for partition in partitions:
                here = TopicPartition(topic, partition)
                yield from _partition_batches(consumer, here, bounds, binary, trouble)

    return batches()


@contextmanager
def _connected(consumer: Consumer, address: str, *, closes: bool) -> Iterator[None]:
    """What goes wrong is a ConnectionError; the consumer is closed then, or when it `closes`."""
    is_well = False
    try:
        yield
        is_well = True
    except KafkaException as error:
        raise ConnectionError(f"{address}: {error.args[0].str()}") from error
    finally:
        if closes or not is_well:
            consumer.close()


def _await_metadata(consumer: Consumer, topic: str, trouble: _Trouble) -> ClusterMetadata:
    """What the cluster says of the topic. Raises KafkaException."""
    begin = time.monotonic()
    waited_s = 0.0
    while True:
        try:
            found: ClusterMetadata = consumer.list_topics(
                topic, timeout=max(_FIRST_TRY_S, waited_s)
            )
            return found
        except KafkaException as error:
            if error.args[0].code() not in _UNANSWERED:
                raise
            consumer.poll(0)  # so that the trouble is heard of
            waited_s = time.monotonic() - begin
            if waited_s >= (CONNECT_TIMEOUT_S if trouble.last else TIMEOUT_S):
                what = f"no broker has answered within {waited_s:.0f} s"
                raise KafkaException(
                    KafkaError(KafkaError._TRANSPORT, f"{what}: {trouble.last}".rstrip(": "))
                ) from None


def _partitions(
    found: TopicMetadata, address: str, wanted: frozenset[int] | None, named: frozenset[int]
) -> list[int]:
    topic = found.topic
    if found.error is not None or not found.partitions:
        raise FileNotFoundError(f"{address} has no topic {topic}")
    there = frozenset(found.partitions)
    asked = there if wanted is None else wanted
    if missing := sorted((asked | named) - there):
        raise FileNotFoundError(f"{address} has no partition {missing[0]} of topic {topic}")
    if not asked:
        raise FileNotFoundError(f"{address} has none of the partitions of topic {topic}")
    return sorted(asked)


class _Trouble:
    """What librdkafka says of its connections."""

    def __init__(self) -> None:
        self._all_down: KafkaError | None = None
        self.last = ""  # why there is no connection

    def hear(self, error: KafkaError) -> None:
        """Of librdkafka's, called while it is asked for records."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._all_down = error
        else:
            self.last = _PLACE.sub("", error.str())

    def forget(self) -> None:
        """Records have come."""
        self._all_down = None

    def check(self, silence_s: float) -> None:
        """After nothing was heard for so long. Raises KafkaException."""
        if self._all_down is not None:
            raise KafkaException(self._all_down)
        if silence_s >= TIMEOUT_S:
            what = f"no records for {silence_s:.0f} s, though there are more"
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, what))


def _partition_batches(
    consumer: Consumer,
    here: TopicPartition,
    bounds: tuple[Bound, Bound],
    binary: str,
    trouble: _Trouble,
) -> Iterator[pa.RecordBatch]:
    topic, partition = here.topic, here.partition
    low, high = marks = consumer.get_watermark_offsets(here, timeout=TIMEOUT_S)
    start = max(low, _offset_of(consumer, here, bound_of(bounds[0], partition), low, marks))
    end = min(high, _offset_of(consumer, here, bound_of(bounds[1], partition), high, marks))
    if start >= end:
        return
    consumer.assign([TopicPartition(topic, partition, start)])
    since_ms = start_ms(bounds)
    silence_s = 0.0
    next_offset = start
    while next_offset < end:
        asked_at = time.monotonic()
        messages = consumer.consume(BATCH_RECORDS, timeout=1)
        rows = []
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            # At the end there may be what is not to be seen: markers, aborted records.
            next_offset = max(next_offset, (message.offset() or 0) + (error is None))
            if error is None and _is_within(message, end, since_ms):
                rows.append(message)
        if rows:
            yield _to_arrow(partition, rows, binary)
        if not messages:
            silence_s += time.monotonic() - asked_at
            trouble.check(silence_s)
            continue
        silence_s = 0.0
        trouble.forget()
        is_at_end = messages[-1].error() is not None
        if is_at_end:
            break
    consumer.unassign()


def _is_within(message: Message, end: int, since_ms: int | None) -> bool:
    is_late_enough = since_ms is None or message.timestamp()[1] >= since_ms
    return is_late_enough and (message.offset() or 0) < end


def _offset_of(
    consumer: Consumer,
    here: TopicPartition,
    bound: int | datetime | None,
    default: int,
    watermarks: tuple[int, int],
) -> int:
    low, high = watermarks
    if bound is None:
        return default
    if not isinstance(bound, datetime):
        return bound
    time_ms = to_ms(bound)
    if time_ms < 0:
        return low  # ListOffsets has other meanings for these, and no record is as old
    asked = TopicPartition(here.topic, here.partition, time_ms)
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
