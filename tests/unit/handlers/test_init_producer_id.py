"""InitProducerId of a broker that is set otherwise than by default."""

import barnabas
from unit.handlers.test_transactions_api import CONFIG, producer


def test_how_long_a_timeout_may_be_is_a_setting() -> None:
    with (
        barnabas.Broker(config={**CONFIG, "transaction.max.timeout.ms": 5000}) as broker,
        producer(broker, "x") as transactions,
    ):
        assert transactions.init(transaction_timeout=5001) == "invalid_transaction_timeout"
        assert transactions.producer_id == -1
        assert transactions.init(transaction_timeout=5000) == "none"
