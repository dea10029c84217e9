"""Units of time. Imports nothing."""

from typing import Final

MS_PER_S: Final = 1000
MINUTE_MS: Final = 60 * MS_PER_S
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
