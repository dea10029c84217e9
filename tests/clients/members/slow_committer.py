"""A member that reads one record, says so, and commits it only after SIGUSR1."""

import signal
import sys
import threading

from confluent_kafka import Consumer, KafkaException, TopicPartition

from clients.contract import SESSION_TIMEOUT_MS
from clients.members.events import print_assigned, print_event, print_value


def main(bootstrap: str, topic: str, group: str) -> None:
    may_commit = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: may_commit.set())
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
    message = None
    while message is None:
        message = consumer.poll(0.1)
    value = message.value()
    assert isinstance(value, bytes)
    print_value(value)
    may_commit.wait()
    try:
        consumer.commit(message=message, asynchronous=False)
        print_event(commit="ok")
    except KafkaException as error:
        print_event(commit=error.args[0].name())


if __name__ == "__main__":
    main(*sys.argv[1:4])
