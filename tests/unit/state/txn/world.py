"""A world for the transaction state machine: virtual time, a log and markers that fail or lag."""

from collections import deque
from dataclasses import dataclass, field

from kio.schema.errors import ErrorCode

from barnabas.coordinator.txn_records import decode, encode
from barnabas.state.effects import Append, Producer, Token
from barnabas.state.topic_partition import TopicPartition
from barnabas.state.txn.config import TransactionConfig
from barnabas.state.txn.effects import Effects, EndMarkers
from barnabas.state.txn.records import TransactionRecord
from barnabas.state.txn.shard import TransactionShard

FIRST_PRODUCER_ID = 1000


@dataclass
class World:
    """Performs effects the way the broker does, with everything under the test's control."""

    config: TransactionConfig = field(default_factory=TransactionConfig)
    now_ms: int = 0
    log: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    replies: list[tuple[Token, object]] = field(default_factory=list)
    storage_error: ErrorCode = ErrorCode.none
    is_storage_held: bool = False
    are_markers_held: bool = False
    # What the partitions have seen: the markers, in order.
    written: list[tuple[TopicPartition, Producer, bool]] = field(default_factory=list)
    producer_ids: int = FIRST_PRODUCER_ID

    def __post_init__(self) -> None:
        self.shard = TransactionShard(self.config)
        self._appends: deque[Append[TransactionRecord]] = deque()
        self.held_markers: list[EndMarkers] = []

    def new_id(self, transactional_id: str, *, is_init: bool = False) -> int:
        """A producer id when the machine needs one."""
        if not self.shard.needs_producer_id(transactional_id, is_init=is_init):
            return -1
        self.producer_ids += 1
        return self.producer_ids - 1

    def perform(self, effects: Effects) -> None:
        self.replies.extend(effects.replies)
        self._appends.extend(effects.appends)
        self.held_markers += effects.markers
        self.held_markers += effects.retries
        if not self.is_storage_held:
            self.release_storage()
        if not self.are_markers_held:
            self.release_markers()

    def release_storage(self) -> None:
        self.is_storage_held = False
        while self._appends and not self.is_storage_held:
            append = self._appends.popleft()
            if self.storage_error is ErrorCode.none:
                self.log.extend(encode(record) for record in append.records)
                effects = self.shard.appended(append.outcome, self.now_ms)
            else:
                effects = self.shard.append_failed(append.outcome, self.storage_error)
            self.perform(effects)

    def release_markers(self) -> None:
        """Writes what is held; what then cannot be stored waits for the next release."""
        self.are_markers_held = False
        held, self.held_markers = self.held_markers, []
        for markers in held:
            for partition in markers.partitions:
                self.written.append((partition, markers.producer, markers.is_commit))
            self.are_markers_held = self.storage_error is not ErrorCode.none
            self.perform(self.shard.complete(markers, self.now_ms))

    def tick(self) -> None:
        """Aborts what has timed out."""
        for transactional_id in self.shard.timed_out(self.now_ms):
            new_id = self.new_id(transactional_id)
            self.perform(self.shard.abort_timed_out(transactional_id, self.now_ms, new_id))

    def restart(self) -> None:
        """A new broker reads the log of the old one. What was waiting is gone with it."""
        self._appends.clear()
        self.held_markers.clear()
        self.shard = TransactionShard(self.config)
        for key, value in self.log:
            record = decode(key, value)
            assert record is not None
            self.shard.replay(record)
        self.perform(self.shard.loaded(self.now_ms))
