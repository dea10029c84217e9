"""What a topic's configuration does to produced records, through unmodified clients."""

import time
from collections.abc import Mapping

import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    OffsetSpec,
    ResourceType,
)

from clients.contract import CODECS, Record, any_records, codecs_on_disk, create_topic
from clients.test_confluent_kafka import ConfluentClient
from clients.test_kafka_python import KafkaPythonClient
from peers.servers import Server

TIMEOUT_S = 30
HOUR_MS = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def alter(server: Server, topic: str, settings: Mapping[str, str]) -> None:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(TIMEOUT_S)


def send(server: Server, topic: str, record: Record) -> KafkaError | Message:
    """The delivered message, or why it was not."""
    producer = Producer({"bootstrap.servers": server.bootstrap, "message.max.bytes": 10_000_000})
    reports: list[KafkaError | Message] = []
    producer.produce(
        topic,
        record.value,
        record.key,
        timestamp=record.timestamp_ms or 0,
        on_delivery=lambda error, message: reports.append(error or message),
    )
    assert producer.flush(TIMEOUT_S) == 0
    return reports[0]


def error_code(report: KafkaError | Message) -> int:
    assert isinstance(report, KafkaError), "the record was taken"
    return report.code()


def test_log_append_time_replaces_what_the_producer_set(server: Server) -> None:
    topic = create_topic(server.bootstrap, config={"message.timestamp.type": "LogAppendTime"})
    before = now_ms()
    report = send(server, topic, Record(b"v", b"k", timestamp_ms=5))
    assert isinstance(report, Message)
    kind, timestamp_ms = report.timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert before <= timestamp_ms <= now_ms()
    (record,) = ConfluentClient().consume(server.bootstrap, topic, 1)
    assert record.timestamp_ms == timestamp_ms
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    for spec, offset in [
        (OffsetSpec.max_timestamp(), 0),
        (OffsetSpec.for_timestamp(timestamp_ms), 0),
        (OffsetSpec.for_timestamp(timestamp_ms + 1), -1),
    ]:
        found = admin.list_offsets({TopicPartition(topic, 0): spec})
        assert next(iter(found.values())).result(TIMEOUT_S).offset == offset


@pytest.mark.parametrize("target", [*CODECS[1:], "uncompressed"])
def test_compression_type_reencodes_what_any_client_sends(server: Server, target: str) -> None:
    topic = create_topic(server.bootstrap, config={"compression.type": target})
    sent: list[Record] = []
    for client, codec in [
        (ConfluentClient(), "lz4"),
        (KafkaPythonClient(idempotent=False), "gzip"),
        (ConfluentClient(), "none"),
    ]:
        client.produce(server.bootstrap, topic, client.records(), codec)
        sent += client.records()
    for reader in (ConfluentClient(), KafkaPythonClient(idempotent=False)):
        assert reader.consume(server.bootstrap, topic, len(sent)) == sent
    on_disk = "none" if target == "uncompressed" else target
    assert codecs_on_disk(server.partition_dir(topic, 0)) == {on_disk}


def test_a_changed_max_message_bytes_takes_effect_at_once(server: Server) -> None:
    topic = create_topic(server.bootstrap)
    large = Record(bytes(1_500_000), b"k")
    assert error_code(send(server, topic, large)) == KafkaError.MSG_SIZE_TOO_LARGE
    alter(server, topic, {"max.message.bytes": "2000000"})
    assert isinstance(send(server, topic, large), Message)
    alter(server, topic, {"max.message.bytes": "1000"})
    assert error_code(send(server, topic, large)) == KafkaError.MSG_SIZE_TOO_LARGE
    (record,) = ConfluentClient().consume(server.bootstrap, topic, 1)
    assert record.value == large.value


def test_a_topic_that_becomes_compacted_asks_for_keys(server: Server) -> None:
    topic = create_topic(server.bootstrap)
    assert isinstance(send(server, topic, Record(b"v")), Message)
    alter(server, topic, {"cleanup.policy": "compact"})
    assert error_code(send(server, topic, Record(b"v"))) == KafkaError.INVALID_RECORD
    assert isinstance(send(server, topic, Record(b"v", b"k")), Message)


def test_timestamps_are_held_to_the_topics_limits(server: Server) -> None:
    limits = {
        "message.timestamp.before.max.ms": str(HOUR_MS),
        "message.timestamp.after.max.ms": "10000",
    }
    topic = create_topic(server.bootstrap, config=limits)
    for distance_ms in (-2 * HOUR_MS, 60_000):
        report = send(server, topic, Record(b"v", timestamp_ms=now_ms() + distance_ms))
        assert error_code(report) == KafkaError.INVALID_TIMESTAMP
    for distance_ms in (-HOUR_MS // 2, 0):
        report = send(server, topic, Record(b"v", timestamp_ms=now_ms() + distance_ms))
        assert isinstance(report, Message)


def test_flushing_every_message_delivers_as_ever(server: Server) -> None:
    topic = create_topic(server.bootstrap, config={"flush.messages": "1"})
    ConfluentClient().produce(server.bootstrap, topic, any_records(), "none")
    count = len(any_records())
    assert ConfluentClient().consume(server.bootstrap, topic, count) == any_records()
