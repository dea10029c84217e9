"""Writes the markers of transactions that end, in all their partitions, as often as it takes.

A partition that is no more needs no marker, and one that has seen a later epoch of the producer has
nothing of this transaction left to end. One in a log directory that Kafka alone has is left to
Kafka: the transaction is not at its end here. Whatever else goes wrong is tried again.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from kio.schema.errors import ErrorCode

from barnabas.coordinator.errors import error_of
from barnabas.coordinator.hand_over import HandOver, LogAppend
from barnabas.state.effects import Marker
from barnabas.state.internal_topics import CONSUMER_OFFSETS
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.effects import EndMarkers

logger = logging.getLogger(__name__)

RETRY_S = 1.0
_MAX_DOUBLINGS = 3  # of RETRY_S, while a partition goes on failing
_SUPERSEDED = frozenset(
    {ErrorCode.invalid_producer_epoch, ErrorCode.transaction_coordinator_fenced}
)


class OffsetsOwner(Protocol):
    """The part of `GroupCoordinator` that markers need."""

    def end_transaction(
        self, partition: int, marker: Marker, reply: Callable[[ErrorCode], None]
    ) -> None:
        """Appends a marker to a partition of `__consumer_offsets`."""


class MarkerWriter:
    """Writes markers. To be used on the loop's thread only."""

    def __init__(
        self,
        hand_over: HandOver,
        groups: OffsetsOwner,
        is_kafkas_alone: Callable[[TopicPartition], bool],
    ) -> None:
        self._hand_over = hand_over
        self._groups = groups
        self._is_kafkas_alone = is_kafkas_alone
        self._is_stopped = False

    def stop(self) -> None:
        """Tries nothing again."""
        self._is_stopped = True

    def write_all(
        self, markers: EndMarkers, coordinator_epoch: int, on_done: Callable[[EndMarkers], None]
    ) -> None:
        """Calls `on_done` when all of them are written, perhaps before it returns."""
        if not markers.partitions:
            on_done(markers)
            return
        marker = Marker(
            markers.producer, markers.is_commit, coordinator_epoch, markers.transaction_version
        )
        outstanding = set(markers.partitions)

        def finish(partition: TopicPartition) -> None:
            outstanding.remove(partition)
            if not outstanding:
                on_done(markers)

        for partition in markers.partitions:
            self._write(marker, partition, finish)

    def _write(
        self,
        marker: Marker,
        partition: TopicPartition,
        finish: Callable[[TopicPartition], None],
        failures: int = 0,
    ) -> None:
        if not self._is_stopped:
            reply = partial(self._written, marker, partition, finish, failures)
            self.write(marker, partition, reply)

    def _written(
        self,
        marker: Marker,
        partition: TopicPartition,
        finish: Callable[[TopicPartition], None],
        failures: int,
        error: ErrorCode,
    ) -> None:
        if error is ErrorCode.unknown_topic_or_partition and self._is_kafkas_alone(partition):
            logger.warning(
                "%s-%d is in a log directory that Kafka alone has: the marker of producer %d, "
                "epoch %d is left to Kafka",
                *partition,
                *marker.producer,
            )
        elif error is ErrorCode.none or error is ErrorCode.unknown_topic_or_partition:
            finish(partition)
        elif error in _SUPERSEDED:
            logger.warning(
                "%s-%d takes no marker of producer %d, epoch %d: %s",
                *partition,
                *marker.producer,
                error.name,
            )
            finish(partition)
        else:
            delay_s = RETRY_S * 2 ** min(failures, _MAX_DOUBLINGS)
            if error is not ErrorCode.coordinator_load_in_progress:
                failures += 1
                if failures.bit_count() == 1:  # the more there were, the less news is another
                    logger.error(
                        "cannot write a marker to %s-%d, tried %d times: %s",
                        *partition,
                        failures,
                        error.name,
                    )
            loop = asyncio.get_running_loop()
            loop.call_later(delay_s, self._write, marker, partition, finish, failures)

    def write(
        self, marker: Marker, partition: TopicPartition, reply: Callable[[ErrorCode], None]
    ) -> None:
        """Writes one marker, once. `reply` is called on the loop's thread, perhaps at once."""
        topic, number = partition
        if topic == CONSUMER_OFFSETS:
            # Offsets committed in the transaction come into force, or are forgotten.
            self._groups.end_transaction(number, marker, reply)
            return
        append = LogAppend(topic, number, (), None, marker)
        self._hand_over.add(append, lambda code: reply(error_of(code)))
