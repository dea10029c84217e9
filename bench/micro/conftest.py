"""The control plane without its sockets: real parts over a directory, requests as bytes."""

import asyncio
import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from barnabas._core import Core
from barnabas.config.start import StartConfig, make_start_config
from barnabas.coordinator.group_coordinator import GroupCoordinator
from barnabas.coordinator.hand_over import HandOver
from barnabas.coordinator.settings import group_config, transaction_config
from barnabas.coordinator.txn_coordinator import TransactionCoordinator
from barnabas.disk_calls import DiskCalls
from barnabas.handlers.call import Call
from barnabas.handlers.services import Services
from barnabas.metadata.catalog import BrokerIdentity, Catalog
from barnabas.metadata.config_service import ConfigService
from barnabas.metadata.internal_topic import InternalTopic
from barnabas.metadata.producer_ids import ProducerIds
from barnabas.metadata.sqlite import FILE_NAME, SqliteStore
from barnabas.metadata.topic_plans import NewTopic
from barnabas.metadata.topic_service import TopicService
from barnabas.protocol.apis import APIS
from barnabas.protocol.codec import codec_for
from barnabas.state.internal_topics import CONSUMER_OFFSETS, TRANSACTION_STATE
from unit.wire import is_flexible, request_message

API_BY_NAME = {api.name: api for api in APIS}
SETTINGS = {"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "4"}


class ControlPlane:
    """Every API but Produce and Fetch, as the broker loop serves them."""

    def __init__(self, start: StartConfig) -> None:
        self._loop = asyncio.new_event_loop()
        config = start.config
        self._core = Core(config.core_settings())
        (directory,) = self._core.open_directories([str(start.data_dir)], "bench", 1)
        self._core.load_partitions([], {})
        self._store = SqliteStore(start.data_dir / FILE_NAME)
        catalog = Catalog()
        self._disk_calls = DiskCalls()
        self._topics = TopicService(
            core=self._core,
            disk_calls=self._disk_calls,
            store=self._store,
            catalog=catalog,
            config=config,
            on_deleted=self._on_topics_deleted,
        )
        hand_over = HandOver(self._core, self._loop)
        self._groups = GroupCoordinator(
            core=self._core,
            hand_over=hand_over,
            config=group_config(config.core_settings()),
            offsets_topic=InternalTopic(CONSUMER_OFFSETS, self._topics, catalog),
        )
        producer_ids = ProducerIds(self._store, self._disk_calls)
        transactions = TransactionCoordinator(
            core=self._core,
            hand_over=hand_over,
            config=transaction_config(config.core_settings()),
            topic=InternalTopic(TRANSACTION_STATE, self._topics, catalog),
            producer_ids=producer_ids,
            groups=self._groups,
        )
        self._services = Services(
            core=self._core,
            disk_calls=self._disk_calls,
            identity=BrokerIdentity(1, directory.cluster_id, "localhost", 9092),
            catalog=catalog,
            producer_ids=producer_ids,
            config=config,
            topics=self._topics,
            configs=ConfigService(
                store=self._store,
                catalog=catalog,
                config=config,
                topics=self._topics,
                disk_calls=self._disk_calls,
            ),
            groups=self._groups,
            transactions=transactions,
        )
        self._loop.run_until_complete(self._groups.start())

    def _on_topics_deleted(self, topics: Iterable[str]) -> None:
        self._groups.on_topics_deleted(topics)

    def close(self) -> None:
        self._loop.run_until_complete(self._topics.stop())
        self._loop.run_until_complete(self._groups.stop())
        self._disk_calls.shutdown()
        self._core.stop(0)
        self._store.close()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def create_topics(self, count: int, partitions: int) -> None:
        """Makes topic-0, topic-1, …"""
        topics = [
            NewTopic(name=f"topic-{number}", partition_count=partitions) for number in range(count)
        ]
        results = self._loop.run_until_complete(self._topics.create(topics))
        assert not any(isinstance(result, Exception) for result in results)

    def prepare(
        self, name: str, version: int, *, waits: bool = False, **values: Any
    ) -> Callable[[], bytes]:
        """What answers such a request: bytes to request, handler, bytes of the answer.

        A handler that `waits` runs in the loop, which costs some microseconds.
        """
        api = API_BY_NAME[name]
        codec = codec_for(api, version)
        handle = importlib.import_module(api.handler).handle
        tags = b"\0" if is_flexible(api, version) else b""
        body = tags + request_message(api, version, values)

        def respond() -> Any:
            call = Call(
                codec,
                version,
                codec.decode(body),
                client_id="bench",
                peer_host="127.0.0.1",
                services=self._services,
            )
            return handle(call)

        async def wait() -> bytes:
            response = respond()
            return response if isinstance(response, bytes) else await response

        def answer() -> bytes:
            message = self._loop.run_until_complete(wait()) if waits else respond()
            return codec.frame(1, message)

        return answer


@pytest.fixture
def control_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    settings = {"listeners": "PLAINTEXT://127.0.0.1:0", **SETTINGS}
    plane = ControlPlane(make_start_config([("bench", settings)], data_dirs=[tmp_path]))
    yield plane
    plane.close()
