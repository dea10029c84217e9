"""The broker keys of the transaction coordinator and its topic."""

from typing import Final

from barnabas.config.broker_key import broker_key
from barnabas.config.keys import ConfigType, Importance, Key
from barnabas.config.validators import at_least
from barnabas.state.units import DAY_MS, MINUTE_MS


def _number(
    name: str,
    default: int,
    doc: str,
    importance: Importance = Importance.HIGH,
    type_: ConfigType = ConfigType.INT,
    *,
    used: bool = True,
) -> Key:
    """A number above zero."""
    return broker_key(importance, name, type_, default, doc, check=at_least(1), used=used)


TRANSACTION_KEYS: Final = (
    _number(
        "transaction.state.log.replication.factor",
        1,
        "Replicas of __transaction_state: 3, or the number of brokers if that is less.",
        type_=ConfigType.SHORT,
    ),
    _number(
        "transaction.state.log.min.isr",
        1,
        "Replicas of __transaction_state in sync: 2, or the number of brokers if that is less.",
        used=False,
    ),
    _number(
        "transaction.state.log.num.partitions",
        50,
        "Partitions of __transaction_state, when it is created.",
    ),
    _number(
        "transaction.state.log.segment.bytes",
        100 << 20,
        "The segment size of __transaction_state.",
    ),
    _number(
        "transaction.max.timeout.ms",
        15 * MINUTE_MS,
        "The longest transaction timeout a producer may ask for.",
    ),
    _number(
        "transactional.id.expiration.ms",
        7 * DAY_MS,
        "How long a transactional id that nobody uses is known.",
    ),
    _number(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        10_000,
        "How often transactions that have timed out are looked for.",
        Importance.LOW,
    ),
    _number(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        60 * MINUTE_MS,
        "How often transactional ids that have expired are looked for.",
        Importance.LOW,
    ),
)
