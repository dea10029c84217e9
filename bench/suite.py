"""Runs the list of operations against every peer in turn, so that noise meets all alike."""

import contextlib
import dataclasses
import tempfile
import time
import zlib
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
AGREEING = 3  # repetitions in a row that cost about the same: the JVM has compiled
AGREEMENT = 1.2  # the dearest of them over the cheapest
MOST_WARM_UP_S = 30.0
REPEATED_S = 45.0  # in a whole run, of what the machine stood still in


class Suite:
    """Brokers that run, and the samples taken of them."""

    def __init__(self, peers: dict[str, Peer], stalls: StallWatch, say: Report) -> None:
        self.samples: list[Sample] = []
        self._peers = peers
        self._kernel = Kernel()
        self._stalls = stalls
        self._say = say
        self._left_to_repeat_s = REPEATED_S

    def warm_up(self, operations: Sequence[Operation]) -> None:
        """Runs Kafka through operations and forgets what they give: its JVM compiles meanwhile."""
        kafka = self._peers["kafka"]
        for operation in operations:
            self._warm_up_kafka(operation, kafka)
            kafka.forget_topics()

    def run(self, operation: Operation, repetitions: int) -> None:
        """Each repetition meets the peers in another order; Kafka has run the operation before."""
        kafka = self._peers.get("kafka")
        try:
            if kafka is not None and "kafka" in operation.peers and operation.is_warmed_up:
                self._warm_up_kafka(operation, kafka)
            for repetition in range(operation.repetitions or repetitions):
                self._repeat(operation, repetition)
        finally:
            for peer in self._peers.values():
                peer.forget_topics()

    def _warm_up_kafka(self, operation: Operation, kafka: Peer) -> None:
        """Once; with `warm_up_by`, until the last repetitions agree or the time is over."""
        costs: list[float] = []
        begin_s = time.monotonic()
        while True:
            found = self._once(operation, "kafka", partial(operation.run, kafka), WARM_UP)
            cost = found.metrics.get(operation.warm_up_by or "")
            if cost is None or time.monotonic() - begin_s > MOST_WARM_UP_S:
                return
            costs.append(cost)
            last = costs[-AGREEING:]
            if len(last) == AGREEING and max(last) <= min(last) * AGREEMENT:
                return

    def _repeat(self, operation: Operation, repetition: int) -> None:
        names = [name for name in self._peers if name in operation.peers]
        for name in in_turn(names, operation.info.id, repetition):
            if repetition > 0 and name in operation.once:
                continue
            peer = self._peers[name]
            peer.memo.clear()
            self._measure(operation, name, partial(operation.run, peer), repetition)
        if operation.kernel is not None:
            self._kernel.memo = dict(self._peers["barnabas"].memo)
            self._measure(operation, "kernel", partial(operation.kernel, self._kernel), repetition)

    def _measure(
        self, operation: Operation, name: str, run: Callable[[], Measured], repetition: int
    ) -> None:
        """Latencies that a stall of the machine is in are measured again, while there is time.

        Of the two the one is kept that the machine stood still in for a shorter time, whatever it
        found: which broker was running does not matter.
        """
        begin_s = time.monotonic()
        self._once(operation, name, run, repetition)
        stalls, took_s = self._stalls.since(begin_s), time.monotonic() - begin_s
        is_latency = "p99_ms" in operation.info.shown
        if not (stalls.count and is_latency) or took_s > self._left_to_repeat_s:
            return
        first = self.samples.pop()
        self._say(f"{operation.info.id:32} {name:9} again: {stalls.note()}")
        begin_s = time.monotonic()
        self._once(operation, name, run, repetition)
        self._left_to_repeat_s -= time.monotonic() - begin_s
        second = self.samples[-1]
        if second.metrics and self._stalls.since(begin_s).total_s < stalls.total_s:
            notes = (*second.notes, f"measured again: {stalls.note()} at first")
            self.samples[-1] = dataclasses.replace(second, notes=notes)
        else:
            self.samples[-1] = first

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


def in_turn(names: Sequence[str], operation: str, repetition: int) -> list[str]:
    """The order of a repetition: each name comes first once before one does again. Who is first at
    first depends on the operation, as by lot, and is the same in every run.
    """
    first = (zlib.crc32(operation.encode()) + repetition) % len(names)
    return [*names[first:], *names[:first]]


@contextlib.contextmanager
def running_peers(names: Sequence[str]) -> Iterator[dict[str, Peer]]:
    """Brokers of those names, with data directories that are gone afterwards."""
    with contextlib.ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="barnabas-bench-")
        directory = Path(stack.enter_context(temporary))
        peers = {}
        for name in PEERS:
            if name in names:
                peers[name] = Peer(partial(new_server, name), directory / name)
                stack.enter_context(peers[name].server)
        yield peers
