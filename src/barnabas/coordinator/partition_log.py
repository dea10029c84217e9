"""What a coordinator needs of the native core to read a partition of its topic back."""

from typing import Protocol


class PartitionBounds(Protocol):
    """The part of `barnabas._core.PartitionInfo` that the coordinator needs."""

    @property
    def log_start_offset(self) -> int:
        """Where the log begins."""


class PartitionLog(Protocol):
    """The part of `barnabas._core.Core` that the coordinator needs of a partition."""

    def now_ms(self) -> int:
        """See `Core.now_ms`."""

    def steady_ms(self) -> int:
        """See `Core.steady_ms`."""

    def partition_info(self, topic: str, partition: int) -> PartitionBounds:
        """See `Core.partition_info`."""

    def read_batches(self, topic: str, partition: int, offset: int, max_bytes: int) -> bytes:
        """See `Core.read_batches`."""
