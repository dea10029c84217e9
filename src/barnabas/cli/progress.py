"""A progress bar on stderr when that is a terminal, nothing otherwise."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import rich.progress

_REFRESH_S: Final = 0.1


class Progress:
    """Shows how far a command is; cheap to update after every record."""

    def __init__(self, what: str, total_bytes: int | None, shown: bool = True) -> None:
        self._what = what
        self._total_bytes = total_bytes
        self._next = 0.0
        self._bar: rich.progress.Progress | None = None
        if shown and sys.stderr.isatty():
            self._bar = self._make_bar()
            self._task = self._bar.add_task(what, total=total_bytes, records="")

    def update(self, records: int, done_bytes: int) -> None:
        """Tells how much is done by now."""
        if self._bar is None or (now := time.monotonic()) < self._next:
            return
        self._next = now + _REFRESH_S
        self._bar.update(self._task, completed=done_bytes, records=f"{records:,} records")

    def _make_bar(self) -> "rich.progress.Progress":
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        return Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[records]}"),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
