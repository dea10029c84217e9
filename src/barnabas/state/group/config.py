"""The broker settings that consumer groups obey, by Kafka's names and with Kafka's defaults."""

from typing import NamedTuple

from barnabas.state.units import DAY_MS, MINUTE_MS

UNLIMITED = 2**31 - 1


class GroupConfig(NamedTuple):
    """The `group.*` and `offsets.*` settings a group consults; durations in milliseconds."""

    initial_rebalance_delay_ms: int = 3_000  # group.initial.rebalance.delay.ms
    min_session_timeout_ms: int = 6_000  # group.min.session.timeout.ms
    max_session_timeout_ms: int = 1_800_000  # group.max.session.timeout.ms
    max_size: int = UNLIMITED  # group.max.size
    offset_metadata_max_bytes: int = 4_096  # offset.metadata.max.bytes
    offsets_retention_ms: int = 7 * DAY_MS  # offsets.retention.minutes
    # How often the driver is to call `GroupShard.expire`.
    retention_check_interval_ms: int = 10 * MINUTE_MS  # offsets.retention.check.interval.ms
