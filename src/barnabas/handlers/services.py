"""What handlers work with: the parts of one broker. Made by `node.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from barnabas.config.broker_config import BrokerConfig
from barnabas.coordinator.group_coordinator import GroupCoordinator
from barnabas.coordinator.txn_coordinator import TransactionCoordinator
from barnabas.disk_calls import DiskCalls
from barnabas.metadata.catalog import BrokerIdentity, Catalog
from barnabas.metadata.config_service import ConfigService
from barnabas.metadata.producer_ids import ProducerIds
from barnabas.metadata.topic_service import TopicService

if TYPE_CHECKING:
    from barnabas._core import Core


@dataclass(slots=True, kw_only=True)
class Services:
    """The parts of a running broker. To be used on the broker loop's thread."""

    core: Core
    disk_calls: DiskCalls
    identity: BrokerIdentity
    catalog: Catalog
    producer_ids: ProducerIds
    config: BrokerConfig
    topics: TopicService
    configs: ConfigService
    groups: GroupCoordinator
    transactions: TransactionCoordinator
