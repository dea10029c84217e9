"""Brokers of their own for tests that break them."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from peers.servers import BarnabasServer, KafkaServer, Server

ServerFactory = Callable[[Mapping[str, str]], Server]


@pytest.fixture
def new_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerFactory]:
    """Starts brokers with a configuration and data directory of their own."""
    kind = {"barnabas": BarnabasServer, "kafka": KafkaServer}[request.config.getoption("--peer")]
    with ExitStack() as servers:
        count = 0

        def start(config: Mapping[str, str]) -> Server:
            nonlocal count
            count += 1
            server: Server = kind(tmp_path / f"server-{count}", config)
            return servers.enter_context(server)

        yield start


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of a randomised test: `--seed`, or a new one, which a failure shows."""
    given = request.config.getoption("--seed")
    chosen = random.SystemRandom().randrange(2**32) if given is None else int(given)
    print(f"seed {chosen} (repeat with --seed {chosen})")
    return chosen
