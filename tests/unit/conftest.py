"""The broker of the tests that need just one: that of the plugin under test, one per session."""

import pytest

import barnabas


@pytest.fixture(scope="session")
def broker(barnabas_broker: barnabas.Broker) -> barnabas.Broker:
    return barnabas_broker
