"""`Broker.producer()`: a producer in the broker's own process."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

from kio.schema.errors import ErrorCode

from barnabas._records import BATCH_SIZE, CODEC_NAMES
from barnabas._sender import NativeProducer, Unfinished
from barnabas.arguments import (
    INT32_MAX,
    check_choice,
    check_integer,
    check_number,
    check_optional_names,
    check_range,
    check_timeout,
)
from barnabas.bulk import records_input
from barnabas.closing import AsyncClosing
from barnabas.errors import BarnabasError, BrokerClosed, ConfigError, KafkaError
from barnabas.metadata.catalog import is_internal
from barnabas.wording import counted

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime

    from barnabas.embedded.host import Host
    from barnabas.embedded.transaction import Transaction, TransactionalId

logger = logging.getLogger(__name__)

LINGER_MS: Final = 5
LINGER_MS_MAX: Final = INT32_MAX
BATCH_SIZE_MAX: Final = 1 << 30
TRANSACTION_TIMEOUT_MS: Final = 60_000
NS_PER_MS: Final = 1_000_000
# compression.*.level of Kafka's producers; -1 is gzip's own default.
_LEVELS: Final = {"gzip": (1, 9), "lz4": (1, 17), "zstd": (-131072, 22)}


class BulkDelivery:
    """What became of a `send_many`: all its records are in the log already, or where a batch was
    refused those before it, which stay there.

    `spans` are (partition, base offset, count), in the order of writing: where the records went.
    """

    __slots__ = ("_error", "_unfinished", "spans")

    def __init__(
        self,
        spans: list[tuple[int, int, int]],
        unfinished: Unfinished,
        error: BarnabasError | None,
    ) -> None:
        self.spans = spans
        self._unfinished = unfinished
        self._error = error

    def __len__(self) -> int:
        """How many records were written."""
        return sum(count for _, _, count in self.spans)

    def __repr__(self) -> str:
        state = "done" if self.done() else "pending"
        if self._error is not None:
            state = f"then {self._error!r}"
        return f"<barnabas.BulkDelivery of {counted(len(self), 'record')}, {state}>"

    def done(self) -> bool:
        """Whether all is as durable as the topic wants it."""
        return self._error is not None or self._unfinished.done()

    def result(self, timeout: float | None = None) -> list[tuple[int, int, int]]:
        """The spans, once all is durable. Raises KafkaError when a batch was refused, BrokerClosed
        when the producer was closed meanwhile: `spans` has what was written before it; TimeoutError
        after `timeout` seconds.
        """
        timeout = check_timeout(timeout)
        if self._error is not None:
            raise self._error
        self._unfinished.wait(timeout)
        return self.spans

    def __await__(self) -> Generator[Any, None, list[tuple[int, int, int]]]:
        if self._error is not None:
            raise self._error
        yield from self._unfinished.__await__()
        return self.spans


class Producer(NativeProducer, AsyncClosing):
    """Sends records to the topics of its broker. Safe to use from several threads.

    `linger_ms`: how long a batch that is not full waits for more records, unless somebody waits for
    one of them. `batch_size`: bytes of a batch at most, before compression. `compression_type`:
    none, gzip, snappy, lz4 or zstd; `compression_level`: 1 to 9 for gzip, 1 to 17 for lz4, -131072
    to 22 for zstd, the codec's own by default. With a `transactional_id` records are sent within
    `transaction()` only.

    There is no idempotence to be switched on: nothing is sent twice where nothing can get lost.
    """

    def __init__(
        self,
        host: Host,
        *,
        linger_ms: float = LINGER_MS,
        batch_size: int = BATCH_SIZE,
        compression_type: str = "none",
        compression_level: int | None = None,
        transactional_id: str | None = None,
        transaction_timeout_ms: int = TRANSACTION_TIMEOUT_MS,
    ) -> None:
        check_choice("compression_type", compression_type, CODEC_NAMES)
        if compression_level is not None:
            check_integer("compression_level", compression_level, "an int or None")
            _check_level(compression_type, compression_level)
        check_number("linger_ms", linger_ms)
        check_integer("batch_size", batch_size)
        check_optional_names(transactional_id=transactional_id)
        check_integer("transaction_timeout_ms", transaction_timeout_ms)
        if not 0 <= linger_ms <= LINGER_MS_MAX:  # nor nan
            raise ConfigError(f"linger_ms {linger_ms} is not within 0 and {LINGER_MS_MAX}")
        if not 0 <= batch_size <= BATCH_SIZE_MAX:
            raise ConfigError(f"batch_size {batch_size} is not within 0 and {BATCH_SIZE_MAX}")
        if transactional_id == "":
            raise ConfigError("transactional_id is empty")
        if transactional_id is not None:
            limit = "transaction.max.timeout.ms"
            check_range(
                "transaction_timeout_ms",
                transaction_timeout_ms,
                1,
                host.services.config.integer(limit),
                error=ConfigError,
                says=f"the broker's {limit}",
            )
        super().__init__(
            host.services.core,
            codec=CODEC_NAMES.index(compression_type),
            level=compression_level,
            batch_size=batch_size,
            linger_ns=int(linger_ms * NS_PER_MS),
            transactional=transactional_id is not None,
        )
        self._host = host
        self._beginning = threading.Lock()  # of a transaction
        self._transaction: Transaction | None = None
        self._transactional_id: TransactionalId | None = None
        if transactional_id is not None:
            from barnabas.embedded.transaction import TransactionalId

            self._transactional_id = TransactionalId(host, transactional_id, transaction_timeout_ms)

    def send_many(
        self,
        topic: str,
        values: Any,
        keys: Any = None,
        *,
        headers: Any = None,
        timestamps: Any = None,
        timestamp: int | datetime | None = None,
        partition: int | None = None,
    ) -> BulkDelivery:
        """Sends a column of records, and writes them before it returns.

        `values` and `keys` are what `barnabas.bulk` lists: lists of bytes or str, numpy
        and Arrow arrays, (offsets, data) pairs; a table as `values` (a pyarrow RecordBatch or
        Table, polars' or pandas' DataFrame) has columns of the names value, key, headers and
        timestamp. `headers` are (str, bytes, str or
        None) pairs, or a mapping, of every record; or a sequence of such, one a record; or Arrow's
        lists, or polars' or pandas' column of them. `timestamps` are one a record (times are
        rounded down to the ms); or `timestamp` is one for all, as `send` takes it; now by default.
        Raises TypeError and ValueError before anything is written; what a batch is refused for is
        the BulkDelivery's.
        """
        records = records_input(values, keys, headers, timestamps)
        return BulkDelivery(*self._send_columns(topic, records, timestamp, partition))

    # -- transactions

    def transaction(self) -> Transaction:
        """Begins a transaction: a context that commits, or aborts when an exception leaves it. All
        threads send within it. Raises BrokerClosed; KafkaError when the one before could not be
        ended, and cannot be: PRODUCER_FENCED once one was refused because another producer has the
        transactional id.
        """
        from barnabas.embedded.transaction import Transaction

        if self._transactional_id is None:
            raise ValueError("a producer without transactional_id has no transactions")
        with self._beginning:
            self._check_open()
            if self._transaction is not None:
                raise ValueError("the transaction before is still open")
            # One that could not be ended must not go on as this one.
            self._transactional_id.end(is_commit=False)
            self._transactional_id.check_not_fenced()
            self._transaction = Transaction(self, self._transactional_id)
            return self._transaction

    def _is_in(self, transaction: Transaction) -> bool:
        return self._transaction is transaction

    def _end_transaction(self, transaction: Transaction) -> None:
        if self._is_in(transaction):
            self._leave()
            self._transaction = None

    def _join(self, topic: str, partition: int) -> None:
        transaction = self._transaction
        if transaction is None:
            raise KafkaError(
                ErrorCode.invalid_txn_state, "a transactional producer sends within transaction()"
            )
        transaction._join(topic, partition)

    # -- topics

    def _admit(self, topic: str) -> None:
        if is_internal(topic):
            raise KafkaError(ErrorCode.invalid_topic_exception, f"{topic} is the broker's own")

    def _missing_topic(self, topic: str) -> None:
        """Makes the topic, if `auto.create.topics.enable` allows it."""
        services = self._host.services

        async def create() -> None:
            if not services.config.boolean("auto.create.topics.enable"):
                return
            error = (await services.topics.auto_create([topic]))[topic]
            if error is not None and error.code is not ErrorCode.topic_already_exists:
                raise error

        self._host.call(create)

    # -- life

    def close(self) -> None:
        """Aborts an open transaction, writes what was sent, and waits until callbacks of what is
        done have been called (in a callback: but for these). Nothing is taken any more then. May be
        repeated; in a forked child it does nothing.
        """
        if not self._is_ours():
            return
        try:
            transaction = self._transaction
            if transaction is not None:
                transaction.abort()
        except KafkaError as error:
            logger.warning("a transaction is left to its timeout: %s", error)
        finally:
            self._close()

    def __repr__(self) -> str:
        name = self._transactional_id
        try:
            self._check_open()
            state = "open"
        except BrokerClosed:
            state = "closed"
        return f"<barnabas.Producer{'' if name is None else f' of {name}'}, {state}>"


def _check_level(compression_type: str, level: int) -> None:
    if compression_type not in _LEVELS:
        raise ConfigError(f"compression_level {level}: {compression_type} has no levels")
    lowest, highest = _LEVELS[compression_type]
    if not (lowest <= level <= highest or (compression_type == "gzip" and level == -1)):
        raise ConfigError(
            f"compression_level {level} of {compression_type} is not within {lowest} and {highest}"
        )
