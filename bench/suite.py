"""Runs the list of operations against every peer in turn, so that noise meets all alike."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.kernel import Kernel
from bench.machine import touch_memory
from bench.operation import Operation
from bench.peer import Measured, Peer
from bench.results import PEERS, Sample
from bench.servers import new_server
from bench.stalls import StallWatch

Report = Callable[[str], None]
WARM_UP = -1  # a repetition that does not count
MOST_WARM_UPS = 8
WARM_UP_FALL = 0.85  # a JVM that still compiles costs less from one repetition to the next


class Suite:
    """Brokers that run, and the samples taken of them."""

    def __init__(self, peers: dict[str, Peer], stalls: StallWatch, say: Report) -> None:
        self.samples: list[Sample] = []
        self._peers = peers
        self._kernel = Kernel()
        self._stalls = stalls
        self._say = say

    def warm_up(self, operations: Sequence[Operation]) -> None:
        """Runs operations and forgets what they give: a JVM compiles meanwhile."""
        for operation in operations:
            for name, peer in self._peers.items():
                if name in operation.peers:
                    self._once(operation, name, partial(operation.run, peer), WARM_UP)

    def run(self, operation: Operation, repetitions: int) -> None:
        """Each repetition meets the peers in another order; Kafka has run the operation before."""
        kafka = self._peers.get("kafka")
        if kafka is not None and "kafka" in operation.peers and operation.is_warmed_up:
            self._warm_up_kafka(operation, kafka)
        for repetition in range(operation.repetitions or repetitions):
            self._repeat(operation, repetition)

    def _warm_up_kafka(self, operation: Operation, kafka: Peer) -> None:
        before = float("inf")
        for _ in range(MOST_WARM_UPS):
            found = self._once(operation, "kafka", partial(operation.run, kafka), WARM_UP)
            cost = found.metrics.get(operation.warm_up_by or "")
            if cost is None or cost > before * WARM_UP_FALL:
                return
            before = cost

    def _repeat(self, operation: Operation, repetition: int) -> None:
        names = [name for name in self._peers if name in operation.peers]
        if repetition % 2:
            names.reverse()
        for name in names:
            peer = self._peers[name]
            peer.memo.clear()
            self._once(operation, name, partial(operation.run, peer), repetition)
        if operation.kernel is not None:
            self._kernel.memo = dict(self._peers["barnabas"].memo)
            self._once(operation, "kernel", partial(operation.kernel, self._kernel), repetition)

    def _once(
        self, operation: Operation, name: str, run: Callable[[], Measured], repetition: int
    ) -> Measured:
        notes: tuple[str, ...] = ()
        touch_memory(operation.writes_gb)
        begin = time.monotonic()
        try:
            notes = self._revive(name)
            found = run()
        except Exception as error:  # one failure costs one sample, and is in the report
            found = Measured({}, notes=(f"failed: {type(error).__name__}: {error}",))
        took_s = time.monotonic() - begin
        notes += found.notes
        if (stalls := self._stalls.since(begin)).count and "p99_ms" in operation.info.shown:
            notes += (stalls.note(),)
        shown = ", ".join(f"{key} {value:.4g}" for key, value in found.metrics.items())
        label = "warm-up" if repetition == WARM_UP else f"{repetition + 1}"
        self._say(
            f"{operation.info.id:32} {name:9} {label} {took_s:5.1f} s: {shown} {'; '.join(notes)}"
        )
        if repetition != WARM_UP:
            curve = found.percentiles_ms
            sample = Sample(operation.info.id, name, repetition, found.metrics, curve, notes)
            self.samples.append(sample)
        return found

    def _revive(self, name: str) -> tuple[str, ...]:
        """Starts a broker again that has ended, and says so."""
        if name not in self._peers:
            return ()
        server = self._peers[name].server
        if server.child is not None and server.child.is_running():
            return ()
        server.start()
        return ("the broker had ended before and was started again",)


@contextlib.contextmanager
def running_peers(names: Sequence[str]) -> Iterator[dict[str, Peer]]:
    """Brokers of those names, with data directories that are gone afterwards."""
    with contextlib.ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="barnabas-bench-")
        directory = Path(stack.enter_context(temporary))
        peers = {}
        for name in PEERS:
            if name in names:
                server = stack.enter_context(new_server(name, directory / name))
                peers[name] = Peer(server)
        yield peers
