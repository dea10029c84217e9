"""confluent-kafka (librdkafka)."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from clients.contract import Client, ClientContract, Header, Member, Record
from clients.members.events import start_python_member

TIMEOUT_S = 30


class ConfluentClient(Client):
    def produce(self, bootstrap: str, topic: str, records: Sequence[Record], codec: str) -> None:
        producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "compression.type": codec,
                "linger.ms": 50,
                "enable.idempotence": True,
            }
        )
        errors: list[object] = []

        def on_delivery(error: object, _: Message) -> None:
            if error is not None:
                errors.append(error)

        for record in records:
            producer.produce(
                topic,
                record.value,
                record.key,
                partition=0,
                headers=list(record.headers),
                timestamp=record.timestamp_ms or 0,
                on_delivery=on_delivery,
            )
        assert producer.flush(TIMEOUT_S) == 0
        assert errors == []

    def consume(self, bootstrap: str, topic: str, count: int) -> list[Record]:
        consumer = _consumer(bootstrap, f"unused-{uuid.uuid4()}")
        consumer.assign([TopicPartition(topic, 0, 0)])
        return _read(consumer, count)

    def consume_since(
        self, bootstrap: str, topic: str, timestamp_ms: int, count: int
    ) -> list[Record]:
        consumer = _consumer(bootstrap, f"unused-{uuid.uuid4()}")
        wanted = [TopicPartition(topic, 0, timestamp_ms)]
        consumer.assign(consumer.offsets_for_times(wanted, timeout=TIMEOUT_S))
        return _read(consumer, count)

    def consume_in_group(self, bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
        consumer = _consumer(bootstrap, group)
        consumer.subscribe([topic])
        return _read(consumer, count, commit=True)

    def start_member(self, bootstrap: str, topic: str, group: str, directory: Path) -> Member:
        return start_python_member("confluent_member", bootstrap, topic, group, directory)


def _consumer(bootstrap: str, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "check.crcs": True,
        }
    )


def _read(consumer: Consumer, count: int, *, commit: bool = False) -> list[Record]:
    records: list[Record] = []
    while len(records) < count:
        messages = consumer.consume(count - len(records), TIMEOUT_S)
        assert messages, f"{len(records)} of {count} records in time"
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            records.append(_record(message))
        if commit:
            consumer.commit(message=messages[-1], asynchronous=False)
    consumer.close()
    return records


def _record(message: Message) -> Record:
    value, key = message.value(), message.key()
    assert not isinstance(value, str)
    assert not isinstance(key, str)
    headers = cast("list[Header]", message.headers() or [])
    return Record(value, key, tuple(headers), message.timestamp()[1])


class TestConfluentKafka(ClientContract):
    client = ConfluentClient()
