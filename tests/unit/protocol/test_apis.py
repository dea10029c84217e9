"""The registry: what is advertised is what is served."""

import importlib

import pytest

import barnabas
from barnabas.protocol.apis import APIS, Api
from unit.wire import WireClient

# What Apache Kafka 4.3 advertises to clients for the APIs that we have.
KAFKA_4_3 = (
    "0:0-13 1:4-18 2:1-11 3:0-13 8:2-10 9:1-10 10:0-6 11:0-9 12:0-4 13:0-5 14:0-5 15:0-6 16:0-5 "
    "18:0-4 19:2-7 20:1-6 21:0-2 22:0-5 23:2-4 24:0-5 25:0-4 26:0-5 27:1-2 28:0-5 32:1-4 33:0-2 "
    "34:1-2 35:1-5 37:0-3 42:0-2 44:0-1 47:0-0 60:0-2 61:0-0 65:0-0 66:0-2 74:0-1 75:0-0"
)


def test_every_version_that_apache_kafka_advertises_is_in_the_table() -> None:
    ours = " ".join(f"{api.key}:{api.min_version}-{api.max_version}" for api in APIS)
    assert ours == KAFKA_4_3


@pytest.mark.parametrize("api", [api for api in APIS if not api.is_native], ids=lambda a: a.name)
def test_every_handler_is_there(api: Api) -> None:
    module = importlib.import_module(api.handler)
    assert callable(module.handle)


def test_api_versions_lists_the_table(broker: barnabas.Broker) -> None:
    with WireClient(broker.bootstrap_servers) as client:
        for version in range(5):
            answer = client.ask(
                "ApiVersions", version, client_software_name="t", client_software_version="1"
            )
            ranges = [(k.api_key, k.min_version, k.max_version) for k in answer.api_keys]
            assert answer.error_code == 0
            assert ranges == [(a.key, a.min_version, a.max_version) for a in APIS]


def test_transactions_are_finalized_at_the_level_that_is_served(broker: barnabas.Broker) -> None:
    with WireClient(broker.bootstrap_servers) as client:
        for version in (3, 4):
            answer = client.ask(
                "ApiVersions", version, client_software_name="t", client_software_version="1"
            )
            levels = {
                feature.name: (feature.min_version_level, feature.max_version_level)
                for feature in answer.finalized_features
            }
            assert levels == {"transaction.version": (2, 2)}
            assert answer.finalized_features_epoch >= 0
            # Before version 4 a lowest level of 0 cannot be said (KIP-1022).
            supported = {f.name: (f.min_version, f.max_version) for f in answer.supported_features}
            expected = {"group.version": (0, 0), "transaction.version": (0, 2)}
            assert supported == (expected if version == 4 else {})
