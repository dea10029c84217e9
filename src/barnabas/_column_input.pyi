"""Columns of records as their owners have them, read in place by the native core."""

from collections.abc import Iterable, Iterator, Mapping

from typing_extensions import Buffer

Headers = Iterable[tuple[str, bytes | str | None]] | Mapping[str, bytes | str | None]

class ColumnInput:
    def __len__(self) -> int: ...
    @staticmethod
    def of_nulls(size: int) -> ColumnInput: ...
    @staticmethod
    def of_objects(objects: Iterable[bytes | str | None], what: str) -> ColumnInput: ...
    @staticmethod
    def of_fixed(
        data: Buffer, width: int, first: int, size: int, validity: Buffer | None, padded: bool
    ) -> ColumnInput: ...
    @staticmethod
    def of_offsets(
        offsets: Buffer,
        data: Buffer | None,
        wide: bool,
        first: int,
        size: int,
        validity: Buffer | None,
    ) -> ColumnInput: ...
    @staticmethod
    def of_views(
        views: Buffer, buffers: Iterable[Buffer], first: int, size: int, validity: Buffer | None
    ) -> ColumnInput: ...

class HeadersInput:
    def __len__(self) -> int: ...
    @property
    def is_each(self) -> bool: ...
    @staticmethod
    def of_all(pairs: Headers) -> HeadersInput: ...
    @staticmethod
    def of_each(records: Iterable[Headers | None]) -> HeadersInput: ...
    @staticmethod
    def of_lists(
        names: ColumnInput,
        values: ColumnInput,
        offsets: Buffer,
        wide: bool,
        first: int,
        size: int,
        validity: Buffer | None,
    ) -> HeadersInput: ...

class RecordsInput:
    def __init__(
        self,
        values: ColumnInput,
        keys: ColumnInput | None,
        headers: HeadersInput | None,
        timestamps: Buffer | None,
    ) -> None: ...
    def __len__(self) -> int: ...
    def check_one_time(self, name: str, given: object) -> None: ...
    def batches(self, *, timestamp_ms: int, codec: int, limit_bytes: int) -> Iterator[bytes]: ...
