"""A network client: sends numbered records for so many seconds and reads them back.

client.py SERVERS TOPIC FIRST_NUMBER SECONDS        prints the number after the last one
"""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition

RECORD_BYTES = 200
TIMEOUT_S = 60


def main(servers: str, topic: str, first: int, seconds: float) -> int:
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "network",
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": 500,
        }
    )
    partition = TopicPartition(topic, 0)
    _, end = consumer.get_watermark_offsets(partition, timeout=TIMEOUT_S)
    assert end >= first, (end, first)
    consumer.subscribe([topic], on_assign=lambda c, _: c.assign([TopicPartition(topic, 0, end)]))
    number = read = first
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline or read < number:
        if time.monotonic() < deadline:
            for _ in range(50):
                producer.produce(topic, b"%016d" % number + bytes(RECORD_BYTES - 16))
                number += 1
        assert producer.flush(TIMEOUT_S) == 0
        assert time.monotonic() < deadline + TIMEOUT_S, (read, number)
        for message in consumer.consume(500, timeout=0.05):
            assert message.error() is None, message.error()
            value = message.value()
            assert value is not None
            assert int(value[:16]) == read, (value[:16], read)
            read += 1
    consumer.close()
    return number


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
