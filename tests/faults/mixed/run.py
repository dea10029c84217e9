"""A mixed run: all there is, in one process, for a while; nothing is lost and memory does not grow.

    python -m faults.mixed.run [--seconds 1800]        (tests/ is the working directory)

`make mixed-asan` does it with a core that AddressSanitizer watches.
"""

import argparse
import gc
import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import barnabas
from faults.mixed.actors import (
    EMBEDDED,
    NETWORK,
    TRANSACTIONS,
    Actor,
    EmbeddedSender,
    Forker,
    Hook,
    NetworkClients,
    NumberedReader,
    TransactionalSender,
    TransactionReader,
)

BROKER = {
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.num.partitions": 4,
    "log.retention.check.interval.ms": 1_000,
    "log.cleaner.backoff.ms": 1_000,
}
TOPIC = {
    "internal.segment.bytes": 4_000_000,
    "retention.bytes": 40_000_000,
    "file.delete.delay.ms": 1_000,
}
SAMPLE_S = 1.0
WARM_UP = 0.3  # of the run
GROWTH = 1.08  # of memory from after the warm-up to the end, at most
GROWTH_BYTES = 16 << 20
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Report:
    seconds: float = 0
    counts: dict[str, int] = field(default_factory=dict)
    rss_bytes: list[int] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    fork_s: list[float] = field(default_factory=list)

    @staticmethod
    def _ends(samples: list[int], of: Callable[[list[int]], float]) -> tuple[float, float]:
        """Of the third after the warm-up, and of the last third."""
        warm = samples[int(len(samples) * WARM_UP) :] or samples
        third = max(1, len(warm) // 3)
        return of(warm[:third]), of(warm[-third:])

    def check(self) -> None:
        """Nothing that is counted grows."""
        early, late = self._ends(self.rss_bytes, statistics.median)
        assert late <= early * GROWTH + GROWTH_BYTES, str(self)
        for samples in (self.fds, self.threads):
            early, late = self._ends(samples, min)  # there are more while there is a fork
            assert late <= early + 20, str(self)

    def __str__(self) -> str:
        early, late = self._ends(self.rss_bytes, statistics.median)
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        forks = sorted(self.fork_s) or [0.0]
        return (
            f"{self.seconds:.0f} s: {counts}; memory {early / 1e6:.0f} MB after the warm-up, "
            f"{late / 1e6:.0f} MB in the last third (at most {max(self.rss_bytes) / 1e6:.0f}); "
            f"at least {self._ends(self.fds, min)} descriptors, {self._ends(self.threads, min)} "
            "threads; "
            f"a fork in {forks[len(forks) // 2] * 1e3:.0f} ms (at most {forks[-1] * 1e3:.0f})"
        )


def mixed_run(seconds: float, progress: bool = False) -> Report:
    """Raises what an actor failed with."""
    report = Report()
    with barnabas.Broker(config=BROKER) as broker:
        for topic in (EMBEDDED, NETWORK, TRANSACTIONS):
            broker.create_topic(topic, config=TOPIC)
        senders: list[Actor] = [
            EmbeddedSender(broker),
            TransactionalSender(broker),
            NetworkClients(broker),
        ]
        readers: list[Actor] = [NumberedReader(broker), TransactionReader(broker)]
        forker = Forker(broker)
        others: list[Actor] = [Hook(broker), forker]
        actors = [*senders, *readers, *others]
        began = time.monotonic()
        for actor in actors:
            actor.start()
        while (passed := time.monotonic() - began) < seconds and not _failed(actors):
            time.sleep(SAMPLE_S)
            _sample(report)
            if progress and len(report.fds) % 60 == 0:
                report.seconds, report.fork_s = passed, forker.fork_s
                report.counts = {actor.name: actor.count for actor in actors}
                print(report, flush=True)
        _stop([*senders, *others])
        _catch_up(senders[:2], readers)
        _stop(readers)
        report.seconds = time.monotonic() - began
        report.counts = {actor.name: actor.count for actor in actors}
        report.fork_s = forker.fork_s
        for actor in actors:
            if actor.failure is not None:
                raise actor.failure
        end = broker.services.core.partition_info(NETWORK, 0).log_end_offset
        assert end == senders[2].count, (end, senders[2].count)
    return report


def _failed(actors: list[Actor]) -> bool:
    return any(actor.failure is not None for actor in actors)


def _sample(report: Report) -> None:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    report.rss_bytes.append(pages * PAGE_BYTES)
    report.fds.append(len(os.listdir("/proc/self/fd")))
    report.threads.append(threading.active_count())


def _stop(actors: list[Actor]) -> None:
    for actor in actors:
        actor.stopping.set()
    for actor in actors:
        actor.join()


def _catch_up(senders: list[Actor], readers: list[Actor]) -> None:
    """What was sent has been read."""
    deadline = time.monotonic() + 120
    for sender, reader in zip(senders, readers, strict=True):
        while reader.count < sender.count and not _failed([sender, reader]):
            assert time.monotonic() < deadline, (reader.name, reader.count, sender.count)
            time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1800)
    report = mixed_run(parser.parse_args().seconds, progress=True)
    print(report)
    report.check()


if __name__ == "__main__":
    main()
