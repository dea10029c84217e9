"""A batch makes of its columns what is asked for, when it is asked for it."""

import sys

import barnabas

RECORDS = 5_000


def test_objects_are_made_when_they_are_asked_for(broker: barnabas.Broker, topic: str) -> None:
    values = [b"value %d" % number for number in range(RECORDS)]
    keys = [b"key %d" % number for number in range(RECORDS)]
    broker.producer(batch_size=1 << 20).send_many(topic, values, keys).result(5)
    # Once to have what is imported on the way.
    (seen,) = broker.consumer([topic], auto_offset_reset="earliest", timeout=0)
    seen.to_arrow()
    consumer = broker.consumer([topic], auto_offset_reset="earliest")
    before = sys.getallocatedblocks()
    batch = consumer.poll(5)
    assert batch is not None
    assert len(batch) == RECORDS
    assert batch.offsets[-1] == RECORDS - 1
    assert batch.to_arrow().num_rows == RECORDS
    assert sys.getallocatedblocks() - before < RECORDS // 2
    for column, sent in ((batch.values, values), (batch.keys, keys)):
        assert column == sent
    assert sys.getallocatedblocks() - before >= 2 * RECORDS
