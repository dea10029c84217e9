"""A group member with confluent-kafka."""

import signal
import sys

from confluent_kafka import Consumer, KafkaException, TopicPartition

from clients.contract import SESSION_TIMEOUT_MS
from clients.members.events import print_assigned, print_value


def main(bootstrap: str, topic: str, group: str) -> None:
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "session.timeout.ms": SESSION_TIMEOUT_MS,
            "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 6,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )

    def on_assign(_: Consumer, partitions: list[TopicPartition]) -> None:
        print_assigned(p.partition for p in partitions)

    consumer.subscribe([topic], on_assign=on_assign)
    while not stopping:
        message = consumer.poll(0.1)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        value = message.value()
        assert isinstance(value, bytes)
        print_value(value)
        consumer.commit(message=message, asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
