"""The broker that the client tests share, one per test session and worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.servers import BarnabasServer, KafkaServer, Server

# Short sessions are allowed, so that a killed member is missed within seconds, as is an abandoned
# transaction.
CONFIG = {
    "group.min.session.timeout.ms": "1000",
    "group.initial.rebalance.delay.ms": "200",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
}


@pytest.fixture(scope="session")
def shared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    kind = {"barnabas": BarnabasServer, "kafka": KafkaServer}[request.config.getoption("--peer")]
    directory: Path = tmp_path_factory.mktemp("server")
    with kind(directory, CONFIG) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The shared broker, running also when the test before stopped it and failed."""
    if shared_server.child is None or not shared_server.child.is_running():
        shared_server.start()
    return shared_server
