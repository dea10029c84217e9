"""A group member with aiokafka."""

import asyncio
import signal
import sys
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from clients.contract import SESSION_TIMEOUT_MS
from clients.members.events import print_assigned, print_value


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        pass

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        print_assigned(p.partition for p in assigned)


async def main(bootstrap: str, topic: str, group: str) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=SESSION_TIMEOUT_MS // 6,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    consumer.subscribe([topic], listener=_Listener())
    await consumer.start()
    while not stopping.is_set():
        batches = await consumer.getmany(timeout_ms=100)
        for partition, messages in batches.items():
            for message in messages:
                print_value(message.value)
            await consumer.commit({partition: messages[-1].offset + 1})
    await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
