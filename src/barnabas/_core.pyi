"""The native core: sockets, Produce and Fetch, the partition logs.

Every call that may wait for a disk or a thread releases the GIL. Errors are raised as
`CoreError`, which carries Kafka's error code and, for system errors, errno.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from barnabas.errors import BarnabasError

__version__: Final[str]

_Record = tuple[bytes | None, bytes | None]  # key, value
_Producer = tuple[int, int]  # producer id, producer epoch
_Marker = tuple[_Producer, bool, int, int]  # whether commit, coordinator epoch, transaction version
_Append = tuple[str, int, tuple[_Record, ...], _Producer | None, _Marker | None]
"""Topic and partition; records, perhaps of a producer's transaction, or a marker instead."""

class CoreError(BarnabasError):
    code: int  # Kafka's error code (Errors), -1 when there is none
    errno: int  # 0 when no system call failed

class ControlRequest:
    """A request of an API other than Produce and Fetch, waiting for the broker loop."""

    token: int  # opaque, for Core.respond_many / Core.close_connection
    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    peer_host: str
    fault: int  # the error that a test wants for an answer; 0: none
    body: bytes  # after client_id: header tagged fields (flexible versions), then the message

class RequestEffect:
    """How a request goes wrong, and what `value` of add_request_fault is then."""

    FAIL: RequestEffect  # Kafka's error code
    DROP_BEFORE: RequestEffect
    DROP_AFTER: RequestEffect
    DISCONNECT_BEFORE: RequestEffect
    DISCONNECT_AFTER: RequestEffect
    DELAY: RequestEffect  # milliseconds

class RecoveryReport:
    topic: str
    partition: int
    checked: bool  # batches were read back: the last stop was not clean
    bytes_checked: int
    bytes_cut: int  # torn tail, truncated
    bytes_set_aside: int  # corruption: kept in set_aside_path
    set_aside_path: str
    reason: str
    log_end_offset: int
    error: str  # not empty: the partition could not be opened and is offline

class PartitionInfo:
    topic: str
    partition: int
    leader_epoch: int
    log_start_offset: int
    high_watermark: int
    last_stable_offset: int
    log_end_offset: int
    size_bytes: int
    segment_count: int
    offline: bool
    directory: str  # "": in none that is there
    is_future: bool  # a copy on its way to the directory
    offset_lag: int  # how much that lacks

class ProducerInfo:
    """What a partition remembers of a producer (DescribeProducers)."""

    producer_id: int
    producer_epoch: int
    last_sequence: int  # -1: none since the epoch began
    last_timestamp: int  # ms
    coordinator_epoch: int  # of the last transaction marker; -1: none
    current_txn_start_offset: int  # -1: no transaction is open

class DirectoryIdentity:
    path: str
    cluster_id: str
    node_id: int
    directory_id: str  # URL-safe base64 UUID
    was_clean: bool
    error: str  # not empty: could not be opened, all in it is offline
    is_new: bool  # nothing of a log directory is there yet

class VirtualClock:
    """A calendar that moves by `advance` alone; timeouts pass in real time, too."""

    def __init__(self, wall_ns: int) -> None: ...
    def wall_ms(self) -> int: ...
    def ahead_ns(self) -> int:
        """How far timeouts are ahead of the system's monotonic clock."""
    def advance(self, by_ns: int) -> None: ...
    def step(self, by_ns: int) -> None:
        """Sets the calendar alone, forth or back."""

class TopicChange:
    """A change of a topic that has begun. Its steps wait for one log directory each; those of one
    change are made one after the other, and no two changes of a topic at a time."""

    def next_directory(self) -> int | None:
        """The number of the log directory that the next step may wait for, -1: several; None when
        it has come to its end."""
    def step(self) -> None:
        """Makes the next step. The last one raises CoreError when not all went well; what had to be
        undone is undone by then."""

class Core:
    """The data plane of one broker. Life: open_directories, load_partitions, listen, start, stop.

    `settings` holds broker-level configuration by Kafka key, values as int, str or bool, defaults
    included (the Python registry is the only place that knows defaults).
    """

    def __init__(
        self, settings: Mapping[str, int | str | bool], clock: VirtualClock | None = None
    ) -> None: ...
    # -- time
    def now_ms(self) -> int:
        """The wall clock, ms since the epoch; virtual with a virtual clock."""
    def steady_ms(self) -> int:
        """The wall clock as if nobody had set it since the start."""
    def run_due(self) -> None:
        """After a jump of the clock: what is due by it has been done at return, retention and
        compaction without waiting for their intervals. Between start and stop."""
    # -- log directories
    def open_directories(
        self, paths: Sequence[str], cluster_id: str, node_id: int
    ) -> list[DirectoryIdentity]:
        """Locks the directories that are there, and the first one, which is made if it is new;
        cluster_id and node_id are used for new ones. One that cannot be opened says why, and is
        offline; the first one has to be."""
    def make_directories(self, missing: Sequence[tuple[str, str]]) -> list[DirectoryIdentity]:
        """Makes the new ones, but not at the path of one that is missing: that is offline, and
        counts among the directories wherever it was. missing: (path, why it is offline). Before
        load_partitions; returns all."""
    def directory_states(self) -> list[tuple[str, bool]]:
        """(path, whether it is online) of each, in the order in which they were opened."""
    def list_partition_directories(self) -> list[tuple[str, int, str, bytes | None]]:
        """(topic, partition, path of the log directory, topic id) of what is in those directories
        that are online, by name; the id only where the partition is in several, if it is known
        there."""
    def alter_replica_log_dirs(self, assignments: Sequence[tuple[str, int, str]]) -> list[int]:
        """assignments: (topic, partition, path of the directory that it is to move to). Answers
        Kafka's error codes, in the same order; a move goes on after that. May wait for a disk."""
    def fork(self, paths: Sequence[str], durable: bool) -> None:
        """Puts what the log directories hold at one moment into the directories at `paths`, one for
        each, in their order; they look like cleanly stopped ones. Waits for a disk; appends wait
        for no file of it. Raises CoreError, and leaves there what there is."""
    def set_aside_directory(self, log_directory: str, topic: str, partition: int) -> str:
        """Renames a partition directory that is not to be served to `…-stray`; returns the new
        path."""
    def finish_deletions(
        self, topics: Sequence[tuple[str, bytes, int, bool]]
    ) -> list[tuple[bytes, str]]:
        """Removes what the directories that are online have of topics that are not loaded, copies
        too. topics: (name, topic id of 16 bytes, number of partitions, whether there is another of
        the name). Says what could not be removed: (topic id, why)."""
    def load_partitions(
        self,
        partitions: Sequence[tuple[str, bytes, int, int]],
        configs: Mapping[str, Mapping[str, int | str | bool]],
    ) -> list[RecoveryReport]:
        """Opens (or creates) logs, many at a time. partitions: (topic, topic id of 16 bytes,
        partition, leader epoch); configs: topic -> effective topic-level configuration."""
    # -- network
    def listen(self, host: str, port: int) -> int:
        """Binds and returns the port."""
    def start(self) -> None: ...
    def stop(self, grace_ms: int, close_logs: bool = True) -> None:
        """Closes connections, flushes and closes every log, marks the clean stop. Logs that are
        going to be removed need not be closed."""
    # -- control requests
    def control_fd(self) -> int:
        """An eventfd, readable when take_requests has something."""
    def take_requests(self, limit: int) -> list[ControlRequest]: ...
    def respond_many(self, answers: Sequence[tuple[int, bytes]]) -> None:
        """answers: (token, payload); payload: response header and body, without the length prefix.
        An unknown token is ignored."""
    def close_connection(self, token: int) -> None:
        """Closes the connection the request came on."""
    # -- topics
    def begin_creation(
        self,
        topic: str,
        topic_id: bytes,
        partitions: Sequence[tuple[int, int]],
        config: Mapping[str, int | str | bool],
    ) -> TopicChange:
        """Makes logs for (partition, leader epoch), and serves them after the last step. All or
        nothing."""
    def begin_deletion(self, topic: str) -> TopicChange:
        """Stops serving at once (waiting fetches and produces are answered
        UNKNOWN_TOPIC_OR_PARTITION); the steps rename the directories to -delete, which are removed
        later. While a log directory is offline the last step fails: it may have some."""
    def set_topic_config(self, topic: str, config: Mapping[str, int | str | bool]) -> None: ...
    def set_broker_config(self, settings: Mapping[str, int | str | bool]) -> None: ...
    # -- partitions
    def partition_info(self, topic: str, partition: int) -> PartitionInfo: ...
    def partition_infos(self) -> list[PartitionInfo]: ...
    def offset_for_timestamp(
        self, topic: str, partition: int, timestamp_ms: int
    ) -> tuple[int, int, int]:
        """(timestamp, offset, leader epoch); offset -1 when no record is that late."""
    def max_timestamp_offset(self, topic: str, partition: int) -> tuple[int, int, int]: ...
    def epoch_for_offset(self, topic: str, partition: int, offset: int) -> int: ...
    def end_offset_for_epoch(
        self, topic: str, partition: int, leader_epoch: int
    ) -> tuple[int, int]:
        """(leader epoch, end offset) of the largest epoch at or below the one asked for."""
    def append_all(
        self, appends: tuple[_Append, ...], on_late: Callable[[int, int], None]
    ) -> list[int | None]:
        """Appends each as one batch to a partition of this broker, as the leader with acks=all,
        stamped with the time it is now, behind what was appended to that partition before.

        Disks are waited for a millisecond at most, for all of them together. Returns, in their
        order, Kafka's error codes: 0 for what is below the high watermark; None for what is not
        known yet, which `on_late(index, error code)` is told, once, on a native thread (with the
        GIL), perhaps before the return. One that is refused refuses no other:
        UNKNOWN_TOPIC_OR_PARTITION, KAFKA_STORAGE_ERROR, MESSAGE_TOO_LARGE, INVALID_RECORD without
        records, NOT_LEADER_OR_FOLLOWER once the broker stops.

        Records of a producer belong to its transaction, without sequence (-1) and without a look at
        whether the transaction coordinator knows of it. A marker is the control batch
        (EndTxnMarker, KIP-98) that ends the producer's transaction in the partition. From
        transaction version 2 on its epoch must be above that of the transaction's records, unless
        there are none (KIP-1228). INVALID_PRODUCER_EPOCH: the partition has seen a later producer
        epoch, TRANSACTION_COORDINATOR_FENCED: a later coordinator epoch."""
    def mark_verified(
        self,
        producer_id: int,
        producer_epoch: int,
        transactional_id: str,
        partitions: Sequence[tuple[str, int]],
    ) -> None:
        """The transaction coordinator has added the partitions to the producer's transaction, which
        is still to be ended there by a marker: the first Produce with its transactional id need not
        be verified (KIP-890). Partitions that are not here do not matter."""
    def producers(self, topic: str, partition: int) -> list[ProducerInfo]:
        """The producers that the partition remembers, in no order."""
    def read_batches(self, topic: str, partition: int, offset: int, max_bytes: int) -> bytes:
        """Whole batches from the one holding `offset` on, up to the high watermark; b"" at the end.
        At least one batch when there is one. CoreError, with file and position, when one is not
        what its CRC says."""
    def delete_records(self, deletions: Sequence[tuple[str, int, int]]) -> list[tuple[int, int]]:
        """deletions: (topic, partition, offset before which records go; -1: the high watermark).
        Answers, in the same order: (Kafka's error code, the new log start offset or -1). The new
        log starts are on disk at return: may wait for one."""
    def _engine(self) -> object:
        """A capsule of the Engine, for `_sender` and `_reader`; good as long as this object."""
    # -- faults
    def add_request_fault(
        self,
        api_key: int,
        effect: RequestEffect,
        value: int,
        client_id: str | None,
        peer_port: int | None,
        times: int,
    ) -> int:
        """Returns a number for the other calls. See barnabas.testing.broker_faults."""
    def remove_request_fault(self, fault_id: int, /) -> None: ...
    def count_request_fault(self, fault_id: int, /) -> tuple[int, int]:
        """(requests that matched, those that were struck)."""
    # -- observability
    def stats(self) -> dict[str, int]: ...

class Log:
    """The bare segment log of one directory, no broker. Safe with one writer and many readers."""

    def __init__(
        self, path: str, config: Mapping[str, int | str | bool] = ..., read_only: bool = False
    ) -> None: ...
    def append_batch(self, batch: bytes) -> int:
        """Appends one encoded v2 batch; returns its base offset. Errors as for Produce."""
    def read_batches(self, offset: int, max_bytes: int) -> bytes:
        """At most max_bytes from the batch holding `offset` on, the first batch whole at least;
        may end in the middle of a later one. Empty at the end."""
    def offset_for_timestamp(self, timestamp_ms: int) -> tuple[int, int, int]: ...
    def truncate(self, offset: int) -> None: ...
    def flush(self) -> int: ...
    def roll(self) -> None: ...
    def compact(self, dedupe_buffer_bytes: int) -> tuple[int, int, int]:
        """(offset up to which the log is compacted now, records read, records kept)."""
    def close(self) -> None: ...
    @property
    def log_start_offset(self) -> int: ...
    @property
    def log_end_offset(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def segment_count(self) -> int: ...
    @property
    def max_message_bytes(self) -> int: ...
    @property
    def recovery(self) -> RecoveryReport: ...

class LoadPlan:
    """What a LoadGenerator is to do. Times in seconds; partitions and connections are added."""

    threads: int
    warm_up_s: float  # its samples do not count
    duration_s: float  # after the warm-up; 0: until `records`, or until the end offsets
    records: int  # to be sent, or fetched, after the warm-up; 0: no such end
    # -- produce
    rate: float  # records a second over all connections; 0: closed loop, as fast as answers come
    linger_s: float  # open loop: how long a record waits for others of its batch
    in_flight: int  # unanswered requests of one connection
    acks: int  # -1, 0 or 1
    record_size: int  # bytes of a value
    batch_bytes: int  # of a batch before compression, at most
    batch_records: int  # instead of batch_bytes, when above 0
    codec: int  # as for `compress`
    keys: int
    partitions_per_topic: int  # keys are spread over these
    stamped: bool  # values carry their due time, which the plan's consumers read
    # -- consume
    fetch_max_bytes: int
    partition_max_bytes: int
    fetch_min_bytes: int
    fetch_max_wait_ms: int
    repeat: bool  # begins anew at the end offset
    verify: bool  # checks CRCs

    def __init__(self) -> None: ...
    def set_key_distribution(self, name: str) -> None:
        """none, uniform or zipf."""
    def add_partition(
        self, topic: str, partition: int, start_offset: int = 0, end_offset: int = -1
    ) -> int:
        """Returns its index. Consumers read from the start offset to the end offset; -1: until the
        time is over."""
    def add_connection(self, host: str, port: int, consumes: bool, partitions: list[int]) -> None:
        """A connection to the leader of partitions, given by index."""

class LoadCounters:
    """What a LoadGenerator counted so far. "measured" is what was due, or sent, after warm-up."""

    produced_requests: int  # acknowledged
    produced_records: int
    produced_bytes: int  # of batches
    measured_produced_requests: int
    measured_produced_records: int
    measured_produced_bytes: int
    fetched_requests: int
    fetched_records: int
    fetched_bytes: int
    measured_fetched_requests: int
    measured_fetched_records: int
    measured_fetched_bytes: int
    unsent_records: int  # were due, but could not be sent before the end
    last_measured_ns: int  # when the last measured request was answered, monotonic; 0: none was
    failed_requests: int
    corrupt_batches: int
    errors: dict[int, int]  # Kafka's error code -> how often it was answered

class LoadGenerator:
    """Produces to and fetches from any Kafka cluster, in native threads."""

    def __init__(self, plan: LoadPlan) -> None:
        """Prepares the batches."""
    def start(self, connect_timeout_s: float) -> None:
        """Connects and begins."""
    def wait(self, timeout_s: float) -> bool:
        """Whether it is over, after at most that time. Raises what ended it early."""
    def stop(self) -> None:
        """Lets nothing become due any more; it is over once what is under way was answered."""
    def counters(self) -> LoadCounters: ...
    def take_latencies(self) -> bytes:
        """The measured latencies since the last call: HdrHistogram's counts (lowest value 1 ns,
        highest one hour, three digits) as int64 in the machine's order."""
    def usage(self) -> list[tuple[float, float]]:
        """CPU and elapsed seconds of each thread since the warm-up."""
    @property
    def measure_ns(self) -> int:
        """When the warm-up is over: a time.monotonic_ns(). After start()."""
    @property
    def records_per_batch(self) -> int: ...

def latency_index(value_ns: int) -> int:
    """Where in the counts of `take_latencies` a value is."""

def set_log_sink(sink: Callable[[int, str, str], None] | None) -> None:
    """sink(level, component, message) gets the native core's log lines, on a thread of their own.

    Lines that come faster than it takes them are dropped, and one line says how many. Replacing
    the sink, Core.stop() and the end of the interpreter wait until it has the lines so far.
    """

def shape_mismatch(shape: bytes, message: bytes) -> str | None:
    """Why `message` is not what the shape (`protocol.shape`) describes; None when it is."""

def crc32c(data: bytes) -> int: ...
def java_hash(utf16_be: bytes) -> int:
    """`String.hashCode()` of a text's UTF-16 code units, two bytes each, big-endian."""

def decompress(codec: int, data: bytes, limit: int) -> bytes:
    """codec: 0 none, 1 gzip, 2 snappy (both framings), 3 lz4, 4 zstd."""

def compress(codec: int, data: bytes, level: int | None = None) -> bytes: ...

class FileCall:
    """A system call of a file, or of its name."""

    OPEN: FileCall
    WRITE: FileCall
    READ: FileCall
    SEND: FileCall
    TRUNCATE: FileCall
    SYNC: FileCall
    RENAME: FileCall
    UNLINK: FileCall
    MAKE_DIRECTORY: FileCall
    LINK: FileCall
    COPY: FileCall

class FaultEffect:
    """How a call goes wrong, and what `value` of add_fault is then."""

    FAIL: FaultEffect  # errno
    SHORT: FaultEffect  # bytes
    TEAR: FaultEffect  # bytes
    DELAY: FaultEffect  # milliseconds
    HOLD: FaultEffect  # nothing
    KILL_BEFORE: FaultEffect
    KILL_AFTER: FaultEffect

def add_fault(
    call: FileCall, patterns: list[str], effect: FaultEffect, value: int, nth: int, times: int
) -> int:
    """For barnabas.testing.faults; returns its id."""

def remove_fault(id: int) -> None: ...
def count_fault(id: int) -> tuple[int, int]:
    """How many calls matched, and how many were struck."""
