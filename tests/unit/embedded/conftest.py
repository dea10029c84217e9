"""A broker for the tests of a module, and a topic for each."""

from collections.abc import Iterator

import pytest

import barnabas


@pytest.fixture(scope="module")
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as broker:
        yield broker


@pytest.fixture
def topic(broker: barnabas.Broker, request: pytest.FixtureRequest) -> str:
    name = f"t{abs(hash(request.node.name))}"
    broker.create_topic(name)
    return name
