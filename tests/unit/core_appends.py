"""Appends to the partitions of a core as its coordinators do, but one at a time, to the end."""

import queue
from collections.abc import Iterable, Mapping, Sequence

from barnabas._core import Core
from barnabas.coordinator.hand_over import LogAppend
from barnabas.state.effects import Marker, Producer

TIMEOUT_S = 30


class AppendRefused(Exception):
    """With Kafka's error code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"error {code}")
        self.code = code


def create_partitions(
    core: Core,
    topic: str,
    topic_id: bytes,
    partitions: Sequence[tuple[int, int]],
    config: Mapping[str, int | str | bool],
) -> None:
    """Makes (partition, leader epoch), on this thread."""
    change = core.begin_creation(topic, topic_id, partitions, config)
    while change.next_directory() is not None:
        change.step()


def append_records(
    core: Core,
    topic: str,
    partition: int,
    records: Iterable[tuple[bytes | None, bytes | None]],
    *,
    producer_id: int = -1,
    producer_epoch: int = -1,
) -> int:
    """Appends one batch, perhaps of a producer's transaction; returns its base offset."""
    producer = Producer(producer_id, producer_epoch) if producer_id >= 0 else None
    return _append(core, LogAppend(topic, partition, tuple(records), producer, None))


def append_marker(
    core: Core,
    partition: tuple[str, int],
    producer: tuple[int, int],
    commit: bool,
    coordinator_epoch: int,
    *,
    transaction_version: int = 0,
) -> int:
    """Appends the end of the transaction of a producer (id, epoch); returns its offset."""
    marker = Marker(Producer(*producer), commit, coordinator_epoch, transaction_version)
    return _append(core, LogAppend(*partition, (), None, marker))


def _append(core: Core, append: LogAppend) -> int:
    late: queue.Queue[int] = queue.Queue()
    (code,) = core.append_all((append,), lambda _, code: late.put(code))
    if code is None:
        code = late.get(timeout=TIMEOUT_S)
    if code != 0:
        raise AppendRefused(code)
    info = core.partition_info(append.topic, append.partition)
    return info.log_end_offset - (len(append.records) or 1)
