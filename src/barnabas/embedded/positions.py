"""What a consumer reads: its partitions, how far each has come, and whose turn it is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from kio.schema.errors import ErrorCode

from barnabas.arguments import check_integer, check_text
from barnabas.embedded.batch import ConsumedBatch
from barnabas.embedded.host import ask_core
from barnabas.errors import BrokerClosed, KafkaError

if TYPE_CHECKING:
    from barnabas._core import PartitionInfo
    from barnabas._reader import NativeReader
    from barnabas.embedded.consumer_protocol import Partition
    from barnabas.embedded.host import Host

logger = logging.getLogger(__name__)

ASK_AGAIN_S: Final = 1.0  # for a partition that is not there
_SHOWN_MAX: Final = 20  # partitions in an error


class ReadOffset(NamedTuple):
    """The offset of a partition that is read next. `topic_id` None: of whatever has the name."""

    topic: str
    partition: int
    offset: int
    topic_id: bytes | None = None


@dataclass(slots=True)
class _Position:
    """Where reading of a partition goes on. None: not known yet."""

    offset: int | None = None
    topic_id: bytes | None = None  # a topic that is made again is another one
    is_paused: bool = False
    is_remade: bool = False  # the topic, since it is read: it is read from its beginning
    gone_until: float = 0.0  # of the monotonic clock: it is not there, and is not asked for before

    def is_readable(self) -> bool:
        """Whether there may be something to be read."""
        return not self.is_paused and self.gone_until <= time.monotonic()


RESETS: Final = ("earliest", "latest", "none")


class Positions:
    """The partitions of one consumer. `reset`: earliest, latest or none, which raises.

    For the consumer's thread; `freeze`, `close`, `clear` and what only reads may come from another.
    The lock is held while something is read, and never while the broker's loop is asked.
    """

    def __init__(
        self, reader: NativeReader, host: Host, reset: str, *, is_committed_only: bool
    ) -> None:
        self._reader = reader
        self._host = host
        self._reset = reset
        self._is_committed_only = is_committed_only
        self._lock = threading.Lock()
        self._by_partition: dict[Partition, _Position] = {}  # replaced, not changed
        self._turn: list[Partition] = []  # the one that has waited longest first
        self._taken: tuple[_Position, int] | None = None  # by the last `take`, and from where on
        self._is_frozen = False
        self._is_closed = False
        self.missed = 0  # offsets that were gone before they were read, and were passed over

    # -- which partitions

    def assignment(self) -> list[Partition]:
        """The partitions, sorted."""
        return sorted(self._by_partition)

    def assign(self, offsets: Iterable[tuple[Partition, int | None]]) -> None:
        """Reads these partitions from now on, from offsets that may be unknown. Raises BrokerClosed
        when it is closed.
        """
        self._replace({p: _Position(offset, self._id_of(p[0])) for p, offset in offsets})

    def follow(self, topics: Iterable[str], *, is_first: bool) -> None:
        """Reads all partitions that there are, those that are new from their beginning on."""
        found: dict[Partition, _Position] = {}
        for topic in topics:
            count, topic_id = self._reader.topic_shape(topic)
            for partition in ((topic, number) for number in range(count)):
                position = self._by_partition.get(partition)
                if position is None:
                    position = _Position(None, topic_id, is_remade=not is_first)
                found[partition] = position
        self._replace(dict(sorted(found.items())))

    def _replace(self, positions: dict[Partition, _Position]) -> None:
        with self._lock:
            if self._is_closed:
                raise BrokerClosed("the consumer is closed")
            if self._turn and positions.keys() == self._by_partition.keys():
                self._by_partition = positions  # and nobody loses their turn
                return
            self._by_partition = positions
            self._turn = list(positions)
            self._is_frozen = False

    def freeze(self) -> bool:
        """Reads nothing more until others are assigned; False if it was so already."""
        with self._lock:
            was_frozen, self._is_frozen = self._is_frozen, True
            self._turn = []
            return not was_frozen

    def close(self) -> None:
        """Reads nothing more, ever. What was read can be committed yet."""
        with self._lock:
            self._is_closed = True

    def clear(self) -> None:
        """Has no partitions."""
        with self._lock:
            self._by_partition = {}
            self._turn = []

    # -- reading

    def take(self) -> ConsumedBatch | None:
        """The next records of the partition whose turn it is. Raises KafkaError; then the others
        come first.
        """
        with self._lock:
            if self._is_closed:
                return None
            for index, partition in enumerate(self._turn):
                position = self._by_partition[partition]
                if not position.is_readable():
                    continue
                try:
                    batch = self._fetch(partition, position)
                except KafkaError:
                    self._turn.append(self._turn.pop(index))
                    raise
                if batch is not None:
                    self._turn.append(self._turn.pop(index))
                    return batch
        return None

    def hand_back(self) -> None:
        """What `take` has given last was not handed out: it is read again."""
        if self._taken is not None:
            position, offset = self._taken
            position.offset = offset

    def watched(self) -> Iterator[tuple[str, int, int]]:
        """Where news is waited for: topic, partition, offset."""
        for partition, position in self._by_partition.items():
            if position.is_readable() and position.offset is not None:
                yield *partition, position.offset

    def _fetch(self, partition: Partition, position: _Position) -> ConsumedBatch | None:
        try:
            return self._read(partition, position)
        except KafkaError as error:
            if error.code is not ErrorCode.unknown_topic_or_partition:
                raise
            # Deleted: the group will see, or the next look at the topics.
            position.gone_until = time.monotonic() + ASK_AGAIN_S
            return None

    def _read(self, partition: Partition, position: _Position) -> ConsumedBatch | None:
        try:
            offset = self._locate(partition, position)
            columns, next_offset, _, _ = self._reader.fetch(*partition, offset, position.topic_id)
        except KafkaError as error:
            if error.code is ErrorCode.unknown_topic_id:
                position.offset, position.topic_id, position.is_remade = None, None, True
                return self._read(partition, position)
            if error.code is not ErrorCode.offset_out_of_range:
                raise
            self._pass_over(partition, position)
            return None
        position.offset = next_offset
        if columns is None:
            return None
        self._taken = position, offset
        return ConsumedBatch(*partition, columns, next_offset)

    # -- offsets

    def read_offsets(self) -> list[ReadOffset]:
        """The offsets that are read next of the partitions from which something was read."""
        return [
            ReadOffset(*partition, position.offset, position.topic_id)
            for partition, position in self._by_partition.items()
            if position.offset is not None
        ]

    def with_topic_ids(self, offsets: Mapping[Partition, int]) -> list[ReadOffset]:
        """Offsets with the ids of the topics that are read, as far as they are known."""
        unknown = _Position()
        return [
            ReadOffset(*partition, offset, self._by_partition.get(partition, unknown).topic_id)
            for partition, offset in offsets.items()
        ]

    def position(self, partition: Partition) -> int:
        """The offset that is read next. Raises KeyError for a partition that is not read."""
        return self._locate(partition, self._position_of(partition))

    def seek(self, partition: Partition, offset: int) -> None:
        """Goes on at an offset of the topic that it has read. Raises KeyError."""
        self._position_of(partition).offset = offset

    def move(self, partition: Partition, offset: int) -> None:
        """Goes on at an offset of the topic that is there now. Raises KeyError."""
        position = self._position_of(partition)
        position.offset, position.topic_id = offset, self._id_of(partition[0])

    def pause(self, partition: Partition, is_paused: bool) -> None:
        """Whether a partition is passed over. Raises KeyError."""
        self._position_of(partition).is_paused = is_paused

    def lag(self, partition: Partition) -> int:
        """How many offsets there are behind the position."""
        return max(0, self.end_of(partition) - self.position(partition))

    def start_of(self, partition: Partition) -> int:
        """The first offset. Raises KafkaError, as the next one does."""
        return self._info_of(partition).log_start_offset

    def end_of(self, partition: Partition) -> int:
        """The offset behind what there is to be read."""
        info = self._info_of(partition)
        return info.last_stable_offset if self._is_committed_only else info.high_watermark

    def at_time(self, partition: Partition, time_ms: int) -> int:
        """The offset of the first record at or after a time, the end where there is none."""
        core = self._host.services.core
        _, offset, _ = ask_core(core.offset_for_timestamp, *partition, time_ms)
        return self.end_of(partition) if offset < 0 else offset

    def _position_of(self, partition: Partition) -> _Position:
        position = self._by_partition.get(partition)
        if position is None:
            check_text("topic", partition[0], "the name of a topic")
            check_integer("partition", partition[1])
            read = [f"{topic}-{number}" for topic, number in self.assignment()]
            more = f" and {len(read) - _SHOWN_MAX} more" if len(read) > _SHOWN_MAX else ""
            names = f"{', '.join(read[:_SHOWN_MAX])}{more}" if read else "none"
            raise KeyError(f"{partition[0]}-{partition[1]} is not read here; assigned: {names}")
        return position

    def _info_of(self, partition: Partition) -> PartitionInfo:
        return ask_core(self._host.services.core.partition_info, *partition)

    def _locate(self, partition: Partition, position: _Position) -> int:
        if position.topic_id is None:
            position.topic_id = self._id_of(partition[0])
        if position.offset is None:
            is_remade = position.is_remade
            position.offset = self.start_of(partition) if is_remade else self._reset_of(partition)
        return position.offset

    def _pass_over(self, partition: Partition, position: _Position) -> None:
        """The offset to be read next is gone: goes on where `reset` says."""
        gone, position.offset = position.offset, self._reset_of(partition)
        if gone is not None and position.offset > gone:
            self.missed += position.offset - gone
            logger.warning(
                "%s-%d: offset %d was removed before it was read: reading goes on at %d",
                *partition,
                gone,
                position.offset,
            )

    def _reset_of(self, partition: Partition) -> int:
        if self._reset == "none":
            raise KafkaError(
                ErrorCode.offset_out_of_range,
                f"{partition[0]}-{partition[1]}: there is no offset to go on from, and "
                "auto_offset_reset is none",
            )
        is_earliest = self._reset == "earliest"
        return self.start_of(partition) if is_earliest else self.end_of(partition)

    def _id_of(self, topic: str) -> bytes | None:
        return self._reader.topic_shape(topic)[1]
