"""TxnOffsetCommit of what does not exist."""

import barnabas
from unit.handlers.test_transactions_api import CONFIG, producer


def test_offsets_of_no_partition_add_nothing_to_the_transaction() -> None:
    with barnabas.Broker(config=CONFIG) as broker, producer(broker, "nothing") as transactions:
        transactions.client.ask("FindCoordinator", 4, key_type=0, coordinator_keys=["nothing"])
        assert transactions.init() == "none"
        item = {"partition_index": 0, "committed_offset": 7, "committed_leader_epoch": -1}
        twice = [{"name": "nowhere", "partitions": [item, item]}]
        error = transactions.commit_offset("nothing", "nowhere", 7, topics=twice)
        assert error == "unknown_topic_or_partition"
        listed = transactions.client.ask("ListTransactions", 0).transaction_states
        assert [(each.transactional_id, each.transaction_state) for each in listed] == [
            ("nothing", "Empty")
        ]
