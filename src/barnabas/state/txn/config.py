"""The broker settings that transactions obey, by Kafka's names and with Kafka's defaults."""

from typing import NamedTuple

from barnabas.state.units import DAY_MS, MINUTE_MS


class TransactionConfig(NamedTuple):
    """The `transaction.*` and `transactional.*` settings; durations in milliseconds."""

    max_timeout_ms: int = 15 * MINUTE_MS  # transaction.max.timeout.ms
    id_expiration_ms: int = 7 * DAY_MS  # transactional.id.expiration.ms
    # How often the driver is to look for transactions that have timed out:
    # transaction.abort.timed.out.transaction.cleanup.interval.ms
    abort_timed_out_interval_ms: int = 10_000
    # How often the driver is to call `TransactionShard.expire`:
    # transaction.remove.expired.transaction.cleanup.interval.ms
    remove_expired_interval_ms: int = 60 * MINUTE_MS
