"""aiokafka."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from clients.contract import Client, ClientContract, Member, Record
from clients.members.events import start_python_member

TIMEOUT_S = 30


class AiokafkaClient(Client):
    def produce(self, bootstrap: str, topic: str, records: Sequence[Record], codec: str) -> None:
        asyncio.run(_produce(bootstrap, topic, records, codec))

    def consume(self, bootstrap: str, topic: str, count: int) -> list[Record]:
        async def run() -> list[Record]:
            async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
                partition = TopicPartition(topic, 0)
                consumer.assign([partition])
                await consumer.seek_to_beginning(partition)
                return await _read(consumer, count)

        return asyncio.run(run())

    def consume_since(
        self, bootstrap: str, topic: str, timestamp_ms: int, count: int
    ) -> list[Record]:
        async def run() -> list[Record]:
            async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
                partition = TopicPartition(topic, 0)
                consumer.assign([partition])
                found = await consumer.offsets_for_times({partition: timestamp_ms})
                consumer.seek(partition, found[partition].offset)
                return await _read(consumer, count)

        return asyncio.run(run())

    def consume_in_group(self, bootstrap: str, topic: str, group: str, count: int) -> list[Record]:
        async def run() -> list[Record]:
            consumer = AIOKafkaConsumer(
                topic,
                bootstrap_servers=bootstrap,
                group_id=group,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
            )
            async with consumer:
                records = await _read(consumer, count)
                await consumer.commit()
                return records

        return asyncio.run(run())

    def start_member(self, bootstrap: str, topic: str, group: str, directory: Path) -> Member:
        return start_python_member("aiokafka_member", bootstrap, topic, group, directory)


async def _produce(bootstrap: str, topic: str, records: Sequence[Record], codec: str) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if codec == "none" else codec,
        enable_idempotence=True,
        linger_ms=20,
    )
    async with producer:
        sent = [
            await producer.send(
                topic,
                record.value,
                record.key,
                partition=0,
                timestamp_ms=record.timestamp_ms,
                headers=list(record.headers),
            )
            for record in records
        ]
        await asyncio.wait_for(asyncio.gather(*sent), TIMEOUT_S)


async def _read(consumer: AIOKafkaConsumer, count: int) -> list[Record]:
    records: list[Record] = []
    while len(records) < count:
        message = await asyncio.wait_for(consumer.getone(), TIMEOUT_S)
        records.append(
            Record(message.value, message.key, tuple(message.headers), message.timestamp)
        )
    return records


class TestAiokafka(ClientContract):
    client = AiokafkaClient()
