"""What the coordinators obey, from the broker's settings by Kafka key. Imports the state machines'
configurations.
"""

from collections.abc import Mapping

from barnabas.state.group.config import GroupConfig
from barnabas.state.txn.config import TransactionConfig
from barnabas.state.units import MINUTE_MS

Settings = Mapping[str, int | str | bool]


def group_config(settings: Settings) -> GroupConfig:
    """The groups' configuration."""
    return GroupConfig(
        initial_rebalance_delay_ms=int(settings["group.initial.rebalance.delay.ms"]),
        min_session_timeout_ms=int(settings["group.min.session.timeout.ms"]),
        max_session_timeout_ms=int(settings["group.max.session.timeout.ms"]),
        max_size=int(settings["group.max.size"]),
        offset_metadata_max_bytes=int(settings["offset.metadata.max.bytes"]),
        offsets_retention_ms=int(settings["offsets.retention.minutes"]) * MINUTE_MS,
        retention_check_interval_ms=int(settings["offsets.retention.check.interval.ms"]),
    )


def transaction_config(settings: Settings) -> TransactionConfig:
    """The transactions' configuration."""
    return TransactionConfig(
        max_timeout_ms=int(settings["transaction.max.timeout.ms"]),
        id_expiration_ms=int(settings["transactional.id.expiration.ms"]),
        abort_timed_out_interval_ms=int(
            settings["transaction.abort.timed.out.transaction.cleanup.interval.ms"]
        ),
        remove_expired_interval_ms=int(
            settings["transaction.remove.expired.transaction.cleanup.interval.ms"]
        ),
    )
