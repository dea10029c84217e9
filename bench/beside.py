"""The broker of this checkout beside one of another, in one run: whether a change made it slower.

    python -m bench.beside CHECKOUT [--only PATTERN] [--repetitions N]

CHECKOUT has been built (`make build` there). This checkout's clients drive both brokers in turn.
Prints the metrics of which less, or more, is better; ends with 1 where one is worse by more than
5 % and the repetitions of the two do not overlap.
"""

import argparse
import contextlib
import dataclasses
import fnmatch
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bench.operation import Operation  # noqa: E402
from bench.operations import all_operations  # noqa: E402
from bench.peer import Peer  # noqa: E402
from bench.report.numbers import Spread, format_median, format_range, spread_of  # noqa: E402
from bench.results import METRICS, Sample  # noqa: E402
from bench.servers import new_server  # noqa: E402
from bench.stalls import StallWatch  # noqa: E402
from bench.suite import Suite  # noqa: E402
from peers.servers import BarnabasServer, Server  # noqa: E402

BEFORE, NOW = "before", "barnabas"
TOLERATED = 1.05  # what a metric may be worse by
REPETITIONS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("checkout", type=Path, help="directory of the other code, built")
    parser.add_argument("--only", help="operations whose id matches, as a shell; else the core")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    options = parser.parse_args(arguments)
    program = options.checkout / ".venv" / "bin" / "barnabas"
    if not program.exists():
        parser.error(f"{program} is not there: make build")
    operations = [
        dataclasses.replace(operation, peers=(BEFORE, NOW), repetitions=None)
        for operation in all_operations()
        if NOW in operation.peers and _is_chosen(operation, options.only)
    ]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with _peers(program) as peers, StallWatch() as stalls:
        suite = Suite(peers, stalls, lambda line: print(line, flush=True))
        for operation in operations:
            suite.run(dataclasses.replace(operation, kernel=None), options.repetitions)
    lines = [line for operation in operations for line in _lines(operation, suite.samples)]
    print(*lines, sep="\n")
    worse = [line for line in lines if line.is_worse]
    print(f"worse by more than 5 %: {', '.join(line.name for line in worse) or 'none'}")
    return 1 if worse else 0


def _is_chosen(operation: Operation, only: str | None) -> bool:
    if only is None:
        return operation.is_core
    return any(fnmatch.fnmatch(operation.info.id, pattern) for pattern in only.split(","))


@contextlib.contextmanager
def _peers(program: Path) -> Iterator[dict[str, Peer]]:
    """The two brokers, running; their directories are gone afterwards."""

    def server_before(directory: Path) -> Server:
        server = new_server(NOW, directory)
        assert isinstance(server, BarnabasServer)
        server.program = program
        return server

    def server_now(directory: Path) -> Server:
        return new_server(NOW, directory)

    with contextlib.ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="barnabas-bench-")
        directory = Path(stack.enter_context(temporary))
        peers = {
            BEFORE: Peer(server_before, directory / BEFORE),
            NOW: Peer(server_now, directory / NOW),
        }
        for peer in peers.values():
            stack.enter_context(peer.server)
        yield peers


@dataclasses.dataclass(frozen=True)
class Line:
    """One metric of one operation, with both brokers."""

    operation: str
    metric: str
    before: Spread
    now: Spread

    @property
    def name(self) -> str:
        return f"{self.operation} {self.metric}"

    @property
    def ratio(self) -> float:
        """Above 1 it got worse."""
        ratio = self.now.median / self.before.median if self.before.median else 1.0
        return 1 / ratio if METRICS[self.metric].is_higher_better and ratio else ratio

    @property
    def is_worse(self) -> bool:
        return self.ratio > TOLERATED and not self.now.overlaps(self.before)

    def __str__(self) -> str:
        metric = METRICS[self.metric]
        numbers = " -> ".join(
            f"{format_median(spread, metric)} ({format_range(spread, metric)})"
            for spread in (self.before, self.now)
        )
        verdict = "WORSE" if self.is_worse else ""
        return f"{self.name:50} {numbers} {metric.unit}, {self.ratio:.2f} of before {verdict}"


def _lines(operation: Operation, samples: Sequence[Sample]) -> Iterator[Line]:
    for metric in operation.info.shown:
        before, now = (
            spread_of(
                sample.metrics[metric]
                for sample in samples
                if (sample.operation, sample.peer) == (operation.info.id, peer)
                and metric in sample.metrics
            )
            for peer in (BEFORE, NOW)
        )
        if before is not None and now is not None:
            yield Line(operation.info.id, metric, before, now)


if __name__ == "__main__":
    sys.exit(main())
