"""A group member with kafka-python."""

import signal
import sys
from collections.abc import Iterable

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition

from clients.contract import SESSION_TIMEOUT_MS
from clients.members.events import print_assigned, print_value


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        pass

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        print_assigned(p.partition for p in assigned)


def main(bootstrap: str, topic: str, group: str) -> None:
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=SESSION_TIMEOUT_MS // 6,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    consumer.subscribe([topic], listener=_Listener())
    while not stopping:
        batches = consumer.poll(timeout_ms=100)
        for messages in batches.values():
            for message in messages:
                print_value(message.value)
        if batches:
            consumer.commit()
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
