"""Asks the group handlers as a client would, in any version, without a broker around them."""

import asyncio
import datetime
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import fields, is_dataclass
from io import BytesIO
from types import SimpleNamespace
from typing import Any, get_args

from kio.schema.errors import ErrorCode
from kio.serial import entity_reader, entity_writer

from barnabas.coordinator.group_coordinator import GroupCoordinator
from barnabas.coordinator.hand_over import HandOver
from barnabas.handlers.call import Call
from barnabas.metadata.catalog import BrokerIdentity, Catalog
from barnabas.metadata.internal_topic import InternalTopic
from barnabas.metadata.records import PartitionRecord, TopicRecord
from barnabas.protocol.apis import APIS
from barnabas.protocol.codec import codec_for, schema_class
from barnabas.state.group.config import GroupConfig
from unit.coordinator.fake_log import FakeLog, FakeOffsetsTopic

API_BY_NAME = {api.name: api for api in APIS}
TOPIC_ID = uuid.UUID(int=7)
CONFIG = GroupConfig(initial_rebalance_delay_ms=0)


def versions(name: str) -> range:
    api = API_BY_NAME[name]
    return range(api.min_version, api.max_version + 1)


class OffsetsTopic(FakeOffsetsTopic):
    """As in a broker, but for its own partitions."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__(exists=False)
        service: Any = None  # makes topics
        self.topic = InternalTopic("__consumer_offsets", service, catalog)

    def topic_id(self, topic: str) -> bytes | None:
        return self.topic.topic_id(topic)

    def partition_error(self, topic: str, partition: int, topic_id: bytes) -> ErrorCode:
        return self.topic.partition_error(topic, partition, topic_id)


class GroupBroker:
    """The group APIs over a log in memory, with one topic "t" of two partitions."""

    def __init__(self, config: GroupConfig = CONFIG) -> None:
        self.log = FakeLog()
        self.catalog = Catalog()
        self.offsets_topic = OffsetsTopic(self.catalog)
        self.add_topic("t", TOPIC_ID)
        self.groups = GroupCoordinator(
            self.log, HandOver(self.log, asyncio.get_running_loop()), config, self.offsets_topic
        )
        self.services: Any = SimpleNamespace(
            catalog=self.catalog,
            groups=self.groups,
            identity=BrokerIdentity(node_id=1, cluster_id="c", host="broker.test", port=9092),
        )

    def add_topic(self, name: str, topic_id: uuid.UUID) -> None:
        partitions = tuple(PartitionRecord(partition, 0, (1,)) for partition in range(2))
        self.catalog.put(TopicRecord(name, topic_id.bytes, partitions))

    async def ask(self, name: str, version: int, **values: Any) -> Any:
        """The response entity. Fields that the version lacks are left out of the request."""
        api = API_BY_NAME[name]
        codec = codec_for(api, version)
        request_type = schema_class(api, version, "request")
        buffer = BytesIO()
        entity_writer(request_type)(buffer, _build(request_type, values))
        body = (b"\0" if request_type.__flexible__ else b"") + buffer.getvalue()
        call = Call(
            codec,
            version,
            codec.decode(body),
            client_id="client",
            peer_host="10.0.0.1",
            services=self.services,
        )
        module = __import__(api.handler, fromlist=["handle"])
        response = module.handle(call)
        data = response if isinstance(response, bytes) else await response
        entity, end = entity_reader(schema_class(api, version, "response"))(data, 0)
        assert end == len(data)
        return entity


def _build(entity_type: Any, values: dict[str, Any]) -> Any:
    known = {}
    for field in fields(entity_type):
        if field.name not in values:
            continue
        value = values[field.name]
        if isinstance(value, list):
            inner = next((arg for arg in _arguments(field.type) if is_dataclass(arg)), None)
            value = tuple(_build(inner, item) if inner else item for item in value)
        if field.metadata.get("kafka_type", "").startswith("timedelta"):
            value = datetime.timedelta(milliseconds=value)
        known[field.name] = value
    return entity_type(**known)


def _arguments(annotation: Any) -> list[Any]:
    found = [annotation]
    for argument in get_args(annotation):
        found += _arguments(argument)
    return found


def run(scenario: Callable[[GroupBroker], Awaitable[None]], config: GroupConfig = CONFIG) -> None:
    async def bounded() -> None:
        broker = GroupBroker(config)
        await broker.groups.start()
        await asyncio.wait_for(scenario(broker), 20)
        await broker.groups.stop()

    asyncio.run(bounded())


def join_fields(group: str = "g", member_id: str = "", **more: Any) -> dict[str, Any]:
    return {
        "group_id": group,
        "session_timeout": 30_000,
        "rebalance_timeout": 30_000,
        "member_id": member_id,
        "group_instance_id": None,
        "protocol_type": "consumer",
        "protocols": [{"name": "range", "metadata": b"meta"}],
        "reason": None,
        **more,
    }


async def join(broker: GroupBroker, version: int = 9, **more: Any) -> Any:
    """Joins as a client does, with the second request that newer versions need."""
    joined = await broker.ask("JoinGroup", version, **join_fields(**more))
    if joined.error_code.name == "member_id_required":
        more["member_id"] = joined.member_id
        joined = await broker.ask("JoinGroup", version, **join_fields(**more))
    return joined


async def sync(broker: GroupBroker, joined: Any, version: int = 5, **more: Any) -> Any:
    values: dict[str, Any] = {
        "group_id": "g",
        "generation_id": joined.generation_id,
        "member_id": joined.member_id,
        "group_instance_id": None,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "assignments": [{"member_id": joined.member_id, "assignment": b"share"}],
        **more,
    }
    return await broker.ask("SyncGroup", version, **values)


def commit_fields(offset: int, **more: Any) -> dict[str, Any]:
    partition = {
        "partition_index": more.pop("partition", 0),
        "committed_offset": offset,
        "committed_leader_epoch": 3,
        "committed_metadata": more.pop("metadata", "note"),
    }
    topic = {
        "name": more.pop("topic", "t"),
        "topic_id": more.pop("topic_id", TOPIC_ID),
        "partitions": [partition],
    }
    return {
        "group_id": "g",
        "generation_id_or_member_epoch": -1,
        "member_id": "",
        "group_instance_id": None,
        "retention_time": -1,
        "topics": [topic],
        **more,
    }


async def commit(broker: GroupBroker, offset: int, version: int = 9, **more: Any) -> Any:
    """The error of the one partition."""
    response = await broker.ask("OffsetCommit", version, **commit_fields(offset, **more))
    return response.topics[0].partitions[0].error_code


async def fetch(broker: GroupBroker, version: int = 9, **more: Any) -> Any:
    """The response for the group "g": for batched versions, that of the group."""
    topic = {"name": "t", "topic_id": TOPIC_ID, "partition_indexes": [0, 1], **more}
    group = {"group_id": "g", "member_id": None, "topics": [topic]}
    response = await broker.ask("OffsetFetch", version, **group, groups=[group])
    return response.groups[0] if version >= 8 else response
