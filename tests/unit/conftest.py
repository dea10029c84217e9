"""A broker that a module's tests share."""

from collections.abc import Iterator

import pytest

import barnabas


@pytest.fixture(scope="module")
def broker() -> Iterator[barnabas.Broker]:
    with barnabas.Broker() as running:
        yield running
