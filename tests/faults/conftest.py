"""Brokers of their own for tests that break them."""

import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from barnabas import _core
from faults.hostile import SERVER_CONFIG, under_attack
from faults.rows import PROPERTY, Row
from peers.forks import Ended, ForkServer
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
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says what a test has measured; the run's summary shows it, also of a test that passed."""
    return partial(record_property, "measured")


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """`count(row, times)`: the test has made this fault so often, and the guarantee held."""

    def add(row: str, times: int = 1) -> None:
        assert times > 0, f"{row}: the fault was not made"
        record_property(PROPERTY, [Row(row).value, times])

    return add


@pytest.fixture
def steps(pytestconfig: pytest.Config, seed: int) -> Callable[[int, int], list[int]]:
    """`steps(total, share)`: which of so many steps to strike. One of each `share` in a row, by the
    seed, so that many runs strike all of them; with --every-step all.
    """
    rng = random.Random(seed)

    def choose(total: int, share: int) -> list[int]:
        assert total > 0, "there is no such step"
        if pytestconfig.getoption("--every-step"):
            share = 1
        starts = range(1, total + 1, share)
        return [rng.randrange(start, min(start + share, total + 1)) for start in starts]

    return choose


NEVER = 1_000_000  # there is no such step
KILLED = -9


@pytest.fixture
def kill_at_steps(
    tmp_path: Path,
    forks: ForkServer,
    steps: Callable[[int, int], list[int]],
    count: Callable[..., None],
) -> Callable[..., int]:
    """`kill_at_steps(before, share, child, *arguments, check=…, timeout_s=…)`: runs the child, once
    undisturbed and then to be killed at some of its steps, each time on a copy of `before`, whose
    path, the arguments and the number of the step it is given. It says "matched N": how many there
    are, which is returned. `check` is shown each copy and how its child ended.
    """

    def kill(
        before: Path,
        share: int,
        child: Callable[..., None],
        *arguments: str,
        check: Callable[[Path, Ended], None],
        timeout_s: int,
    ) -> int:
        kills = 0

        def strike(nth: int) -> str:
            nonlocal kills
            root = tmp_path / str(nth)
            shutil.copytree(before, root)
            run = forks.run(child, str(root), *arguments, str(nth), timeout_s=timeout_s)
            assert run.returncode in (0, KILLED), run.output
            check(root, run)
            shutil.rmtree(root)
            kills += run.returncode == KILLED
            return run.output

        total = int(strike(NEVER).rpartition("matched ")[2].split()[0])
        for nth in steps(total, share):
            strike(nth)
        count(Row.KILL, kills)
        return total

    return kill


@pytest.fixture
def core_log() -> Iterator[list[str]]:
    """The lines that the native code of this process's brokers logs, as they come."""
    lines: list[str] = []
    _core.set_log_sink(lambda _level, _component, message: lines.append(message))
    yield lines
    _core.set_log_sink(None)


@pytest.fixture(scope="module")
def attacked_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with BarnabasServer(tmp_path_factory.mktemp("attacked"), SERVER_CONFIG) as started:
        yield started


@pytest.fixture
def server(attacked_server: Server) -> Iterator[Server]:
    """One broker for a module's attacks, checked after each."""
    with under_attack(attacked_server):
        yield attacked_server


@pytest.fixture(scope="module")
def forks(request: pytest.FixtureRequest) -> Iterator[ForkServer]:
    """Calls functions of the test's module in processes of their own."""
    with ForkServer(f"faults.{request.path.stem}") as server:
        yield server


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of a randomised test: `--seed`, or a new one, which a failure shows."""
    given = request.config.getoption("--seed")
    chosen = random.SystemRandom().randrange(2**32) if given is None else int(given)
    print(f"seed {chosen} (repeat with --seed {chosen})")
    return chosen
