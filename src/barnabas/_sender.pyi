"""The producer in the broker's own process, as far as every record goes through it."""

from collections.abc import Callable, Generator
from typing import Any

from barnabas._column_input import ColumnInput, Headers, HeadersInput
from barnabas._core import Core

class RecordMetadata:
    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...

class Delivery:
    def done(self) -> bool: ...
    def result(self, timeout: float | None = None) -> RecordMetadata: ...
    def exception(self, timeout: float | None = None) -> Exception | None: ...
    def add_done_callback(self, callback: Callable[[Delivery], object]) -> None: ...
    def __await__(self) -> Generator[Any, None, RecordMetadata]: ...

class Unfinished:
    def done(self) -> bool: ...
    def wait(self, timeout: float | None) -> None: ...

class NativeProducer:
    def __init__(
        self,
        core: Core,
        *,
        codec: int,
        level: int | None,
        batch_size: int,
        linger_ns: int,
        transactional: bool,
    ) -> None: ...
    def send(
        self,
        topic: str,
        value: bytes | str | None,
        key: bytes | str | None = None,
        headers: Headers = (),
        timestamp: int | None = None,
        partition: int | None = None,
    ) -> Delivery: ...
    def flush(self, timeout: float | None = None) -> None: ...
    def _send_columns(
        self,
        topic: str,
        values: ColumnInput,
        keys: ColumnInput,
        headers: HeadersInput | None,
        timestamps: Any,
        timestamp: int | None,
        partition: int | None,
    ) -> tuple[list[tuple[int, int, int]], Unfinished, Any]: ...
    def _begin(self, topic: str, partition: int, producer_id: int, epoch: int) -> int: ...
    def _joined(
        self, topic: str, partition: int, producer_id: int, epoch: int, guard: int
    ) -> None: ...
    def _transaction_error(self) -> Exception | None: ...
    def _leave(self) -> None: ...
    def _close(self) -> None: ...
