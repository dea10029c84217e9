"""kafka-python."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

from clients.contract import Client, ClientContract, Member, Record, any_records
from clients.members.events import start_python_member

TIMEOUT_S = 30


class KafkaPythonClient(Client):
    def __init__(self, *, idempotent: bool = True) -> None:
        self.idempotent = idempotent

    def records(self) -> list[Record]:
        """Without headers that have no value, which it refuses."""
        return [
            replace(record, headers=tuple(h for h in record.headers if h[1] is not None))
            for record in any_records()
        ]

    def produce(self, bootstrap: str, topic: str, records: Sequence[Record], codec: str) -> None:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=self.idempotent,
            linger_ms=20,
        )
        sent = [
            producer.send(
                topic,
                record.value,
                record.key,
                partition=0,
                timestamp_ms=record.timestamp_ms,
                headers=list(record.headers),
            )
            for record in records
        ]
        for future in sent:
            future.get(TIMEOUT_S)
        producer.close()

    def consume(self, bootstrap: str, topic: str, count: int) -> list[Record]:
        consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=TIMEOUT_S * 1000)
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        return _read(consumer, count)

    def consume_since(
        self, bootstrap: str, topic: str, timestamp_ms: int, count: int
    ) -> list[Record]:
        consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=TIMEOUT_S * 1000)
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        found = consumer.offsets_for_times({partition: timestamp_ms})
        consumer.seek(partition, found[partition].offset)
        return _read(consumer, count)

    def consume_in_group(self, bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
        consumer = KafkaConsumer(
            topic,
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            consumer_timeout_ms=TIMEOUT_S * 1000,
        )
        return _read(consumer, count, commit=TopicPartition(topic, 0))

    def start_member(self, bootstrap: str, topic: str, group: str, directory: Path) -> Member:
        return start_python_member("kafka_python_member", bootstrap, topic, group, directory)


def _read(
    consumer: KafkaConsumer, count: int, commit: TopicPartition | None = None
) -> list[Record]:
    records = []
    for message in consumer:
        records.append(
            Record(message.value, message.key, tuple(message.headers), message.timestamp)
        )
        if len(records) == count:
            if commit is not None:
                consumer.commit({commit: OffsetAndMetadata(message.offset + 1, "", -1)})
            break
    consumer.close()
    return records


class TestKafkaPython(ClientContract):
    client = KafkaPythonClient()
