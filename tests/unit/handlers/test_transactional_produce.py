"""Produce in a transaction, and the coordinator that it is asked of."""

import struct

import pytest

import barnabas
from barnabas._core import crc32c
from barnabas._records import encode_batch
from unit.handlers.test_transactions_api import CONFIG, Transactions, producer
from unit.test_transactions_wire import ATTRIBUTES, CRC, PRODUCER_ID, TRANSACTIONAL_BIT

INVALID_PRODUCER_ID_MAPPING = 49


def produce(sender: Transactions, transactional_id: str, version: int) -> int:
    """Sends its first record under a transactional id, whoever's that is."""
    batch = bytearray(encode_batch([(None, b"value")]))
    struct.pack_into(">h", batch, ATTRIBUTES, TRANSACTIONAL_BIT)
    struct.pack_into(">qhi", batch, PRODUCER_ID, sender.producer_id, sender.epoch, 0)
    struct.pack_into(">I", batch, CRC, crc32c(bytes(batch[ATTRIBUTES:])))
    answer = sender.client.ask(
        "Produce",
        version,
        transactional_id=transactional_id,
        acks=-1,
        timeout=10_000,
        topic_data=[{"name": "t", "partition_data": [{"index": 0, "records": bytes(batch)}]}],
    )
    (partition,) = answer.responses[0].partition_responses
    return int(partition.error_code)


@pytest.mark.parametrize("version", [9, 11, 12])
def test_a_produce_under_the_transactional_id_of_another_is_refused(version: int) -> None:
    with barnabas.Broker(config=CONFIG) as broker:
        broker.create_topic("t")
        with producer(broker, "one") as one, producer(broker, "another") as another:
            assert one.init() == another.init() == "none"
            assert one.add("t", 0, version=3) == ["none"]
            assert produce(one, "another", version) == INVALID_PRODUCER_ID_MAPPING
            assert produce(one, "nobody", version) == INVALID_PRODUCER_ID_MAPPING
            assert produce(one, "one", version) == 0
            assert one.end(commit=True) == "none"
