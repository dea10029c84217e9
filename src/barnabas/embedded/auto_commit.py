"""When a consumer commits by itself."""

from __future__ import annotations

import time
from typing import Final

from barnabas.arguments import INT32_MAX, check_range
from barnabas.errors import ConfigError

MS_PER_S: Final = 1_000


class AutoCommit:
    """Says when the next commit is due that nobody asks for: `interval_ms` after the one before,
    None for never. Raises ConfigError, TypeError.
    """

    def __init__(self, interval_ms: int | None) -> None:
        self._interval_s = float("inf")
        if interval_ms is not None:
            name = "auto_commit_interval_ms"
            check_range(name, interval_ms, 1, INT32_MAX, error=ConfigError)
            self._interval_s = interval_ms / MS_PER_S
        self.next_at = time.monotonic() + self._interval_s

    @property
    def is_on(self) -> bool:
        """Whether there is ever one."""
        return self._interval_s < float("inf")

    def is_due(self) -> bool:
        """Whether the time has come."""
        return time.monotonic() >= self.next_at

    def note(self) -> None:
        """One is made now."""
        self.next_at = time.monotonic() + self._interval_s
