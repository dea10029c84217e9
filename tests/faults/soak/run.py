"""A soak: everything at once against one broker that is killed, stopped and let down by its disk.

Who does what and when comes from the seed; what meets what is up to the threads.

    python -m faults.soak.run [--seconds 1800] [--seed N]        (tests/ is the working directory)
"""

import argparse
import errno
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from faults.load import RECONNECT
from faults.soak.actors import (
    TRANSACTION_TIMEOUT_MS,
    Actor,
    Admin,
    Committer,
    IdempotentSender,
    PlainSender,
    TransactionalSender,
)
from faults.soak.audit import Auditor
from faults.soak.broker import SoakServer
from faults.soak.checks import Finding, Kind
from faults.soak.history import History, Partition
from faults.soak.indexes import check_indexes
from faults.soak.members import Member
from faults.soak.mover import Mover
from faults.soak.readers import Follower, Reader, Rereader
from faults.soak.small_disk import SmallDisk
from unit.wire import WireClient

HOUR_MS = 3_600_000
BROKER = {
    "offsets.topic.num.partitions": "2",
    "transaction.state.log.num.partitions": "2",
    "group.initial.rebalance.delay.ms": "0",
    "log.retention.check.interval.ms": "200",
    "log.flush.offset.checkpoint.interval.ms": "1000",
    "log.cleaner.backoff.ms": "50",
    "log.cleaner.dedupe.buffer.size": "2000000",
    "log.scrub.interval.ms": "500",
    # Clients go by the real time, whatever becomes of the broker's.
    "log.message.timestamp.after.max.ms": str(3 * HOUR_MS),
    "transaction.max.timeout.ms": str(TRANSACTION_TIMEOUT_MS),
}
SMALL = {
    "internal.segment.bytes": "20000",
    "index.interval.bytes": "500",
    "file.delete.delay.ms": "500",
}
RETENTION_BYTES = 40_000
TOPICS: dict[str, tuple[int, dict[str, str]]] = {
    "plain": (1, {"index.interval.bytes": "100"}),
    "once": (2, SMALL),
    "txn": (2, SMALL),
    "state": (
        1,
        {
            **SMALL,
            "internal.segment.bytes": "6000",
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.01",
            "segment.ms": "1000",
        },
    ),
    "kept": (
        1,
        {**SMALL, "internal.segment.bytes": "8000", "retention.bytes": str(RETENTION_BYTES)},
    ),
    "synced": (1, {**SMALL, "flush.messages": "1"}),
}
ON_THE_SMALL_DISK = ("state", "kept")  # what does not grow
MEMBERS = 3  # of a group, and now and then none
ROUND_S = (2.0, 6.0)  # between two blows
DISK_FAULTS = (  # (call, effect, value)
    ("write", "fail", errno.ENOSPC),
    ("write", "fail", errno.EIO),
    ("write", "short", 7),
    ("write", "tear", 40),
    ("write", "delay", 20),
    ("sync", "delay", 50),
    ("rename", "fail", errno.ENOSPC),
    ("open", "fail", errno.EMFILE),
    ("send", "fail", errno.EIO),
    ("read", "fail", errno.EIO),
)
FAILED_SYNC = ("sync", "fail", errno.EIO)  # of the small disk alone: it takes its directory offline
STALL_MS = 5000
CLOCKS_MS = (-HOUR_MS, 0, HOUR_MS)  # of the broker, beside everybody else's


@dataclass
class Report:
    seed: int
    findings: list[Finding] = field(default_factory=list)
    blows: Counter[str] = field(default_factory=Counter)
    struck: int = 0
    audits: int = 0
    records: int = 0
    joins: int = 0
    assignments: int = 0
    passes: int = 0  # of rereaders, from a start to an end

    def __str__(self) -> str:
        blows = ", ".join(f"{count} {blow}" for blow, count in sorted(self.blows.items()))
        return (
            f"seed {self.seed}: {blows}, {self.struck} calls of files struck; "
            f"{self.records:,} records read in {self.audits} audits; members joined {self.joins} "
            f"times and were given partitions {self.assignments} times; {self.passes} passes over "
            f"what is compacted; "
            f"{len(self.findings)} findings"
        )


class Soak:
    """The load on one broker. `begin`, any number of `play` and blows, `finish`."""

    def __init__(self, server: SoakServer, seed: int) -> None:
        self.server = server
        self.rng = random.Random(seed)
        self.report = Report(seed)
        self.history = History()
        self.actors: list[Actor] = []
        self.generation = 0
        self.is_hurt = False  # a log may be offline until the next start

    def make_topics(self) -> None:
        if self.server.small_disk is not None:
            self._place_topics(*self.server.log_dirs)
        admin = AdminClient({"bootstrap.servers": self.server.bootstrap, **RECONNECT})
        topics = [NewTopic(name, count, config=config) for name, (count, config) in TOPICS.items()]
        for future in admin.create_topics(topics).values():
            future.result(30)
        for name, (count, config) in TOPICS.items():
            retention = config.get("retention.bytes")
            self.history.add_topic(
                name,
                count,
                compacted=config.get("cleanup.policy") == "compact",
                transactional=name in ("txn", "state"),
                retention_bytes=int(retention) if retention is not None else None,
            )

    def _place_topics(self, large: Path, small: Path) -> None:
        """Says where they are to be made; the internal ones grow, too."""
        grow = {name: count for name, (count, _) in TOPICS.items() if name not in ON_THE_SMALL_DISK}
        grow |= dict.fromkeys(("__consumer_offsets", "__transaction_state"), 2)
        asked = [
            {
                "path": str(place),
                "topics": [
                    {"name": name, "partitions": list(range(count))}
                    for name, count in topics.items()
                ],
            }
            for place, topics in ((large, grow), (small, dict.fromkeys(ON_THE_SMALL_DISK, 1)))
        ]
        with WireClient(self.server.bootstrap) as client:
            client.ask("AlterReplicaLogDirs", 2, dirs=asked)

    def start_load(self) -> None:
        """New clients; the names of those that keep a state at the broker stay."""
        self.generation += 1
        at, history, of = self.server.bootstrap, self.history, self._partitions
        g = self.generation

        def seed() -> float:
            return self.rng.random()

        txn = [*of("txn"), *of("state")]
        self.actors = [
            PlainSender(f"plain-{g}", at, history, seed(), of("plain")),
            IdempotentSender(f"once-{g}", at, history, seed(), of("once")),
            IdempotentSender(f"state-{g}", at, history, seed(), of("state")),
            IdempotentSender(f"kept-{g}", at, history, seed(), of("kept")),
            IdempotentSender(f"synced-{g}", at, history, seed(), of("synced")),
            TransactionalSender("txn-1", at, history, seed(), txn),
            TransactionalSender("txn-2", at, history, seed(), of("txn")),
            Committer(f"group-{g}", at, history, seed(), of("plain")[0]),
            Committer(f"other-group-{g}", at, history, seed(), of("txn")[0]),
            Follower(f"follower-{g}", at, history, seed(), [*of("txn"), *of("once"), *of("kept")]),
            Rereader(f"rereader-{g}", at, history, seed(), of("state")),
            Admin(f"admin-{g}", at, history, seed(), trimmed=of("plain")[0], configured="once"),
            *self._movers(),
            *(
                Member(f"member-{n}", at, history, seed(), group="members", topic="once")
                for n in range(MEMBERS)
            ),
        ]
        for actor in self.actors:
            actor.start()

    def _movers(self) -> list[Actor]:
        if self.server.small_disk is None:
            return []
        moved = [p for topic in ON_THE_SMALL_DISK for p in self._partitions(topic)]
        name, at, seed = f"mover-{self.generation}", self.server.bootstrap, self.rng.random()
        places = self.server.log_dirs
        return [Mover(name, at, self.history, seed, partitions=moved, log_dirs=places)]

    def await_steps(self, steps: int, stalled_s: float = 30) -> None:
        """Until each actor has done so many from the start of the load on, however long a busy
        machine takes; fails when none of those that are awaited gets any further.
        """
        for actor in self.actors:
            actor.hurrying.clear()
            actor.wanted_steps = steps
        done, deadline = -1, 0.0
        while not self.history.refusals and any(
            not actor.has_done_its_steps() and actor.failure is None for actor in self.actors
        ):
            now = time.monotonic()
            total = sum(min(actor.steps, steps * actor.steps_in_one) for actor in self.actors)
            if total > done:
                done, deadline = total, now + stalled_s
            assert now < deadline, [(a.name, a.steps) for a in self.actors]
            time.sleep(0.02)
        for actor in self.actors:
            actor.hurrying.set()
        self.check_actors()

    def check_actors(self) -> None:
        for actor in self.actors:
            if actor.failure is not None:
                raise actor.failure

    def stop_load(self) -> None:
        for actor in self.actors:
            actor.stopping.set()
        for actor in self.actors:
            actor.finish()
            if isinstance(actor, Reader | Member):
                self.report.findings += actor.findings
            if isinstance(actor, Rereader):
                self.report.passes += actor.passes
            if isinstance(actor, Member):
                self.report.joins += actor.joins
                self.report.assignments += actor.assignments
        self.actors = []

    def audit(self) -> None:
        """Of everything. REQUIRES: no load."""
        auditor = Auditor(self.server.bootstrap, self.history, self.server.log_dirs, self.rng)
        self.report.findings += auditor.audit()
        intervals = {
            topic: int(config["index.interval.bytes"]) for topic, (_, config) in TOPICS.items()
        }
        self.report.findings += check_indexes(self.server.log_dirs, intervals)
        self.report.findings += [
            Finding(Kind.DAMAGED, "scrubber", line)
            for line in self.server.output().splitlines()
            if "; it is left as it is" in line and os.strerror(errno.EIO) not in line
        ]
        self.report.audits += 1
        self.report.records += auditor.records

    def kill(self) -> None:
        self._note_struck()
        self.server.kill()
        self.is_hurt = False
        self.report.blows["kills"] += 1
        if self.rng.random() < 0.1:
            self.server.launch()
            time.sleep(self.rng.uniform(0, 0.5))
            self.server.kill()
            self.report.blows["kills in the start"] += 1
        self.server.start()

    def restart(self) -> None:
        if self.is_hurt:  # what is offline cannot be closed cleanly
            self.kill()
            return
        self._note_struck()
        self.server.heal()  # on a disk that fails no stop is a clean one
        self.server.stop()
        self.report.blows["clean stops"] += 1
        self.server.start()

    def let_the_disk_down(self) -> None:
        topics = [*TOPICS, "__consumer_offsets", "__transaction_state"]
        faults = list(DISK_FAULTS)
        if self.server.small_disk is not None:
            faults.append(FAILED_SYNC)
        fault = self.rng.choice(faults)
        pattern = f"*/{self.rng.choice(topics)}-*/*"
        if fault is FAILED_SYNC:
            pattern = f"{self.server.log_dirs[-1]}/*"
        call, effect, value = fault
        self.server.fault(call, pattern, effect, value, times=self.rng.choice((1, 3, 20)))
        self.is_hurt = self.is_hurt or effect != "delay"
        self.report.blows[f"{call}s that {effect}"] += 1

    def stall_the_disk(self) -> None:
        """One call, for as long as disks take that try again by themselves."""
        topic = self.rng.choice((*TOPICS, "__consumer_offsets", "__transaction_state"))
        call = self.rng.choice(("write", "sync", "read", "rename"))
        self.server.fault(call, f"*/{topic}-*/*", "delay", STALL_MS, times=1)
        self.report.blows["stalls"] += 1

    def fill_the_disk(self) -> None:
        """A real one, for a while; now and then the broker dies meanwhile."""
        disk = self.server.small_disk
        assert disk is not None
        disk.fill(self.rng.choice((0, 0, 100, 5000)))
        self._play(self.rng.uniform(0.5, 2))
        is_killed = self.rng.random() < 0.3
        if is_killed:
            self._note_struck()
            self.server.kill()
            self.is_hurt = False
        disk.free()
        if is_killed:
            self.server.start()
        self.report.blows["kills on a full disk" if is_killed else "full disks"] += 1

    def set_the_clock(self) -> None:
        """Of the broker that runs, and of those after it."""
        self.server.set_clock(self.rng.choice(CLOCKS_MS))
        self.report.blows["clocks set"] += 1

    def take_the_directory_away(self) -> None:
        """The small one: a start, some life and an end without it."""
        self._end()
        place = self.server.log_dirs[-1]
        away = place.with_name("away")
        place.rename(away)
        self.server.start()
        self._play(self.rng.uniform(0.5, 2))
        self._end()
        # The broker may have put a directory there, which is empty.
        shutil.rmtree(place, ignore_errors=True)
        away.rename(place)
        self.server.start()
        self.report.blows["starts without a directory"] += 1

    def _end(self) -> None:
        """One way or the other."""
        self._note_struck()
        if self.is_hurt or self.rng.random() < 0.5:
            self.server.kill()
        else:
            self.server.heal()
            self.server.stop()
        self.is_hurt = False

    def soak(self, seconds: float) -> Report:
        """All of it, until the time is over or something is found."""
        deadline = time.monotonic() + seconds
        self.make_topics()
        blows = [self.kill, self.kill, self.restart, self.let_the_disk_down, self.stall_the_disk]
        blows.append(self.set_the_clock)
        if self.server.small_disk is not None:
            blows += [self.fill_the_disk, self.take_the_directory_away]
        while time.monotonic() < deadline and not self.report.findings:
            self.start_load()
            for _ in range(self.rng.randrange(1, 5)):
                self._play(self.rng.uniform(*ROUND_S))
                self.rng.choice(blows)()
            if self.is_hurt:
                self.kill()
            self.await_steps(1, 60)
            self.stop_load()
            self.audit()
            print(self.report, flush=True)
        self._note_struck()
        return self.report

    def _play(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.check_actors()
            time.sleep(0.05)

    def _note_struck(self) -> None:
        with suppress(OSError):
            self.report.struck += self.server.struck()

    def _partitions(self, topic: str) -> list[Partition]:
        return [p for p in self.history.partitions.values() if p.topic == topic]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed} (repeat with SOAK_SEED={options.seed})", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        with SoakServer(Path(directory), BROKER, with_small_disk=SmallDisk.possible) as server:
            soak = Soak(server, options.seed)
            try:
                report = soak.soak(options.seconds)
            except (AssertionError, KafkaException):
                print(server.output()[-5000:])
                raise
        for finding in report.findings:
            print(finding)
        if report.findings:
            print(server.output()[-20_000:])
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
